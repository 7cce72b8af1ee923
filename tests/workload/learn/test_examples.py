"""Training samples: whose history counts, where the loss lies, and how long they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from edgerig_workload import models
from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.context import Questions, offered
from edgerig_workload.learn.examples import IGNORED, collate, pooled_pairs, tokenise
from edgerig_workload.tasks.items import load
from edgerig_workload.tasks.prompts import Pair
from edgerig_workload.tasks.spec import TaskSpec


@pytest.fixture(scope="module")
def loaded(llama_folder: Path) -> Any:
    return models.load(llama_folder, "auto", torch.device("cpu"))


@pytest.fixture(scope="module")
def questions(data_file: Path) -> Questions:
    spec = TaskSpec("lamp-2", "classification", "accuracy", "lamp-2", ("comedy", "action"), 4)
    return Questions(spec, load(data_file))


@pytest.mark.parametrize(("history", "count"), [(-1, 6), (2, 4), (1, 2)])
def test_each_history_entry_is_learnt_once_a_user(questions: Questions, history: int, count: int) -> None:
    assert len(pooled_pairs(questions, history)) == count


def test_history_offers_the_last_items(questions: Questions) -> None:
    profile = questions.items[0].profile

    assert [entry.id for entry in offered(profile, 2)] == ["ada-p1", "ada-p2"]


def test_loss_lies_on_the_answer_alone(loaded: Any) -> None:
    [sample] = tokenise(loaded, [Pair("which one? answer:", " comedy\n")], 64)

    labels = collate(loaded, [sample]).inputs["labels"][0].tolist()

    carried = [label for label in labels if label != IGNORED]
    assert loaded.decode(carried) == " comedy\n"


def test_sequence_is_that_of_the_whole_text(loaded: Any) -> None:
    [sample] = tokenise(loaded, [Pair("which one? answer:", " comedy\n")], 64)

    assert [*sample.prompt, *sample.answer] == loaded.encode("which one? answer: comedy\n")


def test_long_prompt_loses_its_beginning_and_keeps_the_answer(loaded: Any) -> None:
    pair = Pair("word " * 50 + "answer:", " comedy\n")
    [whole], [cut] = tokenise(loaded, [pair], 1000), tokenise(loaded, [pair], 20)

    assert len(cut.prompt) + len(cut.answer) == 20
    assert (cut.answer, cut.prompt) == (whole.answer, whole.prompt[-len(cut.prompt) :])


def test_padding_is_masked_and_not_counted(loaded: Any) -> None:
    samples = tokenise(loaded, [Pair("a", " b\n"), Pair("a much longer prompt", " b\n")], 64)

    batch = collate(loaded, samples)

    assert batch.tokens == int(batch.inputs["attention_mask"].sum()) < batch.inputs["input_ids"].numel()


def test_history_of_zero_leaves_nothing_to_train_on_and_names_the_fix(questions: Questions) -> None:
    with pytest.raises(WorkerFault, match="offer more history, or use method none") as caught:
        pooled_pairs(questions, 0)

    assert caught.value.failure_class == "bad_data"
