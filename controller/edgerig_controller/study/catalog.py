"""The workload's catalogue: which methods, compressions, tasks and metrics exist, and what memory they take.

The document comes from `python -m edgerig_workload catalog`, here or on a
device. A device is not trusted to send a sound one, so it is checked like any
other input. Keys that this version does not know are ignored: a newer worker
may say more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edgerig.errors import DeviceError, ProtocolError

DOCUMENT_BYTES = 4 * 1024 * 1024
_SECONDS = 60.0

Scalar: TypeAlias = str | int | float | bool


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Parameter(_Part):
    """One parameter of a method or compression."""

    type: Literal["int", "float", "bool", "string"]
    default: Scalar | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Scalar, ...] = ()
    summary: str = ""


class Teacher(_Part):
    """What a compression asks of the second model that it learns from."""

    same_vocabulary: bool = False
    # Why a cell whose teacher is another one cannot run.
    reason: str = ""


class Kind(_Part):
    """A method or compression."""

    summary: str = ""
    trains: bool = False
    retrieves: bool = False
    needs_model: bool = True
    requires: tuple[str, ...] = ()
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    # Trainable parameters, an expression like those of the memory formula.
    trainable: str | None = None
    bits_per_weight: float | None = None
    trainable_base: bool = True
    # None where no second model is learnt from.
    teacher: Teacher | None = None


class TaskFacts(_Part):
    """What the workload knows of a task family."""

    kind: Literal["classification", "rating", "generation"]
    metric: str
    metrics: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    answer_tokens: int = 0


class Metric(_Part):
    """An item score."""

    unit: str = "ratio"
    larger_is_better: bool = True


class Term(_Part):
    """One part of a phase's memory, in bytes; it counts where the conditions hold of a cell."""

    expression: str
    when: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)


def _bare_term(value: Any) -> Any:
    """Reads a term as agents of protocol 1.0 send it: an expression that always counts."""
    return {"expression": value} if isinstance(value, str) else value


class Memory(_Part):
    """The memory formula: terms, and which of them add up in which phase."""

    terms: dict[str, Annotated[Term, BeforeValidator(_bare_term)]] = Field(default_factory=dict)
    phases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    # Resident set of the worker before it loads a model.
    base_process_bytes: float | None = None
    # How far a prediction is off at most in nine of ten cases, as a share of it.
    relative_error: float = Field(default=0.0, ge=0.0, lt=1.0)


class Incompatible(_Part):
    """A combination that the workload cannot run."""

    when: dict[str, Scalar | list[Scalar]]
    reason: str


class Catalog(_Part):
    """The whole document, schema 1."""

    schema_version: Literal[1] = Field(alias="schema")
    methods: dict[str, Kind]
    compressions: dict[str, Kind]
    # Engines and key-value caches came later than the rest: a worker may not say any.
    engines: dict[str, Kind] = Field(default_factory=dict)
    kv_caches: dict[str, Kind] = Field(default_factory=dict)
    tasks: dict[str, TaskFacts]
    metrics: dict[str, Metric]
    memory: Memory = Memory()
    exclusions: tuple[Incompatible, ...] = ()


def parse(document: Mapping[str, Any]) -> Catalog:
    """Check a catalogue document.

    Raises:
        ProtocolError: it does not have the documented shape.
    """
    try:
        return Catalog.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ProtocolError(
            f"the workload's catalogue is not usable: {where}: {first['msg']}",
            hint="install the same version of edgerig on the controller and on the devices",
        ) from error


def local_catalog(python: str = sys.executable) -> dict[str, Any]:
    """Ask the workload of an interpreter of this machine for its catalogue.

    Raises:
        DeviceError: the workload is not installed there, or does not answer.
        ProtocolError: the answer is not a catalogue.
    """
    executable = str(Path(python).absolute()) if "/" in python else python
    command = [executable, "-m", "edgerig_workload", "catalog"]
    hint = f"{python} -m pip install 'edgerig[workload]'"
    try:
        # Not in the caller's folder: `-m` would import modules that lie there.
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, cwd="/")
    except OSError as error:
        raise DeviceError(f"{python} cannot be started: {error.strerror}", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"`{' '.join(command)}` did not answer in {_SECONDS:g} s", hint=hint) from error
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        said = f": {tail[0]}" if tail else ""
        raise DeviceError(f"the workload of {python} gives no catalogue{said}", hint=hint)
    if len(done.stdout) > DOCUMENT_BYTES:
        raise ProtocolError(f"the workload's catalogue is larger than {DOCUMENT_BYTES} bytes")
    try:
        document = json.loads(done.stdout)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(
            f"the workload's catalogue is not JSON: {error}", hint=" ".join(command)
        ) from error
    if not isinstance(document, dict):
        raise ProtocolError("the workload's catalogue is not a JSON object", hint=" ".join(command))
    parse(document)
    return document
