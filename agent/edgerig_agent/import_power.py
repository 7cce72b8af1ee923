"""Figures of a finished attempt from a power log that was written beside it on another machine.

The log's wall clock is placed on the attempt's clock by the pair of instants in its
result; how well both wall clocks agreed is for the person who set them (NTP), and what
is known of their difference can be given. The attempt stays as it is: what is computed
goes to `imported/` in its folder.
"""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.documents import to_json
from edgerig.errors import DataError, NotFoundError, StorageError, UsageError
from edgerig.v1.attempt_pb2 import AttemptResult, Measurement
from edgerig_agent.attempt_files import read_result, read_trial
from edgerig_agent.measure.idle import idle_power
from edgerig_agent.measure.power import energy_figures
from edgerig_agent.measure.reduce import work_windows
from edgerig_agent.measure.sources import power_sources
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.measure.validity import protocol_flags
from edgerig_agent.probes.base import POWER_W, UNREAD
from edgerig_agent.probes.meters.address import BOUNDARIES
from edgerig_agent.probes.meters.spl import Log, Sample, parse
from edgerig_agent.recompute import read_report

_MICRO = 1e-6
# Two clocks that run beside each other: the most that one is slewed, and what two readings may differ.
_SLEW = 500e-6
_STEP_NS = 10_000_000
_MAX_LOG_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Clock:
    """How the log's wall clock relates to the device's."""

    utc_offset_s: float = 0.0
    # The log's clock less the device's, as far as it is known.
    ahead_s: float = 0.0


@dataclass(frozen=True)
class Imported:
    """What the log says of the attempt."""

    name: str
    boundary: str
    sample_count: int
    bad_line_count: int
    measurements: tuple[Measurement, ...]

    def document(self) -> dict[str, Any]:
        """Returns it as one JSON document."""
        return {
            "name": self.name,
            "boundary": self.boundary,
            "sample_count": self.sample_count,
            "bad_line_count": self.bad_line_count,
            "measurements": [to_json(measured) for measured in self.measurements],
        }


def offset_s(text: str) -> float:
    """Returns the seconds of an offset like +02:00.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"([+-])(\d{2}):(\d{2})", text)
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        raise UsageError(f"`{text}` is no offset from UTC", hint="write it as +02:00 or -07:00")
    seconds = int(match[2]) * 3600.0 + int(match[3]) * 60.0
    return -seconds if match[1] == "-" else seconds


def import_spl(folder: Path, log_path: Path, boundary: str, clock: Clock) -> Imported:
    """Reduces a PTDaemon log over the phases of an attempt and keeps the outcome in its folder.

    Raises:
        NotFoundError: the log or a file of the attempt is not there.
        UsageError: the boundary is none that a meter has.
        DataError: the log has no sample, or none in the time of the attempt.
        StorageError: a file cannot be read or written.
    """
    if boundary not in BOUNDARIES:
        raise UsageError(f"`{boundary}` is no boundary of a meter", hint=f"one of {', '.join(BOUNDARIES)}")
    result, report = read_result(folder), read_report(folder)
    log = _read_log(log_path, clock)
    trace = to_trace(log, f"spl:{log_path.stem}", boundary, result, clock)
    _check_overlap(trace, result, log_path)
    sources = power_sources([trace], work_windows(report))
    idles = [idle_power(source, report) for source in sources]
    flags = protocol_flags(read_trial(folder).protocol)
    figures = [m for phase in report.phases() for m in energy_figures(sources, idles, report, phase, flags)]
    imported = Imported(log_path.stem, boundary, len(trace.times_ns), len(log.bad_lines), tuple(figures))
    _keep(folder, imported)
    return imported


def to_trace(log: Log, source: str, boundary: str, result: AttemptResult, clock: Clock) -> Trace:
    """Places the samples of a log on the clock of an attempt, in ns of CLOCK_MONOTONIC.

    Raises:
        DataError: the device's wall clock was set during the attempt.
    """
    rate = _wall_rate(result)
    ahead_ns = round(clock.ahead_s * 1e9)
    anchor_mono_ns, anchor_unix_ns = int(result.anchor_mono_ns), int(result.anchor_unix_ns)
    field = Field(f"{source}:{POWER_W}", POWER_W, _MICRO, source, boundary, 0)
    times = array(
        "q",
        [
            anchor_mono_ns + round((sample.unix_ns - ahead_ns - anchor_unix_ns) / rate)
            for sample in log.samples
        ],
    )
    values = array("q", [_raw(sample) for sample in log.samples])
    return Trace(source, 1_000_000_000, (field,), times, (values,))


def _wall_rate(result: AttemptResult) -> float:
    """Returns the rate of the wall clock in the attempt by its two pairs of clocks; 1 with one pair only.

    A clock that is slewed differs from CLOCK_MONOTONIC by 500 ppm at most (adjtimex(2)); more
    is a clock that was set, and nobody knows at which instant.
    """
    mono_ns = int(result.end_anchor_mono_ns) - int(result.anchor_mono_ns)
    unix_ns = int(result.end_anchor_unix_ns) - int(result.anchor_unix_ns)
    if not result.end_anchor_mono_ns or mono_ns <= 0:
        return 1.0
    moved_ns = unix_ns - mono_ns
    if abs(moved_ns) > _SLEW * mono_ns + _STEP_NS:
        raise DataError(
            f"the device's wall clock was set by {moved_ns * 1e-9:+.3f} s during the attempt, so that a log "
            "of another clock cannot be laid over it",
            hint="timedatectl timesync-status",
        )
    return unix_ns / mono_ns


def _raw(sample: Sample) -> int:
    return UNREAD if sample.power_w is None else round(sample.power_w / _MICRO)


def _read_log(path: Path, clock: Clock) -> Log:
    try:
        if path.stat().st_size > _MAX_LOG_BYTES:
            raise StorageError(f"{path} is larger than {_MAX_LOG_BYTES} bytes")
        with path.open(encoding="utf-8", errors="replace") as file:
            log = parse(file, clock.utc_offset_s)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no power log {path}", hint=f"ls -l {path.parent}") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if not log.samples:
        raise DataError(f"{path} has no line `Time,...,Watts,...`", hint=f"head {path}")
    return log


def _check_overlap(trace: Trace, result: AttemptResult, path: Path) -> None:
    begin_ns, end_ns = int(result.begin_mono_ns), int(result.end_mono_ns)
    if not any(begin_ns <= t_ns <= end_ns for t_ns in trace.times_ns):
        middle_ns = (trace.times_ns[0] + trace.times_ns[-1]) // 2
        hours = (middle_ns - (begin_ns + end_ns) // 2) / 3.6e12
        raise DataError(
            f"{path} has no sample in the time of the attempt; its middle is {hours:+.2f} h away from it",
            hint="give the zone of the log's clock with --utc-offset, such as --utc-offset +02:00",
        )


def _keep(folder: Path, imported: Imported) -> None:
    path = folder / "imported" / f"{imported.name}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(imported.document(), indent=2) + "\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}", hint=f"ls -ld {folder}") from error
