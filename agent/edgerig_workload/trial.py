"""A trial as the worker needs it, read from the proto3 JSON form of the message Trial.

Coerces numbers (64-bit integers stand as strings, whole Struct numbers may be 8
or 8.0) and checks kinds and parameters against the catalogue. Every problem is
named at once. Does not open a model or data.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

from edgerig_workload.catalog import COMPRESSIONS, METHODS
from edgerig_workload.engines.catalog import KV_CACHES, PAGE_CACHES
from edgerig_workload.engines.choice import TRANSFORMERS, EngineChoice
from edgerig_workload.engines.choice import read as read_engine
from edgerig_workload.faults import WorkerFault

TRIAL_BYTES = 16 * 1024 * 1024
POINTS_MOST = 1000
HELD_OUT_MOST = 0.5
# Numbers of the worker's windows that a trial may set in place of its protocol's.
OVERRIDES = (
    *("idle_s", "warmup_most", "block_s", "block_requests", "sustained_s"),
    *("sustained_slope_c_per_min", "sustained_window_s"),
)
DTYPES = ("auto", "float32", "bfloat16", "float16")

ProtocolWord = Literal["quick", "standard", "publishable"]
PROTOCOLS = ("quick", "standard", "publishable")
Value = int | float | bool | str


@dataclass(frozen=True)
class Choice:
    """One option of a factor with every parameter filled in and of its catalogue type."""

    kind: str
    parameters: Mapping[str, Value]

    def integer(self, name: str) -> int:
        return int(self.parameters[name])

    def number(self, name: str) -> float:
        return float(self.parameters[name])

    def text(self, name: str) -> str:
        return str(self.parameters[name])


@dataclass(frozen=True)
class TrainBudget:
    """Stop rules of training, whichever comes first; 0 means not limited by it.

    At each share of `points` training pauses and is evaluated. `patience_points` such points
    in a row without a lower loss on the held-out share of the pairs end it; 0 = never.
    """

    samples: int = 0
    tokens: int = 0
    steps: int = 0
    duration_s: float = 0.0
    energy_j: float = 0.0
    points: tuple[float, ...] = ()
    patience_points: int = 0
    held_out_share: float = 0.0


@dataclass(frozen=True)
class Inference:
    """Forced lengths of the inference profile; `requests` 0 means that it is left out."""

    prompt_tokens: int = 0
    new_tokens: int = 0
    batch: int = 1
    requests: int = 0
    kv_cache: str = "dynamic"
    # cold or warm; empty = the kernel holds of the model's files what it happens to hold.
    page_cache: str = ""


@dataclass(frozen=True)
class Trial:
    """What one attempt has to do. `task` is the JSON form of the message Task, or empty."""

    protocol: ProtocolWord
    seed: int
    task: Mapping[str, Any]
    method: Choice
    compression: Choice
    history: int
    train: TrainBudget
    memory_limit_bytes: int
    inference: Inference
    dtype: str
    threads: int
    # Numbers of the protocol that the trial sets itself.
    overrides: Mapping[str, float] = field(default_factory=dict)
    engine: EngineChoice = TRANSFORMERS


class _Fields:
    """Reads fields of one JSON object and collects what is wrong with them."""

    def __init__(self, content: Any, place: str, problems: list[str]) -> None:
        self._place = place
        self._problems = problems
        if not isinstance(content, dict):
            problems.append(f"{place} must be an object")
            content = {}
        self._content: dict[str, Any] = content

    def inner(self, name: str) -> _Fields:
        return _Fields(self._content.get(name, {}), f"{self._place}.{name}", self._problems)

    def raw(self, name: str) -> Any:
        return self._content.get(name)

    def integer(self, name: str, *, least: int = 0) -> int:
        value = _as_number(self._content.get(name, 0))
        if value is None or value != int(value) or not least <= value < 2**63:
            self._problems.append(f"{self._place}.{name} must be a whole number of at least {least}")
            return 0
        return int(value)

    def numbers(self, name: str) -> tuple[float, ...]:
        values = self._content.get(name, [])
        found = [_as_number(value) for value in values] if isinstance(values, list) else [None]
        if len(found) > POINTS_MOST or None in found:
            self._problems.append(f"{self._place}.{name} must be a list of at most {POINTS_MOST} numbers")
            return ()
        return tuple(float(value) for value in found if value is not None)

    def number(self, name: str) -> float:
        value = _as_number(self._content.get(name, 0))
        if value is None or value < 0:
            self._problems.append(f"{self._place}.{name} must be a number of at least 0")
            return 0.0
        return value


def load(path: Path) -> Trial:
    """Read and check a trial file.

    Raises:
        WorkerFault: it cannot be read, is no JSON object or has problems; all are named.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(TRIAL_BYTES + 1)
        if len(data) > TRIAL_BYTES:
            raise WorkerFault("worker_error", f"the trial is larger than {TRIAL_BYTES} bytes")
        document = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise WorkerFault("worker_error", f"the trial cannot be read: {error}") from error
    return parse(document)


def parse(document: Any) -> Trial:
    """Check the JSON form of a trial.

    Raises:
        WorkerFault: of class worker_error, with one line for each problem.
    """
    problems: list[str] = []
    fields = _Fields(document, "trial", problems)
    budgets = fields.inner("budgets")
    inference = fields.inner("inference")
    trial = Trial(
        protocol=_protocol(fields.raw("protocol"), problems),
        seed=fields.integer("seed", least=-(2**31)),
        task=_task(fields.raw("task"), problems),
        method=_choice("method", fields.raw("method"), METHODS, problems),
        compression=_choice("compression", fields.raw("compression"), COMPRESSIONS, problems),
        history=fields.integer("history", least=-1),
        train=_train(budgets.inner("train"), problems),
        memory_limit_bytes=int(budgets.inner("attempt").number("memory_bytes")),
        inference=_inference(inference, problems),
        dtype=_dtype(fields.raw("dtype"), problems),
        threads=fields.integer("threads"),
        overrides=_overrides(fields.inner("protocol_overrides")),
        engine=read_engine(fields.raw("engine"), problems),
    )
    if problems:
        raise WorkerFault("worker_error", "\n".join([f"the trial has {len(problems)} problem(s)", *problems]))
    return trial


def _train(fields: _Fields, problems: list[str]) -> TrainBudget:
    budget = TrainBudget(
        fields.integer("samples"),
        fields.integer("tokens"),
        fields.integer("steps"),
        fields.number("duration_s"),
        fields.number("energy_j"),
        fields.numbers("points"),
        fields.integer("patience_points"),
        fields.number("held_out_share"),
    )
    points = (0.0, *budget.points, 1.0)
    if any(later <= earlier for earlier, later in pairwise(points)):
        problems.append("trial.budgets.train.points must be ascending shares above 0 and below 1")
    if budget.patience_points and not budget.points:
        problems.append("trial.budgets.train.patience_points needs points, at which the loss is compared")
    if budget.held_out_share > HELD_OUT_MOST:
        problems.append(f"trial.budgets.train.held_out_share must be at most {HELD_OUT_MOST}")
    return budget


def _protocol(value: Any, problems: list[str]) -> ProtocolWord:
    word = str(value or "").removeprefix("PROTOCOL_").lower()
    if word not in PROTOCOLS:
        problems.append(f"trial.protocol {value!r} is none of {', '.join(PROTOCOLS)}")
        return "quick"
    return cast("ProtocolWord", word)


def _overrides(fields: _Fields) -> Mapping[str, float]:
    return {name: fields.number(name) for name in OVERRIDES if fields.raw(name) is not None}


def _dtype(value: Any, problems: list[str]) -> str:
    word = str(value or "auto")
    if word not in DTYPES:
        problems.append(f"trial.dtype {value!r} is none of {', '.join(DTYPES)}")
    return word


def _task(value: Any, problems: list[str]) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        problems.append("trial.task must be an object")
        return {}
    return value or {}


def _inference(fields: _Fields, problems: list[str]) -> Inference:
    profile = Inference(
        fields.integer("prompt_tokens"),
        fields.integer("new_tokens"),
        fields.integer("batch") or 1,
        fields.integer("requests"),
        _word(fields.raw("kv_cache") or "dynamic", "kv_cache", KV_CACHES, problems),
        _word(fields.raw("page_cache") or "", "page_cache", ("", *PAGE_CACHES), problems),
    )
    if profile.requests and not (profile.prompt_tokens and profile.new_tokens):
        problems.append("trial.inference: prompt_tokens and new_tokens must be at least 1")
    return profile


def _word(value: Any, name: str, known: Collection[str], problems: list[str]) -> str:
    if isinstance(value, str) and value in known:
        return value
    problems.append(f"trial.inference.{name} {value!r} is none of {', '.join(filter(None, known))}")
    return ""


def _choice(factor: str, value: Any, kinds: Mapping[str, Any], problems: list[str]) -> Choice:
    content = {"kind": "none"} if value is None else value
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        problems.append(f"trial.{factor}.kind {kind!r} is none of {', '.join(kinds)}{_nearest(kind, kinds)}")
        return Choice("none", {})
    given = content.get("parameters") or {}
    known: Mapping[str, Any] = kinds[kind]["parameters"]
    place = f"trial.{factor} {kind}"
    if not isinstance(given, dict):
        problems.append(f"{place}: parameters must be an object")
        given = {}
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            problems.append(f"{place}: unknown parameter {name!r}; known are {listed}{_nearest(name, known)}")
    values = {
        name: _parameter(f"{place}.{name}", given.get(name, rule["default"]), rule, problems)
        for name, rule in known.items()
    }
    return Choice(kind, values)


def _parameter(place: str, value: Any, rule: Mapping[str, Any], problems: list[str]) -> Value:
    default: Value = rule["default"]
    if rule["type"] == "string":
        if not isinstance(value, str) or value not in rule.get("choices", (value,)):
            allowed = ", ".join(rule.get("choices", ("a text",)))
            problems.append(f"{place} is {value!r}; allowed: {allowed}")
            return default
        return value
    if rule["type"] == "bool":
        if not isinstance(value, bool):
            problems.append(f"{place} is {value!r}; allowed: true, false")
            return default
        return value
    number = _as_number(value)
    if number is None or (rule["type"] == "int" and number != int(number)):
        problems.append(f"{place} is {value!r}; it must be of type {rule['type']}")
        return default
    if not rule.get("minimum", -math.inf) <= number <= rule.get("maximum", math.inf):
        low, high = rule.get("minimum", "any"), rule.get("maximum", "any")
        problems.append(f"{place} is {number:g}; allowed: {low} to {high}")
        return default
    return int(number) if rule["type"] == "int" else number


def _as_number(value: Any) -> float | int | None:
    """Returns a finite number out of what JSON may hold for one, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _nearest(name: Any, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
