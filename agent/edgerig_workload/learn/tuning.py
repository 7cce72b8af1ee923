"""Every method that trains: puts a trainable set and an engine together under one budget.

Learns from the pooled histories of all users. A kind `rag-X` trains like X, on bare
questions, and puts retrieved items into the prompts afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgerig_workload.catalog import EXCLUSIONS
from edgerig_workload.compress import tunes_first
from edgerig_workload.compress.artefacts import is_packed
from edgerig_workload.compress.catalog import COMPRESS_FIRST
from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn import engine, personal, rag
from edgerig_workload.learn.budget import is_limited, split
from edgerig_workload.learn.catalog import PER_USER, RETRIEVING
from edgerig_workload.learn.context import Context, Learned, Prompt, Worder
from edgerig_workload.learn.curve import Curve
from edgerig_workload.learn.examples import Batch, collate, pooled_pairs, tokenise
from edgerig_workload.learn.loop import Loop
from edgerig_workload.learn.none import bare_worder
from edgerig_workload.learn.parameters import TrainableSet
from edgerig_workload.learn.training import Training
from edgerig_workload.phases import no_collection
from edgerig_workload.tasks.items import Item
from edgerig_workload.trial import Choice


def learn(context: Context) -> Learned:
    """Train, save what was learnt to the output folder, and word questions from then on.

    Raises:
        WorkerFault: no task data (bad_data), no training budget or an excluded
            combination (worker_error), a model without what the method trains
            (bad_model), or a loss that is not finite (diverged).
    """
    choice = context.trial.method
    if context.questions is None:
        raise WorkerFault("bad_data", f"method {choice.kind} needs task data; the trial names none")
    if not is_limited(context.trial.train):
        raise WorkerFault(
            "worker_error",
            f"method {choice.kind} needs a training budget: samples, tokens, steps, duration_s or energy_j",
        )
    if context.trial.train.energy_j and context.meter is None:
        raise WorkerFault(
            "precondition",
            "a training budget in joules needs a power sensor that covers a whole board or processor, and "
            "this device has none that can be read: `edgerig-agent doctor` says why; use duration_s instead",
        )
    # A checkpoint that came packed is excluded from what GPTQ's own packed weights are.
    packed = is_packed(context.loaded.model) and context.trial.compression.kind == "none"
    compression = Choice("gptq-int4", {"order": COMPRESS_FIRST}) if packed else context.trial.compression
    _refuse_excluded(choice, compression, context.trial.inference.kv_cache)
    retrieves = choice.kind.startswith(RETRIEVING)
    word = rag.worder(context) if retrieves else bare_worder(context)
    training = Training()
    if choice.text("scope") == PER_USER:
        return _learn_each(context, training, word)
    try:
        trained = _train(context, training, word)
    finally:
        # The steps before a failure are part of what happened.
        training.report(context.events)
    with context.marks.phase("checkpoint"):
        artifact_bytes = trained.save(context.out)
        if tunes_first(context.trial.compression):
            trained.merge()
    facts = {
        "trainable_count": trained.count,
        "artifact_bytes": artifact_bytes,
        **training.facts(),
        **_energy_facts(context, training),
    }
    shorter = _shortened(word, trained.prompt_tokens)
    return Learned(shorter, retrieves, facts, prompt_tokens=trained.prompt_tokens)


def _learn_each(context: Context, training: Training, word: Worder) -> Learned:
    """Trains parameters for each user; figures of the training are sums over the users."""
    if context.trial.train.points:
        raise WorkerFault(
            "precondition",
            f"points of a training budget are those of one training, and scope {PER_USER} has one for each "
            "user: leave points out",
        )
    trained = build(context)
    try:
        adapters, artifact_bytes = personal.train(context, trained, training)
    finally:
        training.report(context.events)
    facts = {
        "trainable_count": trained.count,
        "adapter_count": adapters.count,
        "artifact_bytes": artifact_bytes,
        **training.facts(),
        **_energy_facts(context, training),
    }
    shorter = _shortened(word, trained.prompt_tokens)
    return Learned(
        shorter,
        context.trial.method.kind.startswith(RETRIEVING),
        facts,
        switch=adapters.put,
        prompt_tokens=trained.prompt_tokens,
    )


def build(context: Context) -> TrainableSet:
    """Make the trainable set of a trial's method in its model."""
    choice, loaded = context.trial.method, context.loaded
    kind = choice.kind.removeprefix(RETRIEVING)
    # Only what is asked for is imported: the subsets need no peft.
    if kind in ("full", "bitfit", "layer-norm", "last-k"):
        from edgerig_workload.learn import subsets

        if kind == "last-k":
            return subsets.last_layers(loaded, choice.integer("count"))
        return {"full": subsets.full, "bitfit": subsets.biases, "layer-norm": subsets.norms}[kind](loaded)
    if kind in ("prompt", "prefix"):
        from edgerig_workload.learn import soft_prompts

        _refuse_crowded(context)
        tokens, init = choice.integer("tokens"), choice.text("init")
        if kind == "prefix":
            return soft_prompts.prefix(loaded, tokens=tokens, init=init)
        return soft_prompts.prompt(loaded, tokens=tokens, init=init, text=choice.text("init_text"))
    from edgerig_workload.learn import trainables

    if kind == "ia3":
        return trainables.ia3(loaded)
    return trainables.lora(
        loaded,
        rank=choice.integer("r"),
        alpha=choice.number("alpha"),
        dropout=choice.number("dropout"),
        targets=choice.text("targets"),
        rslora=bool(choice.parameters["rslora"]),
        dora=bool(choice.parameters["dora"]),
        init=choice.text("init"),
    )


def _refuse_crowded(context: Context) -> None:
    """Stops virtual tokens that leave no room for a prompt and its answer."""
    choice, loaded = context.trial.method, context.loaded
    # An encoder-decoder answers in a context of its own, and that is where its prefix is.
    if loaded.encoder_decoder and choice.kind.removeprefix(RETRIEVING) == "prefix":
        return
    # Training needs one token of an answer, the evaluation as many as the task allows.
    answer = (
        1 if context.questions is None or loaded.encoder_decoder else context.questions.spec.answer_tokens
    )
    tokens, most = choice.integer("tokens"), loaded.max_tokens - 1 - answer
    if tokens > most:
        raise WorkerFault(
            "precondition",
            f"method.tokens is {tokens}, and with one token of a prompt and {answer} of an answer that is "
            f"more than the {loaded.max_tokens} that the model's context holds: "
            + (f"set tokens to {most} at most" if most > 0 else "set a smaller answer_tokens"),
        )


@dataclass(frozen=True)
class _Run:
    """A training that is set up: what learns, its loop, and the batches held out of it."""

    trained: TrainableSet
    loop: Loop
    held_out: Sequence[Batch]

    def segment(self, context: Context, training: Training, share: float) -> None:
        """Train until a share of the budget is used, and leave the model in evaluation mode."""
        with no_collection(), engine.running(context.trial.method.text("gradient"), context.loaded.model):
            self.loop.run(training, share)


def _train(context: Context, training: Training, word: Worder) -> TrainableSet:
    """Trains from point to point of the budget; each stretch is a window of its own."""
    shares = (*context.trial.train.points, 1.0)
    with context.marks.phase("train"):
        run = _prepare(context)
        run.segment(context, training, shares[0])
    shorter = _shortened(word, run.trained.prompt_tokens)
    curve = Curve(context, training, run.trained, shorter, run.held_out)
    curve.pause(1)
    for index, share in enumerate(shares[1:], start=2):
        if training.stopped_by:
            break
        with context.marks.phase("train"):
            run.segment(context, training, share)
        curve.pause(index)
    curve.settle()
    return run.trained


def _energy_facts(context: Context, training: Training) -> dict[str, Any]:
    if context.meter is None:
        return {}
    return {
        "train_energy_j": training.spent.energy_j,
        "train_energy_source": context.meter.source,
        "train_energy_resolution_s": context.meter.resolution_s,
    }


def _prepare(context: Context) -> _Run:
    assert context.questions is not None
    choice, loaded, budget = context.trial.method, context.loaded, context.trial.train
    trained = build(context)
    assembled = engine.assemble(loaded, trained, choice, context.trial.seed)
    pairs = pooled_pairs(context.questions, context.trial.history)
    if budget.patience_points and len(pairs) < 2:
        raise WorkerFault("bad_data", "there is one training pair; patience needs one more, to be held out")
    most_tokens = min(choice.integer("max_tokens"), loaded.max_tokens - trained.prompt_tokens)
    samples = tokenise(loaded, pairs, most_tokens)
    learnt, held = split(len(samples), budget, context.trial.seed)
    batch = choice.integer("batch")
    loop = engine.loop(
        loaded,
        assembled,
        [samples[place] for place in learnt],
        batch=batch,
        budget=budget,
        seed=context.trial.seed,
        meter=context.meter,
    )
    held_out = [
        collate(loaded, [samples[place] for place in held[first : first + batch]])
        for first in range(0, len(held), batch)
    ]
    return _Run(trained, loop, held_out)


def _shortened(word: Worder, taken_tokens: int) -> Worder:
    """Leaves room for the tokens that a method itself puts before every prompt."""

    def shorter(item: Item, most_tokens: int) -> Prompt:
        return word(item, max(1, most_tokens - taken_tokens))

    return shorter if taken_tokens else word


def _refuse_excluded(choice: Choice, compression: Choice, kv_cache: str) -> None:
    """Stops what the catalogue excludes: a trial may come from elsewhere than the planner."""
    facts: Mapping[str, Any] = {
        "method.kind": choice.kind,
        "compression.kind": compression.kind,
        "kv_cache": kv_cache,
        **{f"method.{name}": value for name, value in choice.parameters.items()},
        **{f"compression.{name}": value for name, value in compression.parameters.items()},
    }
    for rule in EXCLUSIONS:
        wanted = {name: value if isinstance(value, list) else [value] for name, value in rule["when"].items()}
        if all(facts.get(name) in values for name, values in wanted.items()):
            raise WorkerFault("worker_error", f"this combination is excluded: {rule['reason']}")
