"""A YAML text becomes plain values with places, within bounds."""

from __future__ import annotations

import pytest

from edgerig.errors import StudyProblems
from edgerig_controller.study.yaml_source import FILE_BYTES, NESTING, read


def problems(text: str) -> list[str]:
    try:
        return [str(problem) for problem in read(text, "s.yaml").problems]
    except StudyProblems as error:
        return [str(problem) for problem in error.problems]


def test_values_follow_yaml_1_2() -> None:
    text = "{a: 3e-4, b: no, c: 010, d: 22:22, e: true, f: null, g: '8', h: 0x10, i: 2026-01-01}"
    assert read(text, "s.yaml").value == {
        "a": 3e-4,
        "b": "no",
        "c": 10,
        "d": "22:22",
        "e": True,
        "f": None,
        "g": "8",
        "h": 16,
        "i": "2026-01-01",
    }


def test_places_point_at_keys_and_values() -> None:
    document = read("a: 1\nb:\n  - x\n  - {c: 2}\n", "s.yaml")
    assert document.key_place(("b", 1, "c")) == "s.yaml:4:6"
    assert document.place(("b", 1, "c")) == "s.yaml:4:9"


def test_the_place_of_what_is_absent_is_that_of_its_surroundings() -> None:
    assert read("a: 1\nb:\n  c: 2\n", "s.yaml").place(("b", "nothing", 3)) == "s.yaml:3:3"


def test_every_repeated_key_is_reported() -> None:
    assert problems("a: 1\na: 2\nb: {c: 1, c: 2}\n") == [
        "s.yaml:2:1: the key `a` was given before, on line 1 (keep one of the two)",
        "s.yaml:3:11: the key `c` was given before, on line 3 (keep one of the two)",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1, 2\nb: 3\n", "s.yaml:2:2: not valid YAML"),
        ("a: b: c\n", "s.yaml:1:5: not valid YAML"),
        ("a: 1\n\tb: 2\n", "s.yaml:2:1: not valid YAML"),
        ("a: \x00\n", "s.yaml:1:1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "s.yaml:2:1: a second document"),
        ("1: x\n", "s.yaml:1:1: a key must be text, found 1"),
        ("[a]: x\n", "s.yaml:1:1: a key must be text"),
        ("a: !!python/name:os.system x\n", "s.yaml:1:4: the tag tag:yaml.org,2002:python/name:os.system"),
        ("a: !thing {b: 1}\n", "s.yaml:1:4: the tag !thing is not allowed"),
        ("a: *nobody\n", "s.yaml:1:4: the alias *nobody stands for nothing"),
        ("a: &x [1, *x]\n", "s.yaml:1:11: the alias *x stands for nothing"),
        ("a: " + "9" * 100 + "\n", "s.yaml:1:4: the number has more than 64 characters"),
        ('a: "\\ud800"\n', "s.yaml:1:4: the text holds half a surrogate pair"),
        ("a: !!int x\n", "s.yaml:1:4: `x` is not a value of the type int"),
    ],
)
def test_what_is_no_plain_data_is_named_with_its_place(text: str, start: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(start)


def test_an_alias_stands_for_its_value() -> None:
    assert read("a: &x [1, 2]\nb: *x\n", "s.yaml").value == {"a": [1, 2], "b": [1, 2]}


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "aliases expanded" in problems("\n".join(lines))[0]


def test_deep_nesting_is_refused() -> None:
    assert problems("a: " + "[" * (NESTING + 1))[0].endswith(f"nested more than {NESTING} deep")


def test_a_large_file_is_refused_before_it_is_read() -> None:
    assert "larger than" in problems("#" * (FILE_BYTES + 1))[0]


def test_an_empty_file_holds_nothing() -> None:
    assert read("", "s.yaml").value is None
