"""The synthetic tasks plant what their knobs say, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from edgerig.errors import DataError, UsageError
from edgerig_controller.data import lexicon, synthetic
from edgerig_controller.data.synthetic import Knobs, Row, corpus, facts, generate, write
from edgerig_workload.retrieve.bm25 import Index
from edgerig_workload.retrieve.query import document, query
from edgerig_workload.tasks import catalog, prompts
from edgerig_workload.tasks.items import Item, ProfileItem, load
from edgerig_workload.tasks.metrics import score
from edgerig_workload.tasks.spec import TaskSpec

CLEAN = Knobs(label_noise=0.0, retrievability=1.0)


def made(task: str = "lamp-2", knobs: Knobs = CLEAN, users: int = 60) -> list[Row]:
    return generate(task, users=users, items_per_user=4, history=16, seed=3, knobs=knobs)


def spec(task: str, knobs: Knobs = CLEAN) -> TaskSpec:
    found = facts(task, knobs)
    return TaskSpec.from_trial(
        {
            "name": task,
            "kind": f"TASK_KIND_{found.kind.upper()}",
            "metric": found.metric,
            "prompt": found.prompt,
            "labels": list(found.labels),
            "answer_tokens": found.answer_tokens,
        }
    )


def item(row: Row) -> Item:
    return Item(
        row["id"],
        row["user"],
        row["input"],
        row["output"],
        tuple(ProfileItem(**entry) for entry in row["profile"]),
    )


def copied(row: Row, task: str, knobs: Knobs) -> bool:
    """Whether some retrieved item with the question's key word has the expected output."""
    key = row["input"].split()[-1]
    asked = item(row)
    index = Index([document(spec(task, knobs), entry) for entry in asked.profile])
    found = [asked.profile[place] for place in index.top(query(spec(task, knobs), asked), 4)]
    return any(entry.text.split()[-1] == key and entry.output == row["output"] for entry in found)


@pytest.mark.parametrize("task", synthetic.TASKS)
def test_the_same_arguments_give_the_same_rows(task: str) -> None:
    assert made(task) == made(task)


def test_the_rows_are_the_same_on_every_python() -> None:
    rows = [row for task in synthetic.TASKS for row in made(task, users=5)]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    assert digest == "8e49c3a45bfaadc783e5840537075367cfb1d251415c9463a0fba22d5c98d65f"


def test_another_seed_gives_other_rows() -> None:
    other = generate("lamp-2", users=60, items_per_user=4, history=16, seed=4, knobs=CLEAN)
    assert [row["input"] for row in other] != [row["input"] for row in made()]


def test_more_users_leave_the_earlier_ones_as_they_are() -> None:
    assert made(users=12)[:20] == made(users=5)


@pytest.mark.parametrize("task", synthetic.TASKS)
def test_the_worker_reads_what_is_written(task: str, tmp_path: Path) -> None:
    write(made(task, users=3), tmp_path / "data.jsonl")
    items = load(tmp_path / "data.jsonl")
    assert items == [item(row) for row in made(task, users=3)]
    assert {len(entry.profile) for entry in items} == {16}


@pytest.mark.parametrize("task", ["lamp-2", "lamp-3", "lamp-4", "lamp-5", "lamp-7"])
def test_questions_are_worded_as_the_workload_words_training_pairs(task: str) -> None:
    for row in made(task, users=5):
        text = query(spec(task), item(row))
        assert prompts.question(spec(task), text) == row["input"]


@pytest.mark.parametrize("task", synthetic.TASKS)
def test_the_expected_output_scores_one(task: str) -> None:
    assert {score(spec(task), row["output"], row["output"]) for row in made(task)} == {1.0}


@pytest.mark.parametrize("task", synthetic.TASKS)
def test_the_facts_agree_with_the_workers_catalogue(task: str) -> None:
    known = catalog.TASKS[task]
    found = facts(task, Knobs(classes=15))
    assert (found.kind, found.metric) == (known["kind"], known["metric"])
    assert set(found.labels) == set(known["labels"])


def test_without_noise_the_history_tells_every_answer() -> None:
    rows = made()
    assert sum(copied(row, "lamp-2", CLEAN) for row in rows) >= 0.95 * len(rows)


def test_retrievability_is_the_share_of_questions_that_repeat_the_key_word() -> None:
    knobs = Knobs(label_noise=0.0, retrievability=0.3)
    rows = made(knobs=knobs)
    repeated = [
        any(entry["text"].split()[-1] == row["input"].split()[-1] for entry in row["profile"]) for row in rows
    ]
    assert sum(repeated) / len(rows) == pytest.approx(0.3, abs=0.08)


def test_noise_makes_the_history_misleading() -> None:
    noisy = Knobs(label_noise=0.6, retrievability=1.0)
    rows = made(knobs=noisy)
    assert sum(copied(row, "lamp-2", noisy) for row in rows) < 0.7 * len(rows)


def consensus(rows: list[Row]) -> float:
    """Share of answers that equal what most users' histories say of the key word."""
    votes: dict[str, Counter[str]] = {}
    for row in rows:
        for entry in row["profile"]:
            votes.setdefault(entry["text"].split()[-1], Counter())[entry["output"]] += 1
    right = [votes[key].most_common(1)[0][0] == row["output"] for row in rows if (key := _key(row)) in votes]
    return sum(right) / len(right)


def _key(row: Row) -> str:
    return str(row["input"].split()[-1])


@pytest.mark.parametrize(("signal", "low", "high"), [(0.0, 0.999, 1.0), (0.5, 0.45, 0.75), (1.0, 0.0, 0.4)])
def test_personal_signal_is_what_other_users_cannot_tell(signal: float, low: float, high: float) -> None:
    knobs = Knobs(label_noise=0.0, retrievability=1.0, personal_signal=signal)
    assert low <= consensus(made(knobs=knobs)) <= high


@pytest.mark.parametrize("classes", [2, 5, 15])
def test_classes_bound_the_tags(classes: int) -> None:
    knobs = Knobs(classes=classes)
    outputs = {row["output"] for row in made(knobs=knobs)}
    assert outputs <= set(lexicon.LABELS[:classes])
    assert len(outputs) >= min(classes, 8)


@pytest.mark.parametrize("words", [2, 4, 6])
@pytest.mark.parametrize("task", ["lamp-4", "lamp-5"])
def test_output_words_set_the_length_of_titles(task: str, words: int) -> None:
    assert {len(row["output"].split()) for row in made(task, Knobs(output_words=words))} == {words}


def test_the_right_reference_stands_first_as_often_as_second() -> None:
    outputs = Counter(row["output"] for row in made("lamp-1", users=200))
    assert 0.42 < outputs["[1]"] / outputs.total() < 0.58


def test_a_history_may_be_empty() -> None:
    rows = generate("lamp-2", users=2, items_per_user=1, history=0, seed=1)
    assert [row["profile"] for row in rows] == [[], []]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"task": "lamp-6"}, "licensed"),
        ({"task": "lamp-9"}, "no synthetic task"),
        ({"users": 0}, "users is 0"),
        ({"items_per_user": 0}, "items_per_user is 0"),
        ({"history": -1}, "history is -1"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: dict[str, object], says: str) -> None:
    wanted = {"task": "lamp-2", "users": 1, "items_per_user": 1, "history": 1, "seed": 1, **arguments}
    with pytest.raises(UsageError, match=says):
        generate(**wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "knobs",
    [{"label_noise": 1.5}, {"personal_signal": -0.1}, {"classes": 1}, {"classes": 16}, {"output_words": 7}],
)
def test_knobs_out_of_range_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(knobs))):
        Knobs(**knobs)  # type: ignore[arg-type]


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write([], tmp_path / "none" / "data.jsonl")


def test_a_document_of_the_corpus_depends_on_its_number_alone() -> None:
    assert list(corpus(1, 30))[:10] == list(corpus(1, 10))


def test_documents_of_the_corpus_disagree_on_what_words_mean() -> None:
    meanings: dict[str, set[str]] = {}
    for entry in corpus(1, 2000):
        if entry.task == "lamp-2" and not entry.usual:
            meanings.setdefault(_key(entry.row), set()).add(entry.row["output"])
    assert min(len(found) for found in meanings.values()) >= 3


def test_usual_documents_agree_on_what_words_mean() -> None:
    # Where all tags are offered a family has one; noise is two in a hundred.
    tags: dict[str, Counter[str]] = {}
    for entry in corpus(1, 6000):
        if entry.task == "lamp-2" and entry.usual and len(entry.labels) == 15:
            tags.setdefault(_key(entry.row), Counter())[entry.row["output"]] += 1
    votes = sum(found.total() for found in tags.values())
    agreeing = sum(found.most_common(1)[0][1] for found in tags.values())
    assert agreeing >= 0.9 * votes > 0


def texts(row: Row) -> tuple[str, ...]:
    return (row["input"], *(entry["text"] for entry in row["profile"]))


def test_held_out_documents_are_not_those_of_training() -> None:
    training = {texts(entry.row) for entry in corpus(1, 2000)}
    assert not any(texts(entry.row) in training for entry in corpus(2, 500))
