"""The engine of a trial, read from the JSON form of the message Engine. Opens and starts nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgerig_workload.engines.catalog import ENGINES

WORDS_MOST = 256
WORD_CHARS = 4096
READY_MOST_S = 24 * 3600.0
_PATH = re.compile(r"/[\x21-\x7e]{0,255}")
_PLACEHOLDER = re.compile(r"\{(model|port|new_tokens)\}")

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True)
class EngineChoice:
    """What runs the model. All but the first two are of kind `server`; see the message Engine."""

    kind: str = "transformers"
    name: str = "transformers"
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/health"
    ready_s: float = 120.0
    completion_path: str = "/v1/completions"
    model: str = "{model}"
    request: Mapping[str, Any] = field(default_factory=dict)
    forced: Mapping[str, Any] = field(default_factory=dict)


TRANSFORMERS = EngineChoice()


def read(value: Any, problems: list[str]) -> EngineChoice:
    """Check the JSON form of an engine; what is wrong is added to `problems`."""
    if value is None:
        return TRANSFORMERS
    if not isinstance(value, dict):
        problems.append("trial.engine must be an object")
        return TRANSFORMERS
    kind = value.get("kind") or "transformers"
    if kind not in ENGINES:
        problems.append(f"trial.engine.kind {kind!r} is none of {', '.join(ENGINES)}")
        return TRANSFORMERS
    if kind != "server":
        return EngineChoice(kind=kind, name=str(value.get("name") or kind))
    return EngineChoice(
        kind=kind,
        name=str(value.get("name") or kind),
        command=_command(value.get("command"), problems),
        environment=_texts(value.get("environment") or {}, problems),
        ready_path=_path("ready_path", value.get("ready_path") or "/health", problems),
        ready_s=_ready_s(value.get("ready_s"), problems),
        completion_path=_path("completion_path", value.get("completion_path") or "/v1/completions", problems),
        model=str(value.get("model") or "{model}"),
        request=_object("request", value.get("request"), problems),
        forced=_object("forced", value.get("forced"), problems),
    )


def filled(value: Any, names: Mapping[str, str | int]) -> Any:
    """Put values in the place of `{name}` in every text of a JSON value.

    A text that is nothing but a placeholder becomes the value itself, a number where it is one.
    """
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in names:
            return names[whole[1]]
        return _PLACEHOLDER.sub(lambda match: str(names.get(match[1], match[0])), value)
    if isinstance(value, Mapping):
        return {name: filled(inner, names) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(inner, names) for inner in value]
    # A Struct holds whole numbers as 8.0, which strict servers refuse.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _command(value: Any, problems: list[str]) -> tuple[str, ...]:
    good = isinstance(value, list) and 0 < len(value) <= WORDS_MOST
    if not good or not all(isinstance(word, str) and "\0" not in word for word in value):
        problems.append(f"trial.engine.command must be a list of 1 to {WORDS_MOST} texts")
        return ()
    if not value[0] or max(len(word) for word in value) > WORD_CHARS:
        problems.append(
            f"trial.engine.command: words have up to {WORD_CHARS} characters, the first at least 1"
        )
        return ()
    return tuple(value)


def _texts(value: Any, problems: list[str]) -> Mapping[str, str]:
    if isinstance(value, dict) and all(isinstance(one, str) and "\0" not in one for one in value.values()):
        return value
    problems.append("trial.engine.environment must be an object of texts")
    return {}


def _path(name: str, value: Any, problems: list[str]) -> str:
    if isinstance(value, str) and _PATH.fullmatch(value):
        return value
    problems.append(f"trial.engine.{name} must be a path such as /health")
    return "/"


def _ready_s(value: Any, problems: list[str]) -> float:
    if value is None:
        return 120.0
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if 0 < number <= READY_MOST_S:
        return float(number)
    problems.append("trial.engine.ready_s must be a number of seconds, at most a day")
    return 120.0


def _object(name: str, value: Any, problems: list[str]) -> Mapping[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    problems.append(f"trial.engine.{name} must be an object")
    return {}
