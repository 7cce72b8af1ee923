"""Computes the figures of a finished attempt again from the files in its folder.

A figure that cannot be computed again from what is kept is an assertion. So the
same reduction runs on the stored events and traces, and every figure must come out
as it stands in result.json, bit for bit; what differs is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from edgerig.documents import from_json, to_json
from edgerig.errors import NotFoundError, StorageError
from edgerig.v1.attempt_pb2 import AttemptResult, Boundary, ItemScore, Measurement, Phase, WorkerEvent
from edgerig.version import VERSION
from edgerig.words import word
from edgerig_agent.attempt_files import read_result, read_trial
from edgerig_agent.measure.events import WorkerReport, collect
from edgerig_agent.measure.reduce import Reduced, reduce_attempt
from edgerig_agent.outcome import reduced_flags, score_end

_NEEDED = ("trial.json", "events.jsonl", "scores.jsonl", "result.json")
_MAX_LINES_BYTES = 256 * 1024 * 1024
# More differences than this are one: another program wrote the result.
_SHOWN = 20


@dataclass(frozen=True)
class Difference:
    """One figure, or one field of the result, that does not come out as it is stored."""

    what: str
    stored: Any
    computed: Any

    def line(self) -> str:
        return f"{self.what}: stored {self.stored}, computed {self.computed}"


@dataclass(frozen=True)
class Recomputed:
    """What came of computing an attempt again."""

    folder: Path
    attempt_id: str
    agent_version: str
    measurement_count: int
    differences: tuple[Difference, ...]

    @property
    def is_identical(self) -> bool:
        """Tells whether every figure came out bit for bit."""
        return not self.differences

    def lines(self) -> list[str]:
        """Returns what to tell a person."""
        what = f"{self.measurement_count} figures of attempt {self.attempt_id}"
        if self.is_identical:
            return [f"identical: {what} come out of its files bit for bit"]
        count = len(self.differences)
        lines = [f"different: {what}, {count} of them or of the result's fields do not come out as stored"]
        lines += [f"  {difference.line()}" for difference in self.differences[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  and {count - _SHOWN} more; --json lists all")
        if self.agent_version != VERSION:
            lines.append(f"The result was made by version {self.agent_version}, this is {VERSION}.")
        return lines

    def document(self) -> dict[str, Any]:
        """Returns the same as one JSON document."""
        return {
            "folder": str(self.folder),
            "attempt_id": self.attempt_id,
            "identical": self.is_identical,
            "measurement_count": self.measurement_count,
            "differences": [
                {"what": one.what, "stored": one.stored, "computed": one.computed} for one in self.differences
            ],
            "made_by_version": self.agent_version,
            "version": VERSION,
        }


def recompute(folder: Path) -> Recomputed:
    """Reduces the files of an attempt folder again and compares with its result.json.

    Raises:
        NotFoundError: files that are needed are not there; all of them are named.
        ProtocolError: a document or an event cannot be understood.
        StorageError: a file cannot be read, or is larger than an attempt writes.
    """
    _check_files(folder)
    trial, result = read_trial(folder), read_result(folder)
    report = read_report(folder)
    reduced = reduce_attempt(folder, report, trial.protocol, locked_gpu_hz=trial.settings.gpu_clock_mhz * 1e6)
    differences = [
        *_figure_differences(result.measurements, reduced.measurements),
        *_field_differences(result, reduced, report),
        *_flag_differences(result, reduced_flags(trial.protocol, reduced, _own_cpu_share(result))),
    ]
    return Recomputed(
        folder, result.attempt_id, result.agent_version, len(reduced.measurements), tuple(differences)
    )


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint=f"ls -ld {folder}")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        reason = "an attempt whose worker was never started has none, and nothing to compute"
        raise NotFoundError(f"{folder} lacks {', '.join(missing)} ({reason})", hint=f"ls -l {folder}")


def read_report(folder: Path) -> WorkerReport:
    """Returns what the worker of a finished attempt said, out of its files.

    Raises:
        ProtocolError: an event cannot be understood.
        StorageError: a file cannot be read, or is larger than an attempt writes.
    """
    lines = _lines(folder / "events.jsonl")
    events = [from_json(line, WorkerEvent(), what=f"events.jsonl:{n}") for n, line in lines]
    scores = [
        WorkerEvent(score=from_json(line, ItemScore(), what=f"scores.jsonl:{number}"))
        for number, line in _lines(folder / "scores.jsonl")
    ]
    return collect([*events, *scores])


def _lines(path: Path) -> Iterable[tuple[int, bytes]]:
    try:
        if path.stat().st_size > _MAX_LINES_BYTES:
            raise StorageError(f"{path.name} is larger than any attempt writes")
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", hint=f"ls -l {path}") from error
    return [(number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]


def _own_cpu_share(result: AttemptResult) -> float:
    duration_s = (result.end_mono_ns - result.begin_mono_ns) * 1e-9
    return result.own_cpu_s / duration_s if duration_s > 0 else 0.0


def _figure_differences(
    stored: Sequence[Measurement], computed: Sequence[Measurement]
) -> Iterable[Difference]:
    before, now = _by_name(stored), _by_name(computed)
    for name in [*before, *(name for name in now if name not in before)]:
        if name not in now:
            yield Difference(name, _shown(before[name]), None)
        elif name not in before:
            yield Difference(name, None, _shown(now[name]))
        elif _bits(before[name]) != _bits(now[name]):
            yield from _message_differences(name, before[name], now[name])


def _by_name(measurements: Sequence[Measurement]) -> Mapping[str, Measurement]:
    named: dict[str, Measurement] = {}
    for one in measurements:
        parts = (one.name, word(Phase, one.phase), one.statistic, word(Boundary, one.boundary), one.source)
        name = " ".join(part for part in parts if part)
        # Two figures of one name would hide each other.
        count = sum(1 for known in named if known == name or known.startswith(f"{name} #"))
        named[f"{name} #{count + 1}" if count else name] = one
    return named


def _message_differences(name: str, stored: Message, computed: Message) -> Iterable[Difference]:
    before, now = to_json(stored), to_json(computed)
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield Difference(f"{name}: {key}", before.get(key), now.get(key))


def _field_differences(result: AttemptResult, reduced: Reduced, report: WorkerReport) -> Iterable[Difference]:
    scores = [score.score for score in report.scores]
    computed = AttemptResult(
        item_count=len(scores),
        sensor_events=reduced.sensor_events,
        measurements=result.measurements,
        points=reduced.points,
        worker=result.worker,
    )
    if scores:
        computed.quality = sum(scores) / len(scores)
        score_end(computed)
    if reduced.last_available_bytes is not None:
        computed.last_available_bytes = reduced.last_available_bytes
    before, now = to_json(result), to_json(computed)
    for key in ("quality", "item_count", "sensor_events", "points", "last_available_bytes"):
        if before.get(key) != now.get(key):
            yield Difference(key, before.get(key), now.get(key))


def _flag_differences(result: AttemptResult, computed: Sequence[str]) -> Iterable[Difference]:
    """Every flag that follows from the files must stand in the result; it may have more, from elsewhere."""
    missing = [flag for flag in computed if flag not in result.flags]
    if missing:
        yield Difference("flags", list(result.flags), [*result.flags, *missing])


def _bits(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _shown(measurement: Measurement) -> Any:
    return measurement.value if measurement.HasField("value") else measurement.unavailable_reason
