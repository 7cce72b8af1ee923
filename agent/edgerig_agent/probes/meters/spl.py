"""Power logs of SPEC's PTDaemon (`spl.txt`), as MLPerf's power submissions hold them; pure.

PTDaemon runs beside the analyser on another machine (the director) and is licensed to
members only, so its log is imported and the daemon never spoken to. A line is pairs of a
name and a value, separated by commas:

    Time,07-15-2021 13:36:23.936,Watts,14.04,Volts,229.97,Amps,0.1535,PF,0.3978,Mark,run_1

The time is the director's wall clock without a zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

_TIME = "%m-%d-%Y %H:%M:%S.%f"
_MAX_LINE_CHARS = 4096
# A log of a day at 1 Hz has 86,400 lines.
_MAX_SAMPLES = 5_000_000


@dataclass(frozen=True)
class Sample:
    """One line: instant in Unix nanoseconds, watts; None where the analyser showed no value."""

    unix_ns: int
    power_w: float | None


@dataclass(frozen=True)
class Log:
    """The samples in the order of their times; `bad_lines` are the numbers of lines that were passed over."""

    samples: tuple[Sample, ...]
    bad_lines: tuple[int, ...]


def parse(lines: Iterable[str], utc_offset_s: float = 0.0) -> Log:
    """Reads a log.

    Args:
        lines: of the file; empty ones are nothing.
        utc_offset_s: of the director's wall clock, +7200 for +02:00.
    """
    zone = timezone(timedelta(seconds=utc_offset_s))
    samples: list[Sample] = []
    bad: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        sample = _sample(line, zone) if len(line) <= _MAX_LINE_CHARS else None
        if sample is None or len(samples) >= _MAX_SAMPLES:
            bad.append(number)
        else:
            samples.append(sample)
    return Log(tuple(sorted(samples, key=lambda sample: sample.unix_ns)), tuple(bad))


def _sample(line: str, zone: timezone) -> Sample | None:
    words = [word.strip() for word in line.split(",")]
    pairs = dict(zip(words[0::2], words[1::2], strict=False))
    if "Time" not in pairs or "Watts" not in pairs:
        return None
    try:
        stamp = datetime.strptime(pairs["Time"], _TIME).replace(tzinfo=zone)
    except ValueError:
        return None
    # Whole numbers: a float of seconds since 1970 has steps of 0.2 microseconds.
    since = stamp - datetime(1970, 1, 1, tzinfo=timezone.utc)
    unix_ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
    return Sample(unix_ns, _watts(pairs["Watts"]))


def _watts(text: str) -> float | None:
    """Out of range and no value are written as -1, as words, or as a number that no analyser reads."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value < 1e6 else None
