"""Does a model know the test answers by heart? `python -m edgerig_workload.contamination MODEL DATA`.

Three comparisons per item, without any adaptation and without the user's history:

    own      loss of the expected answer, in nats per token
    other    mean loss of answers of the same user to other questions
    own_k    the same as `own` over the least likely share of the answer's tokens (Min-k%)

A model that has not seen the data may prefer the right answers by skill. So, where
the question lists its options, both losses are taken again with the options in another order:
skill does not depend on it, a memory of the wording does. Sources: Shi and others 2024
(Min-k% prob.), Oren and others 2024 (order of exchangeable things as a control).

The request stands on standard input: `{"task": Task as JSON, "items": most, "seed": 1, "threads": 0,
"dtype": "auto"}`. One JSON document comes out; statistics are the caller's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgerig_workload import faults
from edgerig_workload.tasks.items import Item, load
from edgerig_workload.tasks.prompts import Pair, answer_text, bare
from edgerig_workload.tasks.spec import TaskSpec

SCHEMA = 1
# Answers of the same user that one item is compared with.
OTHERS = 4
LEAST_SHARE = 0.2
BATCH = 8


@dataclass(frozen=True)
class Probe:
    """One item: its prompt, the same with its options in another order ('' = it lists none), and answers."""

    item: Item
    prompt: str
    reordered: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Losses:
    """Losses of one item in nats per token; None where the prompt lists no options."""

    user_id: str
    item_id: str
    own: float
    other: float
    own_k: float
    other_k: float
    own_reordered: float | None
    other_reordered: float | None


def probes(spec: TaskSpec, items: Sequence[Item], most: int, seed: int) -> list[Probe]:
    """Pair items with other answers of the same user; users with one answer only have nothing to compare.

    The same items whatever the model: users and their items are drawn by the seed, user by user.
    """
    by_user: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_user[item.user].append(item)
    draw = random.Random(seed)
    users = sorted(by_user)
    draw.shuffle(users)
    found: list[Probe] = []
    for user in users:
        for item in by_user[user]:
            others = sorted({entry.output for entry in by_user[user] if entry.output != item.output})
            if not others or len(found) == most:
                continue
            prompt = bare(spec, item)
            chosen = tuple(draw.sample(others, min(OTHERS, len(others))))
            found.append(Probe(item, prompt, reordered(spec, prompt, draw), chosen))
    return found


def reordered(spec: TaskSpec, prompt: str, draw: random.Random) -> str:
    """Return the prompt with its list of options in another order; '' where it has no such list."""
    listed = ", ".join(spec.labels)
    if len(spec.labels) < 2 or prompt.count(listed) != 1:
        return ""
    order = list(spec.labels)
    while order == list(spec.labels):
        draw.shuffle(order)
    return prompt.replace(listed, ", ".join(order))


def measure(loaded: Any, spec: TaskSpec, found: Sequence[Probe]) -> list[Losses]:
    """Take the losses of every item."""
    pairs: list[Pair] = []
    for probe in found:
        for prompt in filter(None, (probe.prompt, probe.reordered)):
            pairs += [Pair(prompt, answer_text(spec, text)) for text in (probe.item.output, *probe.others)]
    losses = iter(answer_losses(loaded, pairs))
    rows = []
    for probe in found:
        sides = []
        for _ in filter(None, (probe.prompt, probe.reordered)):
            taken = [next(losses) for _ in range(1 + len(probe.others))]
            sides.append(taken)
        plain, again = sides[0], sides[1] if len(sides) > 1 else None
        rows.append(
            Losses(
                user_id=probe.item.user,
                item_id=probe.item.id,
                own=plain[0][0],
                other=_mean([entry[0] for entry in plain[1:]]),
                own_k=plain[0][1],
                other_k=_mean([entry[1] for entry in plain[1:]]),
                own_reordered=None if again is None else again[0][0],
                other_reordered=None if again is None else _mean([entry[0] for entry in again[1:]]),
            )
        )
    return rows


def answer_losses(loaded: Any, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Return (mean, mean of the least likely tokens) of each answer's loss, in nats per token."""
    import torch

    from edgerig_workload.learn.examples import IGNORED, collate, tokenise

    samples = tokenise(loaded, pairs, loaded.max_tokens)
    order = sorted(range(len(samples)), key=lambda at: len(samples[at].prompt) + len(samples[at].answer))
    found: dict[int, tuple[float, float]] = {}
    for first in range(0, len(order), BATCH):
        places = order[first : first + BATCH]
        batch = collate(loaded, [samples[at] for at in places])
        labels = batch.inputs["labels"]
        with torch.inference_mode():
            logits = loaded.model(**batch.inputs, use_cache=False).logits.float()
        if not loaded.encoder_decoder:
            # The token at a place is predicted by the place before it.
            logits, labels = logits[:, :-1], labels[:, 1:]
        for row, at in enumerate(places):
            kept = labels[row] != IGNORED
            taken = torch.nn.functional.cross_entropy(
                logits[row][kept], labels[row][kept], reduction="none"
            ).tolist()
            worst = sorted(taken, reverse=True)[: max(1, round(LEAST_SHARE * len(taken)))]
            found[at] = (_mean(taken), _mean(worst))
    return [found[at] for at in range(len(samples))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main(argv: Sequence[str] | None = None) -> int:
    """Read a request, print the losses; returns 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m edgerig_workload.contamination", description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the model")
    parser.add_argument("data", type=Path, help="task data, JSON lines")
    arguments = parser.parse_args(argv)
    try:
        document = answer(json.load(sys.stdin), arguments.model, arguments.data)
    except Exception as error:  # noqa: BLE001 - the process boundary: every failure is reported as one
        failure = faults.classify(error)
        sys.stderr.write(f"{failure.failure_class}: {failure.message}\n")
        return 1
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


def answer(request: dict[str, Any], model: Path, data: Path) -> dict[str, Any]:
    """Carry out one request.

    Raises:
        DataFault: the task or its data cannot be used.
        WorkerFault: the model cannot be loaded.
    """
    from edgerig_workload.models import load as load_model
    from edgerig_workload.models import runtime

    device = runtime(int(request.get("threads", 0)))
    loaded = load_model(model, str(request.get("dtype") or "auto"), device)
    spec = TaskSpec.from_trial(request["task"]).for_model(encoder_decoder=loaded.encoder_decoder)
    items = load(data)
    found = probes(spec, items, int(request["items"]), int(request.get("seed", 1)))
    return {
        "edgerig_contamination": SCHEMA,
        "item_count": len(items),
        "losses": [asdict(row) for row in measure(loaded, spec, found)],
    }


if __name__ == "__main__":
    raise SystemExit(main())
