"""Predicts the peak memory of a cell from the catalogue's formula, before anything runs.

The formula is text from a device, so it is read by a small evaluator that knows
numbers, names, + - * /, max and min, and nothing else. A number that is not
known makes the prediction unknown; it is never guessed.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgerig.errors import ProtocolError
from edgerig_controller.data.models import Facts
from edgerig_controller.study.catalog import Kind, Memory, Term
from edgerig_controller.study.prepared import Prediction
from edgerig_controller.study.selectors import matches
from edgerig_controller.study.spec import Inference

EXPRESSION_CHARACTERS = 2000
EXPRESSION_DEPTH = 100
UNKNOWN = Prediction(None, "unknown")

_ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_CALLS = {"max": max, "min": min}
_HINT = "install the same version of edgerig on the controller and on the devices"


class UnknownName(Exception):  # noqa: N818 - an answer, not a fault
    """The expression needs a number that is not known."""


@dataclass(frozen=True)
class Load:
    """What of a cell decides its memory. `facts` is None for a model on a device."""

    facts: Facts | None
    method: Kind
    compression: Kind
    # Levels of the factors `method` and `compression`, which terms have conditions on.
    levels: Mapping[str, Mapping[str, Any]]
    inference: Inference
    dtype: str
    # Of the model that a distillation learns from; None where there is none, or it is not known.
    teacher: Facts | None = None


def element_bytes(dtype: str, stored: int, accelerator: bool | None) -> tuple[int, int]:
    """Return the bytes of a loaded element: the figure to predict with, and the least it can be.

    `auto` is the checkpoint's own type on an accelerator and float32 on a
    processor; `accelerator` None means that it is not known which it will be.
    """
    if dtype != "auto":
        return _ELEMENT_BYTES[dtype], _ELEMENT_BYTES[dtype]
    if accelerator is None:
        return 4, min(4, stored)
    return (stored, stored) if accelerator else (4, 4)


def phases_bytes(load: Load, memory: Memory, bytes_of_element: int) -> dict[str, float]:
    """Predict the peak of each phase that a cell has.

    Raises:
        UnknownName: a number that a formula needs is not known.
        ProtocolError: the catalogue's formula cannot be read.
    """
    assert load.facts is not None
    found: dict[str, float] = {}
    for phase, terms in memory.phases.items():
        if phase == "train" and not load.method.trains:
            continue
        if phase == "teach" and load.compression.teacher is None:
            continue
        names = _names(load, load.facts, memory, phase, bytes_of_element)
        applying = [
            term
            for name in terms
            for term in [_term(memory, name)]
            if not term.when or matches(term.when, load.levels)
        ]
        found[phase] = sum(evaluate(term.expression, names) for term in applying)
    return found


def peak_bytes(load: Load, memory: Memory, bytes_of_element: int) -> Prediction:
    """Predict the peak of a cell: that of its largest phase, with the formula's error bar.

    Raises:
        ProtocolError: the catalogue's formula cannot be read.
    """
    if load.facts is None or not load.method.needs_model or not memory.phases:
        return UNKNOWN
    try:
        peak = max(phases_bytes(load, memory, bytes_of_element).values(), default=math.inf)
    except UnknownName:
        return UNKNOWN
    if not math.isfinite(peak) or peak < 0:
        return UNKNOWN
    off = memory.relative_error
    return Prediction(
        float(round(peak)), "formula", low=float(round(peak * (1 - off))), high=float(round(peak * (1 + off)))
    )


def refusal(peak: Prediction, limits: Sequence[tuple[str, float]]) -> str:
    """Say why a cell cannot run, with the numbers; '' when it may.

    Refused is only what is above a limit at the low end of the error bar. Between that and
    its high end the cell runs, and an out-of-memory end is its measured result.

    Args:
        peak: the predicted peak.
        limits: what each limit is called, and its bytes.
    """
    if peak.value is None or peak.low is None or peak.high is None or not limits:
        return ""
    name, limit_bytes = min(limits, key=lambda limit: limit[1])
    if peak.low <= limit_bytes:
        return ""
    bar = "" if peak.low == peak.high else f" ({_size(peak.low)} to {_size(peak.high)})"
    return (
        f"predicted peak memory {_size(peak.value)}{bar} is more than {name} of {_size(limit_bytes)} "
        "(basis: formula)"
    )


def _term(memory: Memory, name: str) -> Term:
    if name not in memory.terms:
        raise ProtocolError(f"the catalogue's memory formula has no term `{name}`", hint=_HINT)
    return memory.terms[name]


def _names(
    load: Load, facts: Facts, memory: Memory, phase: str, bytes_of_element: int
) -> dict[str, float | None]:
    """Collects the numbers that an expression of a phase may name."""
    # Where the compression itself trains, its phases have the numbers of its own training.
    trains = phase in ("compress", "teach") and load.compression.teacher is not None
    numbers = _numbers(load.levels["compression" if trains else "method"])
    shape: dict[str, float | None] = {**_shape(facts), **_teacher(load.teacher)}
    trainable = load.method.trainable if load.method.trains else "0"
    lengths = (
        (numbers.get("batch"), numbers.get("max_tokens"))
        if trains or phase == "train"
        else (float(load.inference.batch), float(load.inference.prompt_tokens))
    )
    bits = load.compression.bits_per_weight
    return {
        **numbers,
        **shape,
        "trainable": None if trainable is None or trains else evaluate(trainable, {**numbers, **shape}),
        "element_bytes": float(bytes_of_element),
        "bits_per_weight": 8.0 * bytes_of_element if bits is None else bits,
        "base_process_bytes": memory.base_process_bytes,
        "batch": lengths[0],
        "sequence": lengths[1],
        "new_tokens": float(load.inference.new_tokens),
    }


def _numbers(level: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in level.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _shape(facts: Facts) -> dict[str, float | None]:
    return {**facts.config, "parameters": float(facts.parameter_count)}


def _teacher(facts: Facts | None) -> dict[str, float | None]:
    """Returns the numbers of a second model under their names with `teacher_` before them."""
    return {} if facts is None else {f"teacher_{name}": value for name, value in _shape(facts).items()}


def evaluate(expression: str, names: Mapping[str, float | None]) -> float:
    """Compute an arithmetic expression over named numbers.

    Raises:
        UnknownName: a name is not known, or a division by zero.
        ProtocolError: the expression has anything but numbers, names, + - * /,
            parentheses, max and min.
    """
    try:
        return _value(_parsed(expression), names)
    except (ZeroDivisionError, OverflowError) as error:
        raise UnknownName(expression) from error


@lru_cache(maxsize=512)
def _parsed(expression: str) -> ast.expr:
    broken = ProtocolError(f"the catalogue's expression {expression[:80]!r} cannot be read", hint=_HINT)
    if len(expression) > EXPRESSION_CHARACTERS:
        raise broken
    try:
        tree = ast.parse(expression, mode="eval").body
        _checked(tree, broken)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise broken from error
    return tree


def _checked(node: ast.expr, broken: ProtocolError, depth: int = 0) -> None:
    """Refuses everything that is not arithmetic, before anything is computed."""
    if depth > EXPRESSION_DEPTH:
        raise broken
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        parts = [node.operand]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        parts = [*node.args]
        if node.keywords or not parts:
            raise broken
    elif isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and type(node.value) in (int, float)):
        parts = []
    else:
        raise broken
    for part in parts:
        _checked(part, broken, depth + 1)


def _value(node: ast.expr, names: Mapping[str, float | None]) -> float:
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, (int, float))
        return float(node.value)
    if isinstance(node, ast.Name):
        known = names.get(node.id)
        if known is None:
            raise UnknownName(node.id)
        return known
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, names)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return float(_CALLS[node.func.id](_value(part, names) for part in node.args))
    assert isinstance(node, ast.BinOp)
    return _binary(node.op, _value(node.left, names), _value(node.right, names))


def _binary(operator: ast.operator, left: float, right: float) -> float:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    return left * right if isinstance(operator, ast.Mult) else left / right


def _size(value_bytes: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value_bytes >= scale:
            return f"{value_bytes / scale:.1f} {unit}"
    return f"{value_bytes:.0f} bytes"
