"""Distillation: a small model learns from a larger one before anything else is done with it.

Logit level: the student learns the teacher's distribution of every answer token, and the
answers themselves (`soft_targets`). Sequence level (Kim & Rush, arXiv 1606.07947): the
teacher answers the prompts once, by the most likely token each, and the student learns
those answers. The prompts are those of all users' whole histories, never the questions:
cells that differ in method or history begin with one student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from edgerig_workload import evaluate, models
from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.catalog import LOGITS
from edgerig_workload.compress.footprint import stored_bytes
from edgerig_workload.compress.soft_targets import SoftTargets, mean_divergence
from edgerig_workload.faults import WorkerFault
from edgerig_workload.infer.generate import generate, stop_rule
from edgerig_workload.learn import engine, subsets
from edgerig_workload.learn.context import Questions
from edgerig_workload.learn.estimators import Backpropagation, Estimator
from edgerig_workload.learn.examples import Batch, Sample, collate, pooled_pairs, shuffled, tokenise
from edgerig_workload.learn.rates import default_rate
from edgerig_workload.learn.training import Training
from edgerig_workload.models import Loaded
from edgerig_workload.phases import no_collection
from edgerig_workload.release import release
from edgerig_workload.tasks.prompts import answer_text, bare, read_answer
from edgerig_workload.tasks.wording import Pair
from edgerig_workload.trial import Choice, TrainBudget, Value

KERNEL = "dense"
# All of every user's history, whatever part of it the trial's method is given.
_WHOLE_HISTORY = -1
# How `full` trains, which the student does.
_BACKPROP = "backprop"
_PLAIN: dict[str, Value] = {"gradient": _BACKPROP, "optimiser": "adamw"}


@dataclass
class _Distance:
    """How far the student is from its teacher on the task's questions; `nats` has before and after."""

    student: Loaded
    batches: Sequence[Batch]
    material: Material
    nats: list[float]

    def measure(self, teacher: Loaded) -> None:
        """Add the present distance, as a phase of its own."""
        with self.material.phase("point"):
            self.nats.append(mean_divergence(self.student.model, teacher.model, self.batches))


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Teach the model in place, for the steps that the choice names.

    Raises:
        WorkerFault: no teacher (precondition), no task (bad_data), a teacher that says
            nothing or reads other tokens (bad_model), a loss that is not finite (diverged).
    """
    folder, questions = _required(choice, material)
    pairs = pooled_pairs(questions, _WHOLE_HISTORY)
    teacher = _teacher(folder, loaded)
    teacher_count = teacher.parameter_count
    alike = reads_alike(loaded, teacher)
    distance = _Distance(loaded, _held_out(loaded, choice, questions) if alike else (), material, [])
    if distance.batches:
        distance.measure(teacher)
    most_tokens = min(choice.integer("max_tokens"), loaded.max_tokens)
    if choice.kind == LOGITS:
        _refuse_other_tokens(loaded, teacher, alike=alike)
        soft = SoftTargets(loaded.model, teacher.model, choice.number("alpha"), choice.number("temperature"))
        training = drill(loaded, choice, soft, tokenise(loaded, pairs, most_tokens), material.seed)
    else:
        with material.phase("teach"):
            taught = _answers(teacher, questions, _wanted(pairs, choice, material.seed))
        del teacher
        release()
        training = drill(
            loaded,
            choice,
            Backpropagation(loaded.model),
            tokenise(loaded, taught, most_tokens),
            material.seed,
        )
        teacher = _teacher(folder, loaded) if distance.batches else loaded
    if distance.batches:
        distance.measure(teacher)
    facts = _facts(training, teacher_count, distance.nats)
    return Compressed(loaded, KERNEL, 0.0, stored_bytes(loaded.model), facts)


def drill(
    loaded: Loaded, choice: Choice, estimator: Estimator, samples: Sequence[Sample], seed: int
) -> Training:
    """Train all parameters of the student as the method `full` would, and leave none that learns.

    Raises:
        WorkerFault: of class diverged, where the loss is not finite.
    """
    trained = subsets.full(loaded)
    rate = choice.number("lr") or default_rate("full", _BACKPROP, loaded.hidden)
    plain = Choice("full", {**choice.parameters, **_PLAIN})
    assembled = engine.Engine(estimator, engine.descent(trained, plain, rate))
    loop = engine.loop(
        loaded,
        assembled,
        samples,
        batch=choice.integer("batch"),
        budget=TrainBudget(steps=choice.integer("steps")),
        seed=seed,
    )
    training = Training()
    with no_collection(), engine.running(_BACKPROP, loaded.model):
        loop.run(training)
    trained.merge()
    return training


def reads_alike(student: Loaded, teacher: Loaded) -> bool:
    """Tell whether two models read the same token ids: one vocabulary, and one kind of model."""
    same_kind = student.encoder_decoder == teacher.encoder_decoder
    return same_kind and student.tokenizer.get_vocab() == teacher.tokenizer.get_vocab()


def _required(choice: Choice, material: Material) -> tuple[Path, Questions]:
    if material.teacher is None:
        raise WorkerFault(
            "precondition",
            f"{choice.kind} needs a teacher: name a model as `teacher` of the compression",
        )
    if material.questions is None:
        raise WorkerFault(
            "bad_data", f"{choice.kind} teaches on the histories of a task, and the trial names no task"
        )
    return material.teacher, material.questions


def _teacher(folder: Path, student: Loaded) -> Loaded:
    loaded = models.load(folder, student.dtype, student.device)
    loaded.model.requires_grad_(False)
    return loaded


def _refuse_other_tokens(student: Loaded, teacher: Loaded, *, alike: bool) -> None:
    if alike:
        return
    own, told = len(student.tokenizer.get_vocab()), len(teacher.tokenizer.get_vocab())
    raise WorkerFault(
        "bad_model",
        f"{LOGITS} compares the distributions of single tokens, and the teacher's vocabulary or kind of "
        f"model is another ({told} tokens, the student has {own}): take a teacher of the same family, or "
        "distilled-sequence",
    )


def _held_out(loaded: Loaded, choice: Choice, questions: Questions) -> list[Batch]:
    """Makes batches of the task's questions with their answers; no question is ever trained on."""
    items = questions.items[: choice.integer("held_out")]
    pairs = [Pair(bare(questions.spec, item), answer_text(questions.spec, item.output)) for item in items]
    most_tokens = min(choice.integer("max_tokens"), loaded.max_tokens)
    samples, batch = tokenise(loaded, pairs, most_tokens), choice.integer("batch")
    parts = [samples[first : first + batch] for first in range(0, len(samples), batch)]
    return [collate(loaded, part) for part in parts]


def _wanted(pairs: Sequence[Pair], choice: Choice, seed: int) -> list[Pair]:
    """Picks the pairs that the student will get to see: a large history is not answered whole."""
    most = min(len(pairs), choice.integer("steps") * choice.integer("batch"))
    return [pairs[place] for place in islice(shuffled(len(pairs), seed), most)]


def _answers(teacher: Loaded, questions: Questions, pairs: Sequence[Pair]) -> list[Pair]:
    """Lets the teacher answer the prompts; those that it leaves empty are dropped."""
    spec = questions.for_model(encoder_decoder=teacher.encoder_decoder).spec
    room = teacher.max_tokens if teacher.encoder_decoder else teacher.max_tokens - spec.answer_tokens
    if room < 1:
        raise WorkerFault(
            "precondition",
            f"answers of {spec.answer_tokens} tokens leave no room for a prompt in the teacher's context of "
            f"{teacher.max_tokens}: set a smaller answer_tokens",
        )
    ids = [teacher.encode(pair.prompt)[-room:] for pair in pairs]
    order = sorted(range(len(ids)), key=lambda place: (len(ids[place]), place))
    ends = stop_rule(teacher).ends
    said: dict[int, str] = {}
    for places in evaluate.batches(order, [len(row) for row in ids]):
        rows = generate(teacher, [ids[place] for place in places], spec.answer_tokens, ends)
        for place, row in zip(places, rows, strict=True):
            said[place] = read_answer(spec, teacher.decode(row))
    taught = [
        Pair(pair.prompt, answer_text(questions.spec, said[place]))
        for place, pair in enumerate(pairs)
        if said[place]
    ]
    if not taught:
        raise WorkerFault(
            "bad_model", f"the teacher answered none of {len(pairs)} prompts: choose another teacher"
        )
    return taught


def _facts(training: Training, teacher_count: int, nats: Sequence[float]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "distil_step_count": training.spent.steps,
        "teacher_parameter_count": teacher_count,
    }
    return {**facts, **dict(zip(("teacher_kl_before_nats", "teacher_kl_after_nats"), nats, strict=False))}
