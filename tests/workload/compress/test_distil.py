"""Distillation: its loss against autograd, and a student that comes nearer to its teacher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402 - after the check

from edgerig_workload import compress, models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.compress import distil  # noqa: E402
from edgerig_workload.compress.catalog import LOGITS, SEQUENCE  # noqa: E402
from edgerig_workload.compress.soft_targets import (  # noqa: E402
    SoftTargets,
    divergence,
    mean_divergence,
)
from edgerig_workload.faults import WorkerFault  # noqa: E402
from edgerig_workload.frame import Attempt, Folders  # noqa: E402
from edgerig_workload.learn.examples import IGNORED, Batch  # noqa: E402
from edgerig_workload.learn.losses import answer_logits  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402

Run = Callable[..., Attempt]
CPU = torch.device("cpu")


def drawn(*shape: int, seed: int) -> Any:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def written_out(own: Any, told: Any, temperature: float) -> Any:
    """The formula as the paper has it, in double precision."""
    probabilities = functional.softmax(told.double() / temperature, dim=-1)
    log_own = functional.log_softmax(own.double() / temperature, dim=-1)
    per_token = (probabilities * (probabilities.log() - log_own)).sum(-1)
    return temperature**2 * per_token.mean()


@pytest.fixture
def batch() -> Batch:
    ids = torch.randint(4, 320, (3, 12), generator=torch.Generator().manual_seed(2))
    labels = ids.clone()
    # Prompts of different lengths, and a padded row.
    labels[0, :8], labels[1, :5], labels[1, 10:], labels[2, :9] = IGNORED, IGNORED, IGNORED, IGNORED
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    return Batch({"input_ids": ids, "attention_mask": mask, "labels": labels}, 3, 34)


@pytest.fixture
def student(llama_folder: Path) -> Any:
    return models.load(llama_folder, "float32", CPU)


@pytest.fixture
def teacher(llama_folder: Path) -> Any:
    """The same model with other weights."""
    loaded = models.load(llama_folder, "float32", CPU)
    with torch.no_grad():
        for seed, weight in enumerate(loaded.model.parameters()):
            weight.add_(0.02 * drawn(*weight.shape, seed=seed))
    return loaded


def gradients(model: Any) -> list[Any]:
    return [weight.grad.clone() for weight in model.parameters()]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
@pytest.mark.parametrize("rows", [1, 64, 150])
def test_loss_and_gradient_are_those_of_the_written_formula(temperature: float, rows: int) -> None:
    own, told = drawn(rows, 37, seed=1).requires_grad_(), drawn(rows, 37, seed=2)
    reference = own.detach().clone().requires_grad_()

    loss = divergence(own, told, temperature)
    loss.backward()
    expected = written_out(reference, told, temperature)
    expected.backward()

    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.allclose(own.grad, reference.grad, rtol=1e-4, atol=1e-8)


def test_a_teacher_that_is_the_student_teaches_exactly_nothing() -> None:
    own = drawn(100, 37, seed=1).requires_grad_()

    loss = divergence(own, own.detach().clone(), 2.0)
    loss.backward()

    assert float(loss.detach()) == 0.0
    assert not own.grad.any()


def test_square_of_the_temperature_keeps_the_size_of_the_gradient() -> None:
    sizes = []
    for temperature in (50.0, 100.0):
        own, told = drawn(20, 37, seed=1).requires_grad_(), drawn(20, 37, seed=2)
        divergence(own, told, temperature).backward()
        sizes.append(float(own.grad.norm()))

    # Without the factor the second would be a quarter of the first.
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


def test_columns_that_only_one_model_has_are_left_out() -> None:
    own, told = drawn(5, 30, seed=1).requires_grad_(), drawn(5, 40, seed=2)

    loss = divergence(own, told, 1.0)
    loss.backward()

    assert float(loss.detach()) == pytest.approx(
        float(written_out(own, told[:, :30], 1.0).detach()), rel=1e-5
    )
    assert own.grad.shape == own.shape


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_logits_are_those_that_predict_the_answer_tokens(
    kind: str, batch: Batch, request: pytest.FixtureRequest
) -> None:
    loaded = models.load(request.getfixturevalue(f"{kind}_folder"), "float32", CPU)

    logits = answer_logits(loaded.model, batch)

    labels = batch.inputs["labels"] if loaded.encoder_decoder else batch.inputs["labels"][:, 1:]
    told = functional.cross_entropy(logits, labels[labels != IGNORED])
    with torch.no_grad():
        assert float(told) == pytest.approx(float(loaded.model(**batch.inputs).loss), rel=1e-5)


def test_alpha_weighs_both_parts_over_the_answer_tokens(student: Any, teacher: Any, batch: Batch) -> None:
    alpha, temperature = 0.3, 2.0
    loss = SoftTargets(student.model, teacher.model, alpha, temperature).estimate(batch)
    found = gradients(student.model)

    student.model.zero_grad()
    labels = batch.inputs["labels"][:, 1:]
    kept = labels != IGNORED
    own = student.model(**batch.inputs).logits[:, :-1][kept]
    with torch.no_grad():
        told = teacher.model(**batch.inputs).logits[:, :-1][kept]
    expected = alpha * functional.cross_entropy(own, labels[kept]) + (1 - alpha) * written_out(
        own, told, temperature
    )
    expected.backward()

    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for ours, theirs in zip(found, gradients(student.model), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_with_itself_as_teacher_only_the_answers_are_left(
    student: Any, llama_folder: Path, batch: Batch
) -> None:
    twin = models.load(llama_folder, "float32", CPU)
    student.model.requires_grad_(True)

    loss = SoftTargets(student.model, twin.model, 0.0, 2.0).estimate(batch)

    assert loss == pytest.approx(0.0, abs=1e-9)
    assert max(float(grad.abs().max()) for grad in gradients(student.model)) < 1e-6


def test_distance_is_the_mean_over_tokens_and_not_over_batches(
    student: Any, teacher: Any, batch: Batch
) -> None:
    rows = [Batch({name: value[[row]] for name, value in batch.inputs.items()}, 1, 12) for row in range(3)]

    assert mean_divergence(student.model, teacher.model, rows) == pytest.approx(
        mean_divergence(student.model, teacher.model, [batch]), rel=1e-4
    )
    assert mean_divergence(student.model, student.model, [batch]) == 0.0


@pytest.fixture
def run(trial_document: dict[str, Any], data_file: Path, recorder: Any, tmp_path: Path) -> Run:
    """Runs a distillation and a method through the whole frame."""

    def go(
        student: Path, teacher: Path | None, kind: str, *, data: Path | None = None, **parameters: Any
    ) -> Attempt:
        document = {
            **trial_document,
            "method": {"kind": parameters.pop("method", "none")},
            "compression": {"kind": kind, "parameters": {"teacher": "a model", **parameters}},
            "inference": {},
        }
        attempt = Attempt(
            trial.parse(document),
            Folders(student, data or data_file, tmp_path, teacher=teacher),
            recorder,
            Marks(recorder, ProcResidentSet()),
            began_mono_ns=0,
            sleep=lambda seconds: None,
        )
        attempt.run()
        return attempt

    return go


def starter(name: str) -> Path:
    return Path(__file__).parents[3] / "controller/edgerig_controller/data/starter" / name


@pytest.mark.parametrize("kind", [LOGITS, SEQUENCE])
def test_a_starter_student_comes_nearer_to_its_teacher_on_questions_it_never_saw(
    kind: str, run: Run, tmp_path: Path
) -> None:
    attempt = (
        run(starter("tiny"), starter("small"), kind, steps=30, batch=6, alpha=0.0)
        if kind == LOGITS
        else run(starter("tiny"), starter("small"), kind, steps=30, batch=6)
    )

    report = json.loads((tmp_path / compress.REPORT).read_text())
    before, after = (report[f"teacher_kl_{when}_nats"] for when in ("before", "after"))
    assert 0 < after < 0.8 * before
    assert attempt.facts["teacher_kl_after_nats"] == after
    assert attempt.facts["distil_step_count"] == 30
    assert attempt.facts["teacher_parameter_count"] > attempt.facts["parameter_count"]


def test_alpha_one_is_plain_training_bit_for_bit(
    run: Run,
    llama_folder: Path,
    trial_document: dict[str, Any],
    data_file: Path,
    recorder: Any,
    tmp_path: Path,
) -> None:
    from safetensors.torch import load_file

    plain = {
        **trial_document,
        "method": {"kind": "full", "parameters": {"batch": 4}},
        "budgets": {"train": {"steps": 5}},
        "inference": {},
    }
    Attempt(
        trial.parse(plain),
        Folders(llama_folder, data_file, tmp_path / "plain"),
        recorder,
        Marks(recorder, ProcResidentSet()),
        began_mono_ns=0,
        sleep=lambda seconds: None,
    ).run()
    expected = load_file(tmp_path / "plain" / "trained.safetensors")
    torch.manual_seed(3)
    loaded = models.load(llama_folder, "float32", CPU)
    before = loaded.model.model.embed_tokens.weight.clone()

    distil.transform(loaded, *_asked(trial_document, data_file, llama_folder, alpha=1.0, steps=5, batch=4))

    found = dict(loaded.model.named_parameters())
    assert sorted(found) == sorted(expected)
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert not torch.equal(before, found["model.embed_tokens.weight"])
    assert not any(weight.requires_grad for weight in found.values())


def _asked(document: dict[str, Any], data: Path, teacher: Path, **parameters: Any) -> tuple[Any, Any]:
    from edgerig_workload.learn.context import Questions
    from edgerig_workload.tasks.items import load
    from edgerig_workload.tasks.spec import TaskSpec

    parsed = trial.parse({**document, "compression": {"kind": LOGITS, "parameters": parameters}})
    questions = Questions(TaskSpec.from_trial(parsed.task), load(data))
    return parsed.compression, compress.Material(questions, parsed.seed, teacher)


def test_answers_of_the_teacher_are_a_phase_of_their_own_inside_compress(
    run: Run, recorder: Any, llama_folder: Path
) -> None:
    run(starter("tiny"), starter("small"), SEQUENCE, steps=1, batch=2)

    spans = {
        (event["phase"], event["index"]): (
            event["begin_mono_ns"],
            event["end_mono_ns"],
            event["rss_peak_bytes"],
        )
        for event in recorder.of("phase")
    }
    whole, teach = spans["PHASE_COMPRESS", 0], spans["PHASE_TEACH", 0]
    assert whole[0] < teach[0] < teach[1] < whole[1]
    assert teach[2] <= whole[2]
    assert {("PHASE_POINT", 0), ("PHASE_POINT", 1)} <= set(spans)


def test_the_student_learns_the_words_of_the_teacher(
    run: Run, recorder: Any, monkeypatch: pytest.MonkeyPatch, llama_folder: Path
) -> None:
    seen: list[Any] = []
    real = distil.drill

    def spied(loaded: Any, choice: Any, estimator: Any, samples: Any, seed: int) -> Any:
        seen.extend(loaded.decode(list(sample.answer)).strip() for sample in samples)
        return real(loaded, choice, estimator, samples, seed)

    monkeypatch.setattr(distil, "drill", spied)
    run(starter("tiny"), starter("large"), SEQUENCE, steps=2, batch=2, held_out=0)

    # Four samples are all that two steps of two can use.
    assert len(seen) == 4
    assert all(seen)


def test_nothing_is_measured_where_nothing_is_held_out(run: Run, recorder: Any, llama_folder: Path) -> None:
    attempt = run(llama_folder, llama_folder, LOGITS, steps=1, held_out=0)

    assert "teacher_kl_before_nats" not in attempt.facts
    assert "PHASE_POINT" not in {event["phase"] for event in recorder.of("phase")}


def test_a_teacher_of_another_vocabulary_is_refused_for_logits_alone(
    run: Run, llama_folder: Path, recorder: Any
) -> None:
    with pytest.raises(WorkerFault, match="distilled-sequence") as caught:
        run(llama_folder, starter("tiny"), LOGITS, steps=1)
    assert caught.value.failure_class == "bad_model"

    attempt = run(llama_folder, starter("tiny"), SEQUENCE, steps=1)
    assert attempt.facts["distil_step_count"] == 1
    assert "teacher_kl_before_nats" not in attempt.facts


def test_encoder_decoders_are_taught_too(run: Run, t5_folder: Path) -> None:
    attempt = run(t5_folder, t5_folder, LOGITS, steps=2, alpha=0.5)

    assert attempt.facts["teacher_kl_before_nats"] == 0.0
    assert attempt.facts["teacher_kl_after_nats"] > 0.0


def test_a_distillation_without_teacher_or_task_names_what_is_missing(
    run: Run, llama_folder: Path, trial_document: dict[str, Any]
) -> None:
    with pytest.raises(WorkerFault, match="`teacher`"):
        run(llama_folder, None, LOGITS)

    loaded = models.load(llama_folder, "float32", CPU)
    choice = trial.parse({**trial_document, "compression": {"kind": LOGITS}}).compression
    with pytest.raises(WorkerFault, match="names no task"):
        distil.transform(loaded, choice, compress.Material(None, 1, llama_folder))
