"""Reduces what an attempt left in its folder to measurements.

Reads the traces and the small files of sampler and attempt process; the worker's
events are handed in. Knows nothing of processes: the same reduction runs again on
a stored attempt, and gives the same figures bit for bit (recompute.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerig.v1.attempt_pb2 import (
    BOUNDARY_RAIL,
    PHASE_COOLDOWN,
    PHASE_DECODE,
    PHASE_EVALUATE,
    PHASE_IDLE_POST,
    PHASE_IDLE_PRE,
    PHASE_IDLE_RESIDENT,
    PHASE_INFERENCE,
    PHASE_PREFILL,
    PHASE_RETRIEVE,
    PHASE_TRAIN,
    PHASE_TRAIN_STEP,
    PHASE_UNSPECIFIED,
    Measurement,
    Phase,
    SensorEvent,
    TrainPoint,
)
from edgerig.v1.trial_pb2 import Protocol
from edgerig_agent.measure import disturbance, memory, validity
from edgerig_agent.measure.disturbance import CpuTimes
from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.engines import engine_figures
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.faults import Fault
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.idle import Idle, idle_power
from edgerig_agent.measure.latency import request_figures
from edgerig_agent.measure.points import corpus_figures, points_with_energy
from edgerig_agent.measure.power import MAIN_PHASES, energy_figures, idle_figures, why_no_total
from edgerig_agent.measure.sources import PowerSource, power_sources
from edgerig_agent.measure.summary import SamplerSummary, read_cpu_times, read_sampler_summary
from edgerig_agent.measure.trace import Trace, read_traces
from edgerig_agent.measure.training import training_figures
from edgerig_agent.probes.base import METER_TRACE
from edgerig_agent.probes.families import POWER_FAMILIES

# Phases that lie inside others: the system's memory is that of the outer phase.
NESTED_PHASES = frozenset({PHASE_TRAIN_STEP, PHASE_PREFILL, PHASE_DECODE, PHASE_RETRIEVE})
# Phases in which the device does nothing on purpose.
IDLE_PHASES = frozenset({PHASE_IDLE_PRE, PHASE_IDLE_RESIDENT, PHASE_IDLE_POST, PHASE_COOLDOWN})
# Phases whose energy is evidence.
_JUDGED_PHASES = frozenset(
    {PHASE_TRAIN, PHASE_TRAIN_STEP, PHASE_INFERENCE, PHASE_PREFILL, PHASE_DECODE, PHASE_EVALUATE}
)
# Events of one channel that are told; a sensor that flickers has made its point by then.
_MOST_EVENTS = 100


@dataclass(frozen=True)
class Reduced:
    """The figures of an attempt, and what its validity is judged by."""

    measurements: tuple[Measurement, ...]
    sampler: SamplerSummary
    last_available_bytes: int | None
    # Pages that came back from swap in a timed phase.
    swapped_in_pages: int
    # Flags of single figures, and of what disturbed the whole run.
    figure_flags: frozenset[str]
    sensor_events: tuple[SensorEvent, ...] = ()
    # The curve of training with the energy that it had used at each point.
    points: tuple[TrainPoint, ...] = ()


@dataclass(frozen=True)
class _Attempt:
    """What an attempt folder holds, as the figures want it."""

    report: WorkerReport
    traces: Sequence[Trace]
    sampler: SamplerSummary
    cpu: CpuTimes | None
    sources: Sequence[PowerSource]
    idles: Sequence[Idle]
    # Flags that every energy and latency figure of the protocol carries.
    flags: tuple[str, ...]
    # Why there is no power figure that is a total; empty where there is one.
    no_total: str


def reduce_attempt(
    folder: Path, report: WorkerReport, protocol: Protocol, *, locked_gpu_hz: float = 0.0
) -> Reduced:
    """Returns every figure that events and traces of an attempt folder hold.

    Args:
        folder: of the attempt.
        report: what the worker told.
        protocol: by which it was measured.
        locked_gpu_hz: what the trial locked the clocks of NVIDIA GPUs to, 0 for nothing.

    Raises:
        StorageError: a trace cannot be read.
    """
    attempt = _read(folder, report, protocol)
    figures: list[Measurement] = []
    swapped = 0
    for phase in report.phases():
        of_phase, pages = _phase_figures(attempt, phase)
        figures += of_phase
        swapped += pages
    figures += training_figures(report.steps, report.windows(PHASE_TRAIN), attempt.flags)
    figures += request_figures(report.requests, attempt.flags)
    figures += engine_figures(report.facts)
    figures += idle_figures(attempt.sources, attempt.idles, attempt.flags)
    figures += corpus_figures(report.metrics, attempt.flags)
    figures += _run_figures(attempt)
    flags = _figure_flags(attempt, figures) | set(_disturbances(attempt, locked_gpu_hz))
    return Reduced(
        tuple(figures),
        attempt.sampler,
        memory.last_available_bytes(attempt.traces),
        swapped,
        frozenset(flags),
        _sensor_events(attempt),
        points_with_energy(report, attempt.sources),
    )


def _spared_sources(attempt: _Attempt) -> frozenset[str]:
    """Returns the sources whose flags are those of their own figures and not of the run.

    A meter beside the device may be slow or die; where the device has a total of its
    own, that takes nothing from the run.
    """
    of_meters = frozenset(
        field.source
        for trace in attempt.traces
        if trace.name.startswith(METER_TRACE)
        for field in trace.fields
    )
    has_own = any(source.is_total and source.source not in of_meters for source in attempt.sources)
    return of_meters if has_own else frozenset()


def _read(folder: Path, report: WorkerReport, protocol: Protocol) -> _Attempt:
    traces = read_traces(folder)
    sampler = read_sampler_summary(folder)
    sources = power_sources(traces, work_windows(report))
    has_total = any(source.is_total for source in sources)
    return _Attempt(
        report=report,
        traces=traces,
        sampler=sampler,
        cpu=read_cpu_times(folder),
        sources=sources,
        idles=[idle_power(source, report) for source in sources],
        flags=validity.protocol_flags(protocol),
        no_total="" if has_total else why_no_total(sampler.channels, POWER_FAMILIES),
    )


def work_windows(report: WorkerReport) -> list[Window]:
    """Returns the windows of the outer phases in which the device works, in order."""
    return sorted(
        (interval.begin_mono_ns, interval.end_mono_ns)
        for interval in report.intervals
        if interval.phase not in NESTED_PHASES | IDLE_PHASES
    )


def _phase_figures(attempt: _Attempt, phase: Phase) -> tuple[list[Measurement], int]:
    windows = attempt.report.windows(phase)
    duration_s = sum(end_ns - begin_ns for begin_ns, end_ns in windows) * 1e-9
    origin = Origin("worker", "host_monotonic", flags=attempt.flags)
    figures = [figure("duration_s", phase, "sum", duration_s, origin, sample_count=len(windows))]
    figures += memory.peak_figures(attempt.report, phase)
    pages = 0
    figures += memory.share_figures(attempt.report, phase)
    if phase not in NESTED_PHASES:
        figures += memory.system_figures(attempt.traces, phase, windows)
        pages = memory.swapped_in(attempt.traces, windows) or 0
    energy_flags = attempt.flags + ((validity.SWAP_IN,) if pages else ())
    figures += energy_figures(attempt.sources, attempt.idles, attempt.report, phase, energy_flags)
    if attempt.no_total and phase in MAIN_PHASES:
        missing = Origin("", "", flags=attempt.flags)
        figures.append(unavailable("energy_j", phase, "sum", attempt.no_total, missing))
    return figures, pages


def _run_figures(attempt: _Attempt) -> list[Measurement]:
    figures: list[Measurement] = []
    sampler = attempt.sampler
    lateness = (("p50", sampler.late_p50_ns), ("p99", sampler.late_p99_ns), ("max", sampler.late_max_ns))
    origin = Origin("sampler", "histogram_0.1ms")
    figures += [
        figure("sampler_late_s", PHASE_UNSPECIFIED, word, ns * 1e-9, origin, sample_count=sampler.tick_count)
        for word, ns in lateness
        if ns is not None
    ]
    if attempt.cpu is not None:
        origin = Origin("proc:stat", "counter_difference")
        share = attempt.cpu.foreign_share
        figures.append(figure("foreign_cpu_share", PHASE_UNSPECIFIED, "ratio", share, origin))
    whole = _whole(attempt.report)
    if whole:
        figures += memory.run_figures(attempt.traces, sampler.channels, attempt.report, whole)
    return figures


def _figure_flags(attempt: _Attempt, figures: Sequence[Measurement]) -> set[str]:
    """Returns the flags of figures that are flags of the run.

    A lost sample weighs much in a phase of a tenth of a second; it takes the run's
    evidence away only in the phases that claims are about, and of a total where
    there is one.
    """
    spared = _spared_sources(attempt)
    return {
        flag
        for measured in figures
        if measured.source not in spared
        for flag in measured.flags
        if flag != validity.LOW_COVERAGE
        or (measured.phase in _JUDGED_PHASES and (attempt.no_total or measured.boundary != BOUNDARY_RAIL))
    }


def _disturbances(attempt: _Attempt, locked_gpu_hz: float) -> list[str]:
    """Returns the flags of what disturbed the run as a whole."""
    flags = []
    whole = _whole(attempt.report)
    if whole and disturbance.throttle_sources(attempt.traces, whole):
        flags.append(validity.THROTTLED)
    if disturbance.low_clock_sources(attempt.traces, work_windows(attempt.report), locked_gpu_hz):
        flags.append(validity.CLOCK_LOW)
    if attempt.cpu is not None and attempt.cpu.foreign_share > disturbance.MAX_FOREIGN_SHARE:
        flags.append(validity.FOREIGN_LOAD)
    for phase in (PHASE_TRAIN, PHASE_INFERENCE):
        rate = disturbance.hottest_rate_c_per_min(attempt.traces, attempt.report.windows(phase))
        if rate is not None and rate > disturbance.MAX_TEMPERATURE_RATE_C_PER_MIN:
            flags.append(validity.TRANSIENT)
    return flags


def _sensor_events(attempt: _Attempt) -> tuple[SensorEvent, ...]:
    """Returns what power sensors did wrong while the worker lived, each channel's fault once."""
    whole = _whole(attempt.report)
    found = {fault for source in attempt.sources for fault in source.faults}
    inside = [f for f in found if whole and f.begin_ns < whole[1] and f.end_ns > whole[0]]
    inside.sort(key=lambda fault: (fault.begin_ns, fault.source, fault.quantity, fault.kind))
    told: Counter[tuple[str, str]] = Counter()
    events = []
    for fault in inside:
        told[fault.source, fault.quantity] += 1
        if told[fault.source, fault.quantity] <= _MOST_EVENTS:
            events.append(_event(fault))
    return tuple(events)


def _event(fault: Fault) -> SensorEvent:
    return SensorEvent(
        kind=fault.kind,
        source=fault.source,
        quantity=fault.quantity,
        begin_mono_ns=fault.begin_ns,
        end_mono_ns=fault.end_ns,
        reason=fault.reason,
    )


def _whole(report: WorkerReport) -> Window | None:
    if not report.intervals:
        return None
    return (
        min(interval.begin_mono_ns for interval in report.intervals),
        max(interval.end_mono_ns for interval in report.intervals),
    )
