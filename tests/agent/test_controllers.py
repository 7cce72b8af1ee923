"""Which controller an agent dials: in turn, as the leader says, and over restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_agent.controllers import Controllers

HERE, A, B = "lab:9092", "a.lab:9092", "[fd00::2]:9092"


def test_without_a_list_only_the_place_of_enrolment_is_dialled(tmp_path: Path) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.failed()
    assert controllers.address() == HERE


def test_each_is_tried_in_turn_and_the_place_of_enrolment_last(tmp_path: Path) -> None:
    Controllers(tmp_path, HERE).learn([A, B])
    controllers = Controllers(tmp_path, HERE)
    dialled = []
    for _ in range(4):
        dialled.append(controllers.address())
        controllers.failed()
    assert dialled == [A, B, HERE, A]


def test_the_one_that_answers_is_kept_when_the_list_changes(tmp_path: Path) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.learn([A, HERE])
    assert controllers.address() == HERE
    controllers.learn([B, A])
    assert controllers.address() == HERE
    controllers.failed()
    assert controllers.address() == B


def test_the_one_that_is_named_comes_next_and_once(tmp_path: Path) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.learn([A, HERE])
    controllers.failed("new.lab:9092")
    assert controllers.address() == "new.lab:9092"
    # It is not there either: the list goes on where it was.
    controllers.failed()
    assert controllers.address() == HERE
    controllers.failed("unix:/run/x")
    assert controllers.address() == A
    # Who names itself stands by all the same.
    controllers.failed(A)
    assert controllers.address() == HERE


def test_the_one_that_was_named_and_answers_is_kept(tmp_path: Path) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.failed("new.lab:9092")
    controllers.learn([A, "new.lab:9092"])
    assert controllers.address() == "new.lab:9092"
    controllers.failed()
    assert controllers.address() == HERE


def test_an_empty_list_says_nothing(tmp_path: Path) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.learn([A])
    controllers.learn([])
    controllers.failed()
    assert controllers.address() == A


@pytest.mark.parametrize(
    "bad", ["", "lab", "lab:port", "lab:9092/x", "unix:/run/x", "a b:1", "x" * 300 + ":1"]
)
def test_what_is_no_address_is_left_out(tmp_path: Path, bad: str) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.learn([bad, A])
    controllers.failed()
    assert controllers.address() == A
    controllers.failed()
    assert controllers.address() == HERE


def test_a_list_has_an_end(tmp_path: Path) -> None:
    controllers = Controllers(tmp_path, HERE)
    controllers.learn([f"lab{number}:1" for number in range(100)])
    seen = set()
    for _ in range(100):
        controllers.failed()
        seen.add(controllers.address())
    assert len(seen) == 17


@pytest.mark.parametrize("text", ["", "{", "[]", '{"agents": 3}', '{"agents": [3, null]}', "\0"])
def test_a_damaged_file_leaves_the_place_of_enrolment(tmp_path: Path, text: str) -> None:
    (tmp_path / "controllers.json").write_text(text)
    assert Controllers(tmp_path, HERE).address() == HERE
