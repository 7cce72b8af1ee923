"""Task data is made or checked before a device sees it, and the worker reads what comes out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgerig.errors import DataError, UsageError
from edgerig.v1 import trial_pb2
from edgerig_controller.data import rows, tasks
from edgerig_controller.data.sink import HashOnly
from edgerig_controller.data.tasks import Family, Wanted
from edgerig_workload.tasks.catalog import TASKS
from edgerig_workload.tasks.items import load
from tests.controller.study.building import row, write_rows

FAMILIES = {
    name: Family(facts["kind"], facts["metric"], tuple(facts["metrics"]), facts["answer_tokens"])
    for name, facts in TASKS.items()
}


class Kept:
    """Keeps bytes in memory, so that a test can look at them."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put_bytes(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self.contents[sha256] = data
        return sha256

    def put_file(self, path: Path) -> str:
        return self.put_bytes(path.read_bytes())


def resolve(wanted: Wanted, folder: Path = Path(), history: int = 4, blobs: Any = None) -> trial_pb2.Task:
    return tasks.resolve(wanted, folder=folder, history=history, families=FAMILIES, blobs=blobs or HashOnly())


def own(folder: Path, lines: list[dict[str, Any]], **wanted: Any) -> trial_pb2.Task:
    write_rows(folder / "own.jsonl", lines)
    return resolve(Wanted("own", "jsonl", path="own.jsonl", **{"kind": "generation", **wanted}), folder)


def faults(folder: Path, lines: list[Any], **wanted: Any) -> str:
    with pytest.raises(DataError) as caught:
        own(folder, lines, **wanted)
    assert caught.value.hint
    return caught.value.message


def test_synthetic_data_has_the_asked_size(tmp_path: Path) -> None:
    kept = Kept()
    task = resolve(Wanted("lamp-2", "synthetic", users=3, items_per_user=2), history=5, blobs=kept)
    (data,) = kept.contents.values()
    (tmp_path / "data.jsonl").write_bytes(data)
    items = load(tmp_path / "data.jsonl")
    assert (task.user_count, task.item_count, len(items)) == (3, 6, 6)
    assert {len(item.profile) for item in items} == {5}
    assert (task.data.sha256, task.data.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_synthetic_data_is_the_same_every_time() -> None:
    wanted = Wanted("lamp-3", "synthetic")
    assert resolve(wanted) == resolve(wanted)


def test_a_synthetic_task_is_described_by_the_catalogue() -> None:
    task = resolve(Wanted("lamp-3", "synthetic", metric="accuracy"))
    assert (task.kind, task.metric, task.prompt) == (trial_pb2.TASK_KIND_RATING, "accuracy", "lamp-3")
    assert task.answer_tokens == FAMILIES["lamp-3"].answer_tokens


def test_outputs_of_synthetic_classes_are_among_the_labels(tmp_path: Path) -> None:
    kept = Kept()
    task = resolve(Wanted("lamp-2", "synthetic"), blobs=kept)
    outputs = {json.loads(line)["output"] for data in kept.contents.values() for line in data.splitlines()}
    assert outputs <= set(task.labels)


@pytest.mark.parametrize("name", ["lamp-6", "plain", "lamp-22"])
def test_a_task_that_is_not_made_here_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"no synthetic task `{name}`"):
        resolve(Wanted(name, "synthetic"))


@pytest.mark.parametrize(
    ("levels", "expected"), [((4, 16, 8), 16), ((-1,), 16), ((-1, 64), 64), ((-1, 4), 16), ((0,), 0)]
)
def test_users_get_the_largest_history_of_the_study(levels: tuple[int, ...], expected: int) -> None:
    assert tasks.largest_history(levels) == expected


def test_an_own_file_is_taken_as_it_is(tmp_path: Path) -> None:
    task = own(tmp_path, [row(1), row(2, user="u2", output="no")])
    content = (tmp_path / "own.jsonl").read_bytes()
    assert task.data.sha256 == hashlib.sha256(content).hexdigest()
    assert (task.prompt, task.metric, task.user_count, task.item_count) == ("plain", "rouge1_f", 2, 2)


def test_labels_of_a_classification_are_the_distinct_outputs_in_order(tmp_path: Path) -> None:
    lines = [row(1, output="yes"), row(2, output="no"), row(3, output="yes")]
    assert list(own(tmp_path, lines, kind="classification").labels) == ["no", "yes"]


def test_given_labels_keep_their_order(tmp_path: Path) -> None:
    task = own(tmp_path, [row(1)], kind="classification", labels=("yes", "no", "maybe"))
    assert list(task.labels) == ["yes", "no", "maybe"]


def test_one_class_is_no_classification(tmp_path: Path) -> None:
    assert "needs 2 to 1000 labels" in faults(tmp_path, [row(1)], kind="classification")


def test_an_output_outside_the_labels_is_named(tmp_path: Path) -> None:
    found = faults(tmp_path, [row(1, output="perhaps")], kind="classification", labels=("yes", "no"))
    assert "line 1 (item 'q1'): `output` 'perhaps' is none of the labels" in found


@pytest.mark.parametrize("output", ["6", "good", "nan", "", 0])
def test_a_rating_is_on_the_scale(tmp_path: Path, output: object) -> None:
    assert "is no score from 1 to 5" in faults(tmp_path, [row(1, output=output)], kind="rating")


def test_numbers_stand_for_text_as_in_the_worker(tmp_path: Path) -> None:
    lines = [row(1, output=3), row(2, output=3.0), row(3, output=2.5)]
    task = own(tmp_path, lines, kind="classification")
    read = {item.output for item in load(tmp_path / "own.jsonl")}
    assert set(task.labels) == read == {"3", "2.5"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"id": "q1"}, "line 1 (item 'q1'): `user` is missing"),
        (row(1, id=""), "line 1: `id` is empty"),
        (row(1, id=["x"]), "`id` must be text"),
        (row(1, input="  "), "`input` is empty"),
        (row(1, user=True), "`user` must be text"),
        (row(1, profile="x"), "`profile` must be a list"),
        (row(1, profile=[3]), "profile[0] is not a JSON object"),
        (row(1, profile=[{"id": "a", "text": "b"}]), "profile[0]: `output` is missing"),
        (row(1, profile=[{"id": "a", "text": "b", "output": "c", "heading": "d"}]), "unknown key `heading`"),
        (row(1, extra=1), "unknown key `extra`; known are id, user, input, output, profile"),
        ([1, 2], "line 1: not a JSON object"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: Any, expected: str) -> None:
    assert expected in faults(tmp_path, [line])


def test_lines_that_are_not_json_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_bytes(b'{"id": \n\xff\xfe\n' + b"[" * 100_000 + b"\n")
    wanted = Wanted("own", "jsonl", path="own.jsonl", kind="generation")
    with pytest.raises(DataError) as caught:
        resolve(wanted, tmp_path)
    assert [line.partition(":")[0] for line in caught.value.message.splitlines()[1:]] == [
        "line 1",
        "line 2",
        "line 3",
    ]


def test_twenty_faults_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    found = faults(tmp_path, [row(n, input="") for n in range(50)]).splitlines()
    assert (found[0].endswith("has 50 fault(s):"), len(found), found[-1]) == (True, 22, "and 30 more")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "holds no items" in faults(tmp_path, [])


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        resolve(Wanted("own", "jsonl", path="own.jsonl", kind="generation"), tmp_path)


@pytest.mark.parametrize("path", ["a\x00b", "a" * 900, "."])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError):
        resolve(Wanted("own", "jsonl", path=path, kind="generation"), tmp_path)


def test_a_line_without_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LINE_BYTES", 200)
    assert "line 1: longer than 200 bytes" in faults(tmp_path, [row(1, input="x" * 500)])


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text("\n" + json.dumps(row(1)) + "\n\n")
    task = resolve(Wanted("own", "jsonl", path="own.jsonl", kind="generation"), tmp_path)
    assert task.item_count == 1
