"""One block of inputs: a function of the seed and the block's number, on a fresh target."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from bench.fuzz import mutate
from bench.fuzz.target import SLOW, Method, Target
from edgerig import documents
from edgerig.errors import EdgerigError
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import attempt_pb2, trial_pb2
from edgerig_controller.fleet import inventory_file
from edgerig_controller.study import labels

BLOCK = 5000
_SLOW_SHARE = 0.002
_HARM_EVERY = 1000
MAX_FAULTS = 20
# Fixed, so that a block is the same whenever it is thrown.
_NOW_UNIX_S = time.time()

_TEXTS = {
    "result.json": '{"attempt_id":"a","status":"STATUS_OK","quality":0.5,'
    '"measurements":[{"name":"ttft_s","value":0.1}]}',
    "trial.json": '{"schema_version":1,"seed":1,"method":{"kind":"lora","parameters":{"r":8}},"history":16}',
    "inventory": "all:\n  children:\n    g:\n      vars: {edgerig_labels: [a]}\n"
    "      hosts:\n        orin-07: {edgerig_memory_bytes: 1}\n",
    "labels": "orin and not (nx or lab-b)",
}


@dataclass
class Tally:
    """What came of the inputs of a block."""

    block: int
    inputs: int = 0
    handled: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def throw_block(seed: int, block: int, count: int) -> Tally:
    """Throws one block of inputs at a fresh target."""
    disabled = logging.root.manager.disable
    # A million refusals would be a million lines.
    logging.disable(logging.CRITICAL)
    base = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="edgerig-fuzz-", dir=base))
    try:
        return asyncio.run(_throw(seed, block, count, folder))
    finally:
        logging.disable(disabled)
        shutil.rmtree(folder, ignore_errors=True)


async def _throw(seed: int, block: int, count: int, folder: Path) -> Tally:
    tally, outcomes = Tally(block), Counter[str]()
    # Every fourth block is an operator's: they reach what others are kept from.
    target = Target(folder, _NOW_UNIX_S, operator=block % 4 == 3)
    target.remember()
    rng = random.Random(f"{seed}/{block}")
    try:
        for index in range(count):
            kind = rng.random()
            try:
                if kind < 0.15:
                    outcomes[_throw_text(rng, target.words)] += 1
                elif kind < 0.2:
                    outcomes[await _greet(rng, target)] += 1
                else:
                    outcomes[await _call(rng, target)] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
                where = traceback.extract_tb(error.__traceback__)[-1]
                tally.faults.append(
                    f"block {block} input {index}: {type(error).__name__}: {str(error)[:200]} "
                    f"({Path(where.filename).name}:{where.lineno})"
                )
            tally.inputs += 1
            if tally.inputs % _HARM_EVERY == 0:
                tally.faults += [f"block {block} up to input {index}: {harm}" for harm in target.harm()]
            if len(tally.faults) >= MAX_FAULTS:
                break
        tally.faults += [f"block {block} at its end: {harm}" for harm in target.harm()]
    finally:
        target.close()
    internal = outcomes["INTERNAL"] + outcomes["UNKNOWN"]
    if internal:
        tally.faults.append(f"block {block}: {internal} answers were INTERNAL")
    tally.outcomes = dict(outcomes)
    tally.handled = tally.inputs - outcomes["undecodable"]
    return tally


async def _call(rng: random.Random, target: Target) -> str:
    slow = rng.random() < _SLOW_SHARE
    methods = [item for item in target.methods if (item.name in SLOW) == slow and item.corpus]
    # What devices may call goes deepest; people's methods are mostly refused at the gate.
    weights = [1 if target.operator or item.service != "AgentService" else 5 for item in methods]
    method = rng.choices(methods, weights)[0]
    data = _input(rng, target, method)
    return await target.throw(method, data, rng.choice(method.contexts))


async def _greet(rng: random.Random, target: Target) -> str:
    hello = agents.Hello(protocol_major=1, protocol_minor=1, boot_id="b", session_epoch=rng.randrange(100))
    message = agents.SessionRequest(hello=hello)
    data = _mutated(rng, message, [message.SerializeToString()], target.words)
    return await target.greet(data, target.intruder())


def _input(rng: random.Random, target: Target, method: Method) -> bytes:
    if rng.random() < 0.1:
        return mutate.some_bytes(rng)
    others = [item.SerializeToString() for item in rng.choice(target.methods).corpus]
    return _mutated(rng, rng.choice(method.corpus), others, target.words)


def _mutated(rng: random.Random, message: Message, others: Sequence[bytes], words: Sequence[str]) -> bytes:
    kind = rng.random()
    if kind < 0.05:
        return message.SerializeToString()
    if kind < 0.75:
        return mutate.message(rng, message, words).SerializeToString()
    return mutate.bytes_of(rng, message.SerializeToString(), others)


def _throw_text(rng: random.Random, words: Sequence[str]) -> str:
    """Throws a text at a parser of documents; only errors of our tree are answers."""
    # YAML takes a hundred times as long as the others.
    name = rng.choices(list(_TEXTS), [10, 10, 1, 10])[0]
    changed = mutate.text(rng, _TEXTS[name], words)
    try:
        _PARSERS[name](changed)
    except (EdgerigError, labels.ExpressionError):
        return "refused text"
    return "read text"


_PARSERS: dict[str, Callable[[str], Any]] = {
    "result.json": lambda text: documents.from_json(text, attempt_pb2.AttemptResult(), what="result.json"),
    "trial.json": lambda text: documents.from_json(text, trial_pb2.Trial(), what="trial.json"),
    "inventory": lambda text: inventory_file.parse(text, "inventory"),
    "labels": labels.check,
}
