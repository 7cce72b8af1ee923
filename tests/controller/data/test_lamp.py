"""LaMP's file formats: every fault with its place, and what a study takes out of sound files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgerig.errors import DataError, UsageError
from edgerig_controller.data import lamp, lamp_write, synthetic, tasks
from edgerig_controller.data.lamp_shapes import SHAPES, Files
from edgerig_controller.data.sink import HashOnly
from edgerig_controller.data.tasks import Family, Wanted
from edgerig_workload.learn.context import offered
from edgerig_workload.tasks.catalog import TASKS
from edgerig_workload.tasks.items import load
from edgerig_workload.tasks.prompts import training_pairs
from edgerig_workload.tasks.spec import TaskSpec

FAMILIES = {
    name: Family(
        entry["kind"],
        entry["metric"],
        tuple(entry["metrics"]),
        entry["answer_tokens"],
        tuple(entry["labels"]),
    )
    for name, entry in TASKS.items()
}


def review(number: int, **changes: Any) -> dict[str, Any]:
    """One question of LaMP-3."""
    profile = [
        {
            "id": f"{number}{place}",
            "text": f"review {place}",
            "score": str(1 + place),
            "date": f"2020-1-{place + 1}",
        }
        for place in range(3)
    ]
    return {
        "id": str(number),
        "user_id": f"u{number % 2}",
        "input": "What is the score? review: fine",
        "profile": profile,
    } | changes


def put(
    folder: Path,
    questions: list[Any],
    golds: list[Any] | None = None,
    task: str = "LaMP_3",
    part: str = "dev",
) -> Files:
    """Write questions, one a line, with a gold of 4 for each that has an id."""
    folder.mkdir(parents=True, exist_ok=True)
    if golds is None:
        golds = [{"id": question["id"], "output": "4"} for question in questions]
    files = Files(folder / f"{part}_questions.json", folder / f"{part}_outputs.json")
    files.questions.write_text("[\n" + ",\n".join(json.dumps(question) for question in questions) + "\n]")
    files.outputs.write_text(json.dumps({"task": task, "golds": golds}))
    return files


def faults(files: Files, name: str = "lamp-3") -> list[tuple[str, int, str, str]]:
    return [
        (fault.kind, fault.line, fault.item_id, fault.message) for fault in lamp.check(files, name).faults
    ]


def only(files: Files, name: str = "lamp-3") -> tuple[str, int, str, str]:
    [fault] = faults(files, name)
    return fault


class Kept(HashOnly):
    """Keeps the task data that it was given."""

    def __init__(self) -> None:
        self.data = b""

    def put_file(self, path: Path) -> str:
        self.data = path.read_bytes()
        return super().put_file(path)


def resolve(
    folder: Path, name: str = "lamp-3", kept: int | None = None, **wanted: Any
) -> tuple[Any, list[dict[str, Any]]]:
    blobs = Kept()
    asked = Wanted(name, "lamp", path=str(folder), **wanted)
    task = tasks.resolve(asked, folder=Path(), history=16, families=FAMILIES, blobs=blobs, kept=kept)
    return task, [json.loads(line) for line in blobs.data.splitlines()]


def test_sound_files_have_no_fault(tmp_path: Path) -> None:
    findings = lamp.check(put(tmp_path, [review(1), review(2), review(3)]), "lamp-3")

    assert findings.faults == []
    assert (findings.item_count, findings.users) == (3, {"u1": 2, "u0": 1})
    assert (findings.profile_item_count, findings.longest_profile) == (9, 3)


def test_broken_record_is_told_with_its_line_its_byte_and_its_id(tmp_path: Path) -> None:
    files = put(tmp_path, [review(1), review(2)])
    files.questions.write_text(files.questions.read_text().replace('"id": "2", ', '"id": "2" '))

    [fault, unanswered] = lamp.check(files, "lamp-3").faults

    assert (fault.kind, fault.line, fault.item_id) == ("broken_record", 3, "2")
    assert files.questions.read_bytes()[fault.offset_bytes :].startswith(b'{"id": "2"')
    assert str(fault).startswith("dev_questions.json, line 3, byte ")
    assert unanswered.kind == "gold_without_question"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"profile": []}, "empty_history", "the history is empty"),
        ({"profile": None}, "missing_field", "`profile` is missing or no list"),
        ({"input": " "}, "missing_field", "`input` is missing or empty"),
        (
            {"profile": [{"id": "p", "text": "x"}]},
            "missing_field",
            "profile[0]: `score` is missing or no text",
        ),
        (
            {"profile": [{"id": "p", "text": "x", "score": "6"}]},
            "history_label",
            "profile[0]: `score` '6' is none of 1 to 5",
        ),
        ({"profile": ["p"]}, "missing_field", "profile[0]: it is no object"),
    ],
)
def test_fault_of_a_question_is_told(
    tmp_path: Path, changes: dict[str, Any], kind: str, message: str
) -> None:
    assert only(put(tmp_path, [review(1), review(2, **changes)])) == (kind, 3, "2", message)


def test_id_that_was_used_before_is_told_even_on_the_same_line(tmp_path: Path) -> None:
    files = put(tmp_path, [review(1)])
    files.questions.write_text(json.dumps([review(1), review(1)]))

    kind, _, item_id, message = only(files)

    assert (kind, item_id, message) == ("duplicate_id", "1", "the id was used before: line 1, byte 1")


def test_question_without_an_id_is_broken(tmp_path: Path) -> None:
    question = review(2)
    del question["id"]

    assert only(put(tmp_path, [review(1), question], [{"id": "1", "output": "4"}])) == (
        "broken_record",
        3,
        "",
        "`id` is missing or empty",
    )


def test_questions_and_golds_must_go_together(tmp_path: Path) -> None:
    files = put(tmp_path, [review(1)], [{"id": "2", "output": "4"}])

    assert [fault[:1] + fault[2:] for fault in faults(files)] == [
        ("question_without_gold", "1", "no gold answers it"),
        ("gold_without_question", "2", "no question asks it"),
    ]


@pytest.mark.parametrize(
    ("name", "task", "output", "message"),
    [
        ("lamp-3", "LaMP_3", "6", "`output` '6' is none of 1 to 5"),
        ("lamp-3", "LaMP_3", "good", "`output` 'good' is none of 1 to 5"),
        ("lamp-1", "LaMP_1", "[3]", "`output` '[3]' is none of the 2 labels"),
    ],
)
def test_label_outside_the_set_is_told(
    tmp_path: Path, name: str, task: str, output: str, message: str
) -> None:
    shape = SHAPES[name]
    question = review(1, profile=[{"id": "p", shape.text: "x", shape.output: "3"}])

    assert only(put(tmp_path, [question], [{"id": "1", "output": output}], task), name)[::3] == (
        "label",
        message,
    )


def test_outputs_of_another_task_are_told(tmp_path: Path) -> None:
    assert only(put(tmp_path, [review(1)], task="LaMP_4"))[0] == "other_task"


def test_emails_that_are_only_ids_are_refused_with_their_licence(tmp_path: Path) -> None:
    ids = review(
        1, input="001-000017-EM.txt", profile=[{"id": "1", "text": "001-000018-EM.txt", "title": "x"}]
    )

    with pytest.raises(DataError, match="LDC2015T03") as caught:
        lamp.check(put(tmp_path, [ids], [{"id": "1", "output": ""}], "LaMP_6"), "lamp-6")

    assert "lamp-4" in caught.value.hint


def test_emails_with_their_text_are_taken(tmp_path: Path) -> None:
    question = review(
        1,
        input="Generate a subject for the following email: hi",
        profile=[{"id": "1", "text": "t", "title": "s"}],
    )
    files = put(tmp_path, [question], [{"id": "1", "output": "greeting"}], "LaMP_6")

    assert faults(files, "lamp-6") == []


def test_faults_beyond_a_thousand_are_counted_and_not_kept(tmp_path: Path) -> None:
    findings = lamp.check(put(tmp_path, [review(n, profile=[]) for n in range(1200)]), "lamp-3")

    assert (len(findings.faults), findings.fault_count) == (1000, 1200)


@pytest.mark.parametrize("place", ["", "LaMP_3/dev", "LaMP_3", "dev", "LaMP-3/dev", "user/LaMP_3/dev"])
def test_files_are_found_as_downloads_are_laid_out(tmp_path: Path, place: str) -> None:
    files = put(tmp_path / place, [review(1)])

    assert lamp.locate(tmp_path, "lamp-3", "user", "dev") == files


def test_time_split_has_a_tree_of_its_own(tmp_path: Path) -> None:
    by_user = put(tmp_path / "LaMP_3/dev", [review(1)])
    by_time = put(tmp_path / "time/LaMP_3/dev", [review(1)])

    assert lamp.locate(tmp_path, "lamp-3", "user", "dev") == by_user
    assert lamp.locate(tmp_path, "lamp-3", "time", "dev") == by_time


def test_files_that_are_not_there_are_told_with_the_places(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        lamp.locate(tmp_path, "lamp-3", "user", "dev")

    assert "no dev_questions.json of lamp-3" in caught.value.message
    assert "LaMP_3/dev" in caught.value.hint


def test_questions_without_outputs_are_told(tmp_path: Path) -> None:
    put(tmp_path, [review(1)], part="train").outputs.unlink()

    with pytest.raises(DataError, match="no outputs beside it"):
        lamp.locate(tmp_path, "lamp-3", "user", "train")


def test_an_unknown_task_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no LaMP task `lamp-8`"):
        lamp.locate(tmp_path, "lamp-8", "user", "dev")


def test_old_and_new_version_of_the_second_task_are_told_apart(tmp_path: Path) -> None:
    news = review(1, profile=[{"id": "p", "text": "x", "title": "t", "category": "sports"}])
    movies = review(1, profile=[{"id": "p", "description": "x", "tag": "comedy"}])
    put(tmp_path / "a/LaMP_2/dev", [news], [{"id": "1", "output": "sports"}], "LaMP_2")
    put(tmp_path / "b/LaMP_2/dev", [movies], [{"id": "1", "output": "comedy"}], "LaMP_2")

    assert [part[0] for part in lamp.found_parts(tmp_path / "a")] == ["lamp-2n"]
    assert [part[0] for part in lamp.found_parts(tmp_path / "b")] == ["lamp-2"]


def test_a_study_gets_the_latest_items_in_the_order_of_their_dates(tmp_path: Path) -> None:
    profile = [
        {"id": "new", "text": "n", "score": "5", "date": "2021-2-1"},
        {"id": "old", "text": "o", "score": "1", "date": "2020-12-1"},
        {"id": "mid", "text": "m", "score": "3", "date": "2021-1-15"},
    ]
    put(tmp_path, [review(1, profile=profile)])

    task, [row] = resolve(tmp_path, kept=2)

    assert [entry["id"] for entry in row["profile"]] == ["mid", "new"]
    assert row["profile"][0] == {"id": "mid", "text": "m", "output": "3", "date": "2021-1-15"}
    assert (row["user"], row["output"]) == ("u1", "4")
    assert (task.prompt, task.metric, task.item_count, task.user_count) == (
        "lamp-3-published",
        "rating",
        1,
        1,
    )


def test_without_dates_the_order_of_the_file_stays(tmp_path: Path) -> None:
    profile = [{"id": name, "text": "x", "score": "5"} for name in "cab"]
    put(tmp_path, [review(1, profile=profile)])

    _, [row] = resolve(tmp_path)

    assert [entry["id"] for entry in row["profile"]] == ["c", "a", "b"]
    assert lamp.check(lamp.locate(tmp_path, "lamp-3", "user", "dev"), "lamp-3").undated_profile_count == 1


def test_the_same_users_are_taken_and_more_keep_them(tmp_path: Path) -> None:
    put(tmp_path, [review(n, user_id=f"u{n % 10}") for n in range(40)])

    few, many = (resolve(tmp_path, users=count)[1] for count in (3, 6))

    assert len({row["user"] for row in few}) == 3
    assert len(few) == 12
    assert {row["user"] for row in few} < {row["user"] for row in many}


def test_without_user_ids_a_question_stands_for_its_user(tmp_path: Path) -> None:
    questions = [review(1), review(2)]
    for question in questions:
        del question["user_id"]
    put(tmp_path, questions)

    task, rows = resolve(tmp_path)

    assert (task.user_count, [row["user"] for row in rows]) == (2, ["1", "2"])


def test_a_study_lives_with_an_empty_history_but_not_with_other_faults(tmp_path: Path) -> None:
    put(tmp_path / "a", [review(1, profile=[]), review(2)])
    put(tmp_path / "b", [review(1, input="")])

    _, rows = resolve(tmp_path / "a")
    with pytest.raises(DataError, match="`input` is missing or empty") as caught:
        resolve(tmp_path / "b")

    assert [len(row["profile"]) for row in rows] == [0, 3]
    assert "edgerig task check" in caught.value.hint


@pytest.mark.parametrize("name", synthetic.TASKS)
def test_synthetic_task_in_published_form_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    made = synthetic.generate(name, users=3, items_per_user=2, history=5, seed=1)
    lamp_write.write(name, iter(made), tmp_path, "dev")

    findings = lamp.check(lamp.locate(tmp_path, name, "user", "dev"), name)
    _, rows = resolve(tmp_path, name)

    assert findings.faults == []
    assert rows == made


@pytest.mark.parametrize("name", synthetic.TASKS)
def test_worker_reads_what_a_study_takes_and_can_learn_from_it(tmp_path: Path, name: str) -> None:
    made = synthetic.generate(name, users=2, items_per_user=1, history=4, seed=1)
    lamp_write.write(name, iter(made), tmp_path, "dev")
    task, rows = resolve(tmp_path, name)
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kind = f"TASK_KIND_{FAMILIES[name].kind.upper()}"
    spec = TaskSpec.from_trial(
        {"name": name, "kind": kind, "prompt": task.prompt, "labels": list(task.labels)}
    )

    items = load(path)
    pairs = training_pairs(spec, offered(items[0].profile, -1))

    assert len(items) == 2
    assert len(pairs) == 4


def test_labels_are_those_that_the_worker_knows() -> None:
    assert {name: shape.labels for name, shape in SHAPES.items()} == {
        name: FAMILIES[name].labels for name in SHAPES
    }


@pytest.mark.parametrize(("levels", "kept"), [((4, 16), 16), ((4, -1), None), ((0,), 16), ((0, 2), 2)])
def test_as_much_of_a_history_is_kept_as_a_study_can_use(levels: tuple[int, ...], kept: int | None) -> None:
    assert tasks.kept_history(levels) == kept
