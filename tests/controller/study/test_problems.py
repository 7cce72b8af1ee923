"""Faults of a study file come out all at once, each with place, expectation and help."""

from __future__ import annotations

import pytest

from edgerig_controller.study.problems import in_order, nearest, parse
from edgerig_controller.study.yaml_source import read
from tests.controller.study.building import STUDY


def problems(text: str) -> list[str]:
    document = read(text, "s.yaml")
    return [str(problem) for problem in in_order(parse(document)[1])]


def test_a_good_file_has_no_problems() -> None:
    study, found = parse(read(STUDY, "s.yaml"))
    assert found == []
    assert study is not None
    assert study.name == "trial-run"


def test_a_misspelt_key_is_named_with_the_nearest_one() -> None:
    assert problems(STUDY.replace("protocol:", "protocl:")) == [
        "s.yaml:3:1: unknown key `protocl` (did you mean `protocol`?)"
    ]


def test_a_misspelt_needed_key_is_not_also_reported_as_missing() -> None:
    assert problems(STUDY.replace("tasks:", "taks:")) == [
        "s.yaml:5:1: unknown key `taks` (did you mean `tasks`?)"
    ]


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    (found,) = problems(STUDY.replace("budgets: {train: {steps: 5}}", "budgets: {zzz: 1}"))
    assert found == "s.yaml:9:11: unknown key `zzz` (known: attempt, train)"


def test_a_missing_key_is_placed_where_it_belongs() -> None:
    assert problems(STUDY.replace("source: synthetic, ", "")) == [
        "s.yaml:5:9: the key `source` is missing; expected one of synthetic, jsonl, lamp"
    ]


def test_a_wrong_word_suggests_the_nearest() -> None:
    assert problems(STUDY.replace("quick", "quik")) == [
        "s.yaml:3:11: `protocol`: expected one of quick, standard, publishable, "
        'found "quik" (did you mean `quick`?)'
    ]


def test_all_problems_come_out_together_in_the_order_of_the_file() -> None:
    text = (
        STUDY.replace("edgerig: 1", "edgerig: 2")
        .replace("[1, 2]", "[1, x, 1.5]")
        .replace("steps: 5", "steps: true")
        .replace("quick", "quik")
    )
    found = [problem.partition(" ")[0] for problem in problems(text)]
    assert found == ["s.yaml:1:10:", "s.yaml:3:11:", "s.yaml:4:12:", "s.yaml:4:15:", "s.yaml:9:26:"]


def test_numbers_are_not_made_of_text_or_booleans() -> None:
    assert problems(STUDY.replace("users: 3", "users: '3'"))[0].endswith(
        'expected a whole number from 1 to 100000, found "3"'
    )


def test_a_union_gives_one_problem() -> None:
    found = problems(STUDY.replace("{kind: lora, r: 8}", "{kind: lora, r: {least: 8}}"))
    assert found == [
        "s.yaml:8:53: `factors.method[2].r`: expected a single value (text, number, true or false) or a list "
        "of at least 1 value, each a single value (text, number, true or false), found a mapping"
    ]


def test_not_a_number_is_refused() -> None:
    assert "expected a number" in problems(STUDY.replace("steps: 5", "duration_s: .nan"))[0]


def test_a_memory_size_in_words_is_read() -> None:
    text = STUDY.replace("{train: {steps: 5}}", "{train: {steps: 5}, attempt: {memory: 1.5GiB}}")
    study, _ = parse(read(text, "s.yaml"))
    assert study is not None
    assert study.budgets.attempt.memory == 1_610_612_736


def test_a_memory_size_that_is_none_is_refused() -> None:
    text = STUDY.replace("{train: {steps: 5}}", "{attempt: {memory: 2 QB}}")
    assert problems(text) == ['s.yaml:9:29: expected bytes, such as 2147483648 or 2GiB, found "2 QB"']


def test_a_file_that_is_no_mapping_is_refused() -> None:
    assert problems("- a\n") == [
        "s.yaml:1:1: expected a mapping, found a list of 1 (`edgerig init` writes an example)"
    ]


def test_a_suggestion_that_is_far_off_is_not_made() -> None:
    assert nearest("zzz", ["lora", "rag"]) == "known: lora, rag"


@pytest.mark.parametrize("value", ['"orin and not nx"', "[orin, a or b]", "[local]"])
def test_devices_are_asked_for_by_labels_or_expressions(value: str) -> None:
    assert not problems(f"{STUDY}devices: {{labels: {value}}}\n")


def test_an_expression_that_is_none_is_named_with_its_place() -> None:
    found = problems(f'{STUDY}devices: {{labels: "orin and"}}\n')
    assert any("is no expression of labels: a label is missing at the end" in line for line in found)
