"""Makes the trials of a cell: one message for each seed and repeat, with its digest.

A digest covers everything that can change a result and nothing else, so that
two studies that mean the same trial share its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgerig import documents, words
from edgerig.v1.trial_pb2 import (
    AttemptBudget,
    Budgets,
    Choice,
    DeviceSettings,
    Model,
    Protocol,
    ProtocolOverrides,
    Task,
    TrainBudget,
    Trial,
)
from edgerig_controller.study import serving
from edgerig_controller.study.prepared import PlannedTrial
from edgerig_controller.study.selectors import ALL
from edgerig_controller.study.spec import Study
from edgerig_controller.study.spec import TrainBudget as TrainLimits

TRIAL_SCHEMA = 1


def digest(trial: Trial) -> str:
    """Return the digest of a trial: of its JSON form without `digest` and the labels in `factors`."""
    bare = _copied(trial)
    bare.ClearField("digest")
    bare.ClearField("factors")
    return documents.digest(documents.to_json(bare))


def of_cell(
    index: int,
    factors: Mapping[str, Any],
    study: Study,
    model: Model,
    task: Task,
    encoder: Model | None = None,
    teacher: Model | None = None,
) -> Iterator[PlannedTrial]:
    """Yield the trials of a cell, seed by seed.

    `encoder` is for those that retrieve by meaning, `teacher` for those whose model is distilled.
    """
    trial = _trial(factors, study, model, task)
    if encoder is not None:
        trial.encoder.CopyFrom(encoder)
    if teacher is not None:
        trial.teacher.CopyFrom(teacher)
    # The JSON form is the slow part and differs only in two numbers from trial to trial.
    form = documents.to_json(trial)
    trial.factors.update(dict(factors))
    for seed in study.seeds:
        for repeat in range(1, study.repeats * study.units + 1):
            planned = _copied(trial)
            planned.seed, planned.repeat = seed, repeat
            # proto3 leaves a zero out of the JSON form.
            numbers = {"seed": seed, "repeat": repeat} if seed else {"repeat": repeat}
            planned.digest = documents.digest({**form, **numbers})
            yield PlannedTrial(index, planned, unit=(repeat - 1) // study.repeats + 1)


def _trial(factors: Mapping[str, Any], study: Study, model: Model, task: Task) -> Trial:
    history = factors["history"]
    train, attempt = study.budgets.train, study.budgets.attempt
    trial = Trial(
        schema_version=TRIAL_SCHEMA,
        protocol=words.number(Protocol, study.protocol),  # type: ignore[arg-type]
        model=model,
        task=task,
        method=_choice(factors["method"]),
        compression=_choice(factors["compression"]),
        history=ALL if history == "all" else history,
        budgets=Budgets(
            train=TrainBudget(**_train(train, factors)),
            attempt=AttemptBudget(duration_s=attempt.duration_s, memory_bytes=attempt.memory),
        ),
        inference=serving.inference(study, factors),
        dtype=study.dtype,
        threads=study.threads,
    )
    if (engine := serving.engine(study, factors)) is not None:
        trial.engine.CopyFrom(engine)
    # Unset where nothing is asked for, so that the digests of such trials are those they always had.
    settings = DeviceSettings(power_mode=factors.get("power_mode", ""), **study.settings.model_dump())
    if settings.ByteSize():
        trial.settings.CopyFrom(settings)
    overrides = ProtocolOverrides(**study.protocol_overrides.model_dump(exclude_none=True))
    if overrides.ByteSize():
        trial.protocol_overrides.CopyFrom(overrides)
    return trial


def _train(budget: TrainLimits, factors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the stop rules of training; a budget that is a factor takes the place of the samples."""
    return {**budget.model_dump(), "samples": factors.get("train_samples", budget.samples)}


def _copied(trial: Trial) -> Trial:
    copied = Trial()
    copied.CopyFrom(trial)
    return copied


def _choice(level: Mapping[str, Any]) -> Choice:
    choice = Choice(kind=level["kind"])
    choice.parameters.update({key: value for key, value in level.items() if key != "kind"})
    return choice
