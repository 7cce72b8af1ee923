"""Turns what a worker said and how it ended into the result of an attempt.

Parses the event lines, writes events.jsonl and scores.jsonl, and composes the
`AttemptResult`. Knows nothing of processes or signals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerig.documents import canonical_bytes, from_json, to_json
from edgerig.errors import ProtocolError, StorageError
from edgerig.v1.attempt_pb2 import (
    FAILURE_CLASS_UNSPECIFIED,
    PHASE_UNSPECIFIED,
    STATUS_FAILED,
    STATUS_INVALID,
    STATUS_OK,
    AttemptResult,
    WorkerEvent,
)
from edgerig.v1.trial_pb2 import Protocol, Trial
from edgerig.version import VERSION
from edgerig_agent.classify import Ending
from edgerig_agent.measure import validity
from edgerig_agent.measure.engines import engine_flags
from edgerig_agent.measure.events import WorkerReport, collect
from edgerig_agent.measure.reduce import Reduced
from edgerig_agent.protocol.preconditions import BROKEN, WARMUP_UNSETTLED

# Flags of a figure that are facts about the figure and say nothing of the run.
_OF_FIGURES_ONLY = frozenset({"upper_bound", validity.SHORT_WINDOW})


@dataclass(frozen=True)
class Anchors:
    """What places an attempt in time: one pair of clocks, and its boot."""

    boot_id: str
    mono_ns: int
    unix_ns: int


@dataclass(frozen=True)
class Window:
    """The time in which the worker lived, and what our own processes used of it."""

    begin_mono_ns: int
    end_mono_ns: int
    own_cpu_s: float
    # own_cpu_s as a share of the window's length, so of one processor.
    own_cpu_share: float


def take_events(folder: Path, raw: bytes) -> tuple[WorkerReport, str]:
    """Parses the lines of the event pipe; writes events.jsonl, scores.jsonl and, if any, points.jsonl.

    Returns what the worker said, and the first line that the contract forbids
    ('' for none); a piece of a line at the end is what a killed worker leaves.

    Raises:
        StorageError: the disk refuses.
    """
    events: list[WorkerEvent] = []
    points: list[bytes] = []
    violation = ""
    try:
        with (folder / "events.jsonl").open("wb") as kept, (folder / "scores.jsonl").open("wb") as scores:
            for number, line in _lines(raw):
                try:
                    event = from_json(line, WorkerEvent(), what=f"line {number} of the worker's events")
                except ProtocolError as error:
                    violation = violation or error.message[:1000]
                    continue
                events.append(event)
                if event.WhichOneof("event") != "score":
                    kept.write(line + b"\n")
                elif event.score.point:
                    points.append(canonical_bytes(to_json(event.score)) + b"\n")
                else:
                    scores.write(canonical_bytes(to_json(event.score)) + b"\n")
        if points:
            (folder / "points.jsonl").write_bytes(b"".join(points))
    except OSError as error:
        raise StorageError(f"cannot write the events: {error}", hint=f"df -h {folder}") from error
    return collect(events), violation


def compose(
    attempt_id: str,
    trial: Trial,
    ending: Ending,
    report: WorkerReport,
    reduced: Reduced,
    window: Window,
    anchors: Anchors,
    *,
    kept: Sequence[str] = (),
) -> AttemptResult:
    """Returns the result of an attempt whose worker was started.

    `kept` are the flags that say how the protocol was kept.
    """
    flags = reduced_flags(trial.protocol, reduced, window.own_cpu_share)
    flags += [flag for flag in (*kept, *_worker_flags(report)) if flag not in flags]
    result = AttemptResult(
        attempt_id=attempt_id,
        trial_digest=trial.digest,
        status=ending.status,
        failure_class=ending.failure_class,
        failure_message=ending.message,
        failure_phase=PHASE_UNSPECIFIED,
        measurements=reduced.measurements,
        sensor_events=reduced.sensor_events,
        points=reduced.points,
        item_count=len(report.scores),
        boot_id=anchors.boot_id,
        anchor_mono_ns=anchors.mono_ns,
        anchor_unix_ns=anchors.unix_ns,
        begin_mono_ns=window.begin_mono_ns,
        end_mono_ns=window.end_mono_ns,
        agent_version=VERSION,
        flags=flags,
        own_cpu_s=window.own_cpu_s,
    )
    if report.facts is not None:
        result.worker.CopyFrom(report.facts)
    if report.scores:
        result.quality = sum(score.score for score in report.scores) / len(report.scores)
        score_end(result)
    if ending.status != STATUS_OK:
        spoken = report.failure.phase if report.failure is not None else PHASE_UNSPECIFIED
        result.failure_phase = spoken or report.open_phase or PHASE_UNSPECIFIED
    elif validity.is_invalid(trial.protocol, flags) or BROKEN in kept:
        result.status = STATUS_INVALID
        reasons = (validity.INVALIDATING | {BROKEN}) & set(flags)
        result.failure_message = f"not evidence: {', '.join(sorted(reasons))}"
    return result


def score_end(result: AttemptResult) -> None:
    """Gives the end of training the trial's own score, where its parameters are those of the end."""
    if result.points and not result.points[-1].HasField("score") and not result.worker.train_kept_point:
        result.points[-1].score = result.quality
        result.points[-1].item_count = result.item_count


def compose_unstarted(attempt_id: str, trial: Trial, ending: Ending, anchors: Anchors) -> AttemptResult:
    """Returns the result of an attempt that has no figures: it never ran, or nothing of it is left."""
    assert ending.status == STATUS_FAILED and ending.failure_class != FAILURE_CLASS_UNSPECIFIED
    return AttemptResult(
        attempt_id=attempt_id,
        trial_digest=trial.digest,
        status=ending.status,
        failure_class=ending.failure_class,
        failure_message=ending.message,
        boot_id=anchors.boot_id,
        anchor_mono_ns=anchors.mono_ns,
        anchor_unix_ns=anchors.unix_ns,
        agent_version=VERSION,
    )


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    lines = raw.split(b"\n")
    # What stands behind the last newline is empty, or a line that was cut off by the worker's end.
    tail = lines.pop()
    if tail and _is_json(tail):
        lines.append(tail)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _worker_flags(report: WorkerReport) -> list[str]:
    facts = report.facts
    if facts is None:
        return []
    unsettled = facts.HasField("warmup_settled") and not facts.warmup_settled
    return [*([WARMUP_UNSETTLED] if unsettled else []), *engine_flags(facts)]


def reduced_flags(protocol: Protocol, reduced: Reduced, own_cpu_share: float) -> list[str]:
    """Returns the flags of a run that follow from its files, in a fixed order."""
    conditions = validity.RunConditions(
        protocol=protocol,
        own_cpu_share=own_cpu_share,
        late_p99_ns=reduced.sampler.late_p99_ns,
        sampler_died=reduced.sampler.died,
        swapped_in_pages=reduced.swapped_in_pages,
    )
    flags = validity.run_flags(conditions)
    return flags + sorted(reduced.figure_flags - _OF_FIGURES_ONLY - set(flags))
