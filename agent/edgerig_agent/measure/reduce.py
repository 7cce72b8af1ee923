"""Reduces what an attempt left (events and traces) to measurements.

Reads traces and the sampler's summary; everything else is handed in. Knows
nothing of processes: the same reduction runs again on a stored attempt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.v1.attempt_pb2 import (
    PHASE_DECODE,
    PHASE_EVALUATE,
    PHASE_INFERENCE,
    PHASE_LOAD,
    PHASE_PREFILL,
    PHASE_RETRIEVE,
    PHASE_TRAIN,
    PHASE_TRAIN_STEP,
    PHASE_UNSPECIFIED,
    Measurement,
    Phase,
)
from edgerig.v1.trial_pb2 import Protocol
from edgerig_agent.measure import memory, validity
from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.latency import request_figures
from edgerig_agent.measure.power import PowerSource, energy_figures, power_sources, why_no_total
from edgerig_agent.measure.trace import Trace, read_traces
from edgerig_agent.measure.training import training_figures
from edgerig_agent.probes.families import POWER_FAMILIES

# Phases whose energy a person asks for, so that its absence is said.
MAIN_PHASES = (PHASE_LOAD, PHASE_TRAIN, PHASE_INFERENCE, PHASE_EVALUATE)

# Phases that lie inside others: the system's memory is that of the outer phase.
NESTED_PHASES = frozenset({PHASE_TRAIN_STEP, PHASE_PREFILL, PHASE_DECODE, PHASE_RETRIEVE})


@dataclass(frozen=True)
class SamplerSummary:
    """What the sampler left about itself; `late_p99_ns` is None where it died before its end."""

    channels: tuple[dict[str, Any], ...]
    late_p50_ns: int | None
    late_p99_ns: int | None
    tick_count: int

    @property
    def died(self) -> bool:
        """Tells whether the sampler ended before it could sum up."""
        return self.late_p99_ns is None


@dataclass(frozen=True)
class Reduced:
    """The figures of an attempt, and what its validity is judged by."""

    measurements: tuple[Measurement, ...]
    sampler: SamplerSummary
    last_available_bytes: int | None
    # Pages that came back from swap in a timed phase.
    swapped_in_pages: int
    # Flags of single figures that matter for the whole run.
    figure_flags: frozenset[str]


def read_sampler_summary(folder: Path) -> SamplerSummary:
    """Reads sampler.json; an absent or damaged one says that the sampler died."""
    try:
        document = json.loads((folder / "sampler.json").read_bytes())
        count = int(document["tick_count"])
        channels = tuple(dict(channel) for channel in document["channels"])
        if not document["ended"]:
            return SamplerSummary(channels, None, None, 0)
        return SamplerSummary(channels, int(document["late_p50_ns"]), int(document["late_p99_ns"]), count)
    except (OSError, ValueError, KeyError, TypeError):
        return SamplerSummary((), None, None, 0)


def reduce_attempt(folder: Path, report: WorkerReport, protocol: Protocol) -> Reduced:
    """Returns every figure that events and traces of an attempt folder hold.

    Raises:
        StorageError: a trace cannot be read.
    """
    traces = read_traces(folder)
    sampler = read_sampler_summary(folder)
    flags = validity.protocol_flags(protocol)
    sources = power_sources(traces)
    has_total = any(source.boundary != "rail" for source in sources)
    no_total = "" if has_total else why_no_total(sampler.channels, POWER_FAMILIES)
    figures: list[Measurement] = []
    swapped = 0
    for phase in report.phases():
        of_phase, pages = _phase_figures(phase, report, traces, sources, flags, no_total)
        figures += of_phase
        swapped += pages
    train = report.windows(PHASE_TRAIN)
    figures += training_figures(report.steps, train[0][0] if train else None, flags)
    figures += request_figures(report.requests, flags)
    figures += _run_figures(sampler, traces, report)
    figure_flags = frozenset(flag for measured in figures for flag in measured.flags)
    return Reduced(tuple(figures), sampler, memory.last_available_bytes(traces), swapped, figure_flags)


def _phase_figures(
    phase: Phase,
    report: WorkerReport,
    traces: Sequence[Trace],
    sources: Sequence[PowerSource],
    flags: tuple[str, ...],
    no_total: str,
) -> tuple[list[Measurement], int]:
    windows = report.windows(phase)
    duration_s = sum(end_ns - begin_ns for begin_ns, end_ns in windows) * 1e-9
    origin = Origin("worker", "host_monotonic", flags=flags)
    figures = [figure("duration_s", phase, "sum", duration_s, origin, sample_count=len(windows))]
    figures += memory.peak_figures(report, phase)
    pages = 0
    if phase not in NESTED_PHASES:
        figures.append(memory.available_figure(traces, phase, windows))
        pages = memory.swapped_in(traces, windows) or 0
    energy_flags = flags + ((validity.SWAP_IN,) if pages else ())
    figures += energy_figures(sources, report, phase, energy_flags)
    if no_total and phase in MAIN_PHASES:
        figures.append(unavailable("energy_j", phase, "sum", no_total, Origin("", "", flags=flags)))
    return figures, pages


def _run_figures(sampler: SamplerSummary, traces: Sequence[Trace], report: WorkerReport) -> list[Measurement]:
    figures: list[Measurement] = []
    if sampler.late_p99_ns is not None and sampler.late_p50_ns is not None:
        origin = Origin("sampler", "histogram_0.1ms")
        count = sampler.tick_count
        for statistic, late_ns in (("p50", sampler.late_p50_ns), ("p99", sampler.late_p99_ns)):
            figures.append(
                figure(
                    "sampler_late_s", PHASE_UNSPECIFIED, statistic, late_ns * 1e-9, origin, sample_count=count
                )
            )
    if report.intervals:
        whole: Window = (
            min(interval.begin_mono_ns for interval in report.intervals),
            max(interval.end_mono_ns for interval in report.intervals),
        )
        counted = (
            ("swap_in_page_count", memory.swapped_in(traces, [whole])),
            ("major_fault_count", memory.major_faults(traces, [whole])),
        )
        for name, pages in counted:
            if pages is not None:
                origin = Origin("proc:vmstat", "counter_difference")
                figures.append(figure(name, PHASE_UNSPECIFIED, "sum", float(pages), origin))
    return figures
