"""The command `edgerig-agent selftest`: waves of load with the real sampler beside them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgerig.documents import canonical_bytes
from edgerig.errors import DeviceError, StorageError, UsageError
from edgerig_agent.accounting import usable_cpu_count
from edgerig_agent.attempt_files import write_durably
from edgerig_agent.measure.sources import power_sources
from edgerig_agent.measure.trace import read_traces
from edgerig_agent.probes.base import POWER_QUANTITIES, places
from edgerig_agent.probes.families import POWER_FAMILIES, discover
from edgerig_agent.recorders import check_meters, configured_meters, start_recorders, stop_recorders
from edgerig_agent.runtime import interpreter_path, start_sampler, stop_sampler
from edgerig_agent.selftest import loads
from edgerig_agent.selftest.comparison import additivity, fit
from edgerig_agent.selftest.findings import Findings
from edgerig_agent.selftest.response import analyse
from edgerig_agent.selftest.wave import Wave, Window, next_wave

EXIT_PASSED, EXIT_FOUND, EXIT_NO_SENSOR = 0, 1, 4
WAVE_FILE = "wave.json"

_FEWEST_CYCLES = 3
# Between telling the programs and the first edge, and after the last edge for slow sensors.
_LEAD_NS = 100_000_000
_AFTER_S = 0.2
# Shares of the duration: idle, and each wave of those that there are.
_IDLE_SHARE = 0.2
_SEED = 1


@dataclass(frozen=True)
class Plan:
    """What is done, for how long and with what."""

    root: str
    folder: Path
    interpreter: str
    duration_s: float
    period_s: float
    process_count: int
    meters: tuple[str, ...]
    note: Callable[[str], None]


@dataclass
class Course:
    """What was done: the idle window, the waves, and what could not be."""

    idle: Window = (0, 0)
    waves: list[Wave] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def selftest(plan: Plan, rest: Callable[[float], None] = time.sleep) -> Findings:
    """Runs the waves and returns how each power source followed them.

    Raises:
        DeviceError: there is no sensor that could follow, or the sampler does not start.
        UsageError: an address of a meter cannot be understood.
    """
    check_meters(plan.meters)
    _require_sensor(plan)
    course = Course()
    sampler = start_sampler(plan.folder, plan.root, _SEED)
    recorders = start_recorders(plan.folder, plan.meters, plan.root, _SEED)
    try:
        _idle(plan, course, rest)
        with loads.processors(plan.process_count) as burners:
            _wave(plan, course, "cpu", burners, rest)
        try:
            with loads.gpu(plan.interpreter) as burners:
                _wave(plan, course, "gpu", burners, rest)
        except DeviceError as error:
            course.skipped["gpu"] = error.message
    finally:
        stop_sampler(sampler)
        stop_recorders(recorders)
    return _findings(plan, course)


def _idle(plan: Plan, course: Course, rest: Callable[[float], None]) -> None:
    idle_s = _IDLE_SHARE * plan.duration_s
    plan.note(f"idle, {idle_s:.0f} s")
    begin_ns = time.monotonic_ns()
    rest(idle_s)
    course.idle = (begin_ns, time.monotonic_ns())


def _wave(
    plan: Plan, course: Course, load: str, burners: list[loads.Load], rest: Callable[[float], None]
) -> None:
    period_ns = int(plan.period_s * 1e9)
    share_s = (1 - _IDLE_SHARE) / 2 * plan.duration_s
    cycles = max(_FEWEST_CYCLES, int(share_s / plan.period_s))
    wave = next_wave(load, time.monotonic_ns() + _LEAD_NS, period_ns, cycles)
    plan.note(f"{load}: {cycles} periods of {plan.period_s:g} s")
    course.waves.append(wave)
    _write_waves(plan.folder, course)
    loads.run(burners, wave)
    rest(max(0.0, (wave.end_ns - time.monotonic_ns()) * 1e-9) + _AFTER_S)


def _write_waves(folder: Path, course: Course) -> None:
    """Leaves the edges for whoever records the same waves with another instrument."""
    document = [
        {
            "load": wave.load,
            "begin_mono_ns": wave.begin_ns,
            "period_ns": wave.period_ns,
            "cycle_count": wave.cycle_count,
        }
        for wave in course.waves
    ]
    write_durably(folder / WAVE_FILE, canonical_bytes(document) + b"\n")


def _findings(plan: Plan, course: Course) -> Findings:
    traces = read_traces(plan.folder)
    own = power_sources([trace for trace in traces if not trace.name.startswith("meter-")])
    meters = power_sources([trace for trace in traces if trace.name.startswith("meter-")])
    responses = [analyse(source, wave, course.idle) for wave in course.waves for source in (*own, *meters)]
    fits = [
        found
        for meter in meters
        for source in own
        if source.is_total and (found := fit(source, meter, course.waves, course.idle)) is not None
    ]
    return Findings(
        plan.period_s, tuple(responses), tuple(additivity(responses)), tuple(fits), course.skipped
    )


def _require_sensor(plan: Plan) -> None:
    channels = [channel for probe in discover(places(plan.root)) for channel in probe.describe()]
    powers = [channel for channel in channels if channel.quantity in POWER_QUANTITIES and channel.boundary]
    if plan.meters or any(not channel.unavailable_reason for channel in powers):
        return
    reasons = "; ".join(dict.fromkeys(channel.unavailable_reason for channel in powers))
    message = f"no power sensor can be read ({reasons or f'no {POWER_FAMILIES} is there'}): nothing to test"
    raise DeviceError(message, hint="edgerig-agent doctor")


def run(arguments: argparse.Namespace) -> int:
    """Carries out the command; 0 = every sensor follows its load, 1 = one does not, 4 = no sensor."""
    from edgerig_agent.doctor.main import worker_python

    home: Path = arguments.home
    period_s = arguments.period_s
    if not 0.05 <= period_s <= 60 or not 0 < arguments.duration_s <= 3600:
        raise UsageError("--period-s must be from 0.05 to 60 and --duration-s from 0 to 3600")
    with _folder(arguments.keep) as folder:
        plan = Plan(
            root=arguments.root,
            folder=folder,
            interpreter=interpreter_path(worker_python(arguments.worker_python, home)),
            duration_s=arguments.duration_s,
            period_s=period_s,
            process_count=arguments.processes or usable_cpu_count(),
            meters=(*configured_meters(home), *arguments.meter),
            note=_silent if arguments.json else _say,
        )
        found = selftest(plan)
    if arguments.json:
        sys.stdout.write(json.dumps(found.document()) + "\n")
    else:
        sys.stdout.write("\n".join(found.lines()) + "\n")
    return EXIT_PASSED if found.passed else EXIT_FOUND


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A folder for the traces: kept where a person names it, else gone in the end."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="edgerig-selftest-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if os.listdir(keep):  # noqa: PTH208
            raise UsageError(f"{keep} is not empty", hint=f"--keep {keep}-2")
    except OSError as error:
        raise StorageError(f"cannot make {keep}: {error.strerror}", hint=f"ls -ld {keep.parent}") from error
    yield keep.resolve()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _silent(_text: str) -> None:
    return
