"""LoRA: low-rank adapters trained by backpropagation on the pooled histories of all users."""

from __future__ import annotations

from collections.abc import Sequence

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.budget import is_limited
from edgerig_workload.learn.context import Context, Learned
from edgerig_workload.learn.estimators import Backpropagation
from edgerig_workload.learn.examples import Batch, collate, pooled_pairs, shuffled, tokenise
from edgerig_workload.learn.loop import Loop
from edgerig_workload.learn.none import bare_worder
from edgerig_workload.learn.optimisers import AdamW, default_rate
from edgerig_workload.learn.trainables import TrainableSet, lora
from edgerig_workload.learn.training import Training
from edgerig_workload.phases import no_collection


def learn(context: Context) -> Learned:
    """Train adapters, save them to the output folder and ask bare questions from then on.

    Raises:
        WorkerFault: no task data (bad_data), no training budget (worker_error), a
            target that is no layer of the model (bad_model), or a loss that is not finite (diverged).
    """
    if context.questions is None:
        raise WorkerFault("bad_data", "method lora needs task data; the trial names none")
    if not is_limited(context.trial.train):
        raise WorkerFault(
            "worker_error", "method lora needs a training budget: samples, tokens, steps or duration_s"
        )
    training = Training()
    try:
        with context.marks.phase("train"):
            trained = _train(context, training)
    finally:
        # The steps before a failure are part of what happened.
        training.report(context.events)
    with context.marks.phase("checkpoint"):
        artifact_bytes = trained.save(context.out)
    facts = {"trainable_count": trained.count, "artifact_bytes": artifact_bytes, **training.facts()}
    return Learned(bare_worder(context), facts=facts)


def _train(context: Context, training: Training) -> TrainableSet:
    choice, model = context.trial.method, context.loaded.model
    trained = lora(
        context.loaded,
        rank=choice.integer("r"),
        alpha=choice.number("alpha"),
        dropout=choice.number("dropout"),
        targets=choice.text("targets"),
    )
    loop = _loop(context, trained)
    model.train()
    with no_collection():
        loop.run(training)
    model.eval()
    return trained


def _loop(context: Context, trained: TrainableSet) -> Loop:
    assert context.questions is not None
    choice, loaded = context.trial.method, context.loaded
    pairs = pooled_pairs(context.questions, context.trial.history)
    samples = tokenise(loaded, pairs, min(choice.integer("max_tokens"), loaded.max_tokens))

    def make_batch(places: Sequence[int]) -> Batch:
        return collate(loaded, [samples[place] for place in places])

    return Loop(
        estimator=Backpropagation(loaded.model),
        optimiser=AdamW(
            trained.parameters,
            rate=choice.number("lr") or default_rate(loaded.hidden),
            weight_decay=choice.number("weight_decay"),
            clip_norm=choice.number("clip_norm"),
            warmup_steps=choice.integer("warmup_steps"),
        ),
        make_batch=make_batch,
        places=shuffled(len(samples), context.trial.seed),
        batch=choice.integer("batch"),
        budget=context.trial.train,
    )
