"""Evaluation: a model that can answer is scored as right, and what went into a prompt is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from edgerig_workload import models, trial
from edgerig_workload.evaluate import BATCH_ROWS, BATCH_TOKENS, batches, evaluate
from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn import method
from edgerig_workload.learn.context import Context, Questions
from edgerig_workload.phases import Marks, ProcResidentSet
from edgerig_workload.tasks.items import load
from edgerig_workload.tasks.spec import TaskSpec


def scores(
    document: dict[str, Any],
    folder: Path,
    data: Path,
    recorder: Any,
    out: Path,
    encoder: Path | None = None,
) -> list[dict[str, Any]]:
    parsed = trial.parse(document)
    torch.manual_seed(parsed.seed)
    loaded = models.load(folder, "auto", torch.device("cpu"))
    questions = Questions(TaskSpec.from_trial(parsed.task), load(data))
    questions = questions.for_model(encoder_decoder=loaded.encoder_decoder)
    marks = Marks(recorder, ProcResidentSet())
    context = Context(parsed, loaded, questions, marks, recorder, out, encoder=encoder)
    evaluate(context, method(parsed.method.kind)(context))
    found: list[dict[str, Any]] = recorder.of("score")
    return found


def test_model_that_was_trained_on_the_answers_scores_full(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    """End to end: prompts, generation, stopping, reading and comparing agree with training."""
    trial_document["method"] = {"kind": "lora", "parameters": {"r": 8}}
    trial_document["budgets"]["train"] = {"steps": 150}
    trial_document["task"]["answer_tokens"] = 12

    found = scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert [score["score"] for score in found] == [1.0] * 4, found


def test_encoder_decoder_that_was_trained_on_the_answers_scores_full(
    trial_document: dict[str, Any], t5_pieces_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    """With published prompts and pieces that know no line break: the answer ends at the end token."""
    trial_document["task"] |= {"prompt": "lamp-2-published", "answer_tokens": 12}
    # At twice this rate the loss leaps now and then, and the last step may be one of those.
    trial_document["method"] = {"kind": "full", "parameters": {"lr": 3e-3}}
    trial_document["budgets"]["train"] = {"steps": 120}

    found = scores(trial_document, t5_pieces_folder, data_file, recorder, tmp_path)

    assert [score["score"] for score in found] == [1.0] * 4, found


def test_random_model_scores_nothing(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    found = scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert [score["score"] for score in found] == [0.0] * 4


def test_retrieval_is_a_phase_of_its_own_inside_the_evaluation(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document["method"] = {"kind": "rag", "parameters": {"k": 1}}

    scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert [event["phase"] for event in recorder.of("phase")] == [
        "PHASE_INDEX",
        "PHASE_RETRIEVE",
        "PHASE_EVALUATE",
    ]


def test_retrieved_items_are_counted_and_lengthen_the_prompt(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    bare = scores(trial_document, llama_folder, data_file, recorder, tmp_path)
    trial_document["method"] = {"kind": "rag", "parameters": {"k": 2}}
    recorder.events.clear()
    personal = scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert [score["retrieved_count"] for score in personal] == [2] * 4
    assert all(after["tokens_in"] > before["tokens_in"] for before, after in zip(bare, personal, strict=True))


@pytest.mark.parametrize("retriever", ["recency", "random", "dense", "half"])
def test_every_retriever_puts_items_into_the_prompt(
    trial_document: dict[str, Any],
    llama_folder: Path,
    bert_folder: Path,
    data_file: Path,
    recorder: Any,
    tmp_path: Path,
    retriever: str,
) -> None:
    parameters = {"k": 2, "retriever": retriever, "encoder": "bert"}
    trial_document["method"] = {"kind": "rag", "parameters": parameters}

    found = scores(trial_document, llama_folder, data_file, recorder, tmp_path, bert_folder)

    assert [score["retrieved_count"] for score in found] == [2] * 4


def test_search_by_meaning_without_an_encoder_is_a_missing_precondition(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document["method"] = {"kind": "rag", "parameters": {"retriever": "dense"}}

    with pytest.raises(WorkerFault, match="name its folder as `encoder`") as caught:
        scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert caught.value.failure_class == "precondition"


def test_items_beyond_the_history_are_not_offered(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document |= {"history": 1, "method": {"kind": "rag", "parameters": {"k": 3}}}

    found = scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert [score["retrieved_count"] for score in found] == [1] * 4


def test_history_of_zero_asks_bare_questions(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document |= {"history": 0, "method": {"kind": "rag", "parameters": {"k": 3}}}

    found = scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert [(score["retrieved_count"], score["truncated"]) for score in found] == [(0, False)] * 4


def test_prompt_too_long_for_the_context_is_cut_and_told(
    trial_document: dict[str, Any], llama_folder: Path, recorder: Any, tmp_path: Path
) -> None:
    data = tmp_path / "long.jsonl"
    words = "word " * 400
    data.write_text(
        f'{{"id": "1", "user": "u", "input": "description: {words}", "output": "comedy", "profile": []}}\n'
    )

    [found] = scores(trial_document, llama_folder, data, recorder, tmp_path)

    assert found["truncated"]
    assert found["tokens_in"] <= 256 - 4


@pytest.mark.parametrize(
    ("length", "rows"), [(10, BATCH_ROWS), (BATCH_TOKENS // 4, 4), (BATCH_TOKENS * 3, 1)]
)
def test_batches_are_bounded_in_rows_and_tokens(length: int, rows: int) -> None:
    found = list(batches(range(40), [length] * 40))

    assert max(len(batch) for batch in found) == rows
    assert [place for batch in found for place in batch] == list(range(40))


def test_corpus_metrics_are_told_beside_the_items(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    scores(trial_document, llama_folder, data_file, recorder, tmp_path)

    assert recorder.of("metric") == [{"name": "accuracy", "value": 0.0}, {"name": "macro_f1", "value": 0.0}]
