"""Energy and power figures of a phase, for every power source of an attempt; pure.

Gross energy is the headline; net takes the model-resident idle power off. Figures
of different boundaries stay apart, always. Per-unit figures are ratios of sums.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from edgerig.v1.attempt_pb2 import (
    PHASE_DECODE,
    PHASE_EVALUATE,
    PHASE_INFERENCE,
    PHASE_LOAD,
    PHASE_PREFILL,
    PHASE_TRAIN,
    PHASE_UNSPECIFIED,
    Measurement,
    Phase,
)
from edgerig_agent.measure.energy import Integral, Window
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.figures import Origin, figure, unavailable, with_uncertainty
from edgerig_agent.measure.idle import Idle
from edgerig_agent.measure.sources import PowerSource
from edgerig_agent.measure.statistic import fewest_requests, is_admissible, percentile
from edgerig_agent.measure.uncertainty import Part, gross_parts, net_parts, scaled
from edgerig_agent.measure.validity import (
    IDLE_DRIFT,
    SHORT_WINDOW,
    SOURCES_DISAGREE,
    coverage_flags,
    sources_disagree,
)
from edgerig_agent.probes.base import CURRENT_A, ENERGY_J, POWER_W

# Phases whose energy a person asks for: its absence is said, and net stands beside gross.
MAIN_PHASES = (PHASE_LOAD, PHASE_TRAIN, PHASE_INFERENCE, PHASE_EVALUATE)
_NET_PHASES = frozenset({*MAIN_PHASES, PHASE_PREFILL, PHASE_DECODE})
# Phases whose work is the same for every configuration, so that energy x time compares them.
_FIXED_WORK = frozenset({PHASE_TRAIN, PHASE_INFERENCE})


@dataclass(frozen=True)
class _Measured:
    """One source over the windows of one phase."""

    source: PowerSource
    windows: Sequence[Window]
    integral: Integral
    origin: Origin
    parts: tuple[Part, ...]

    @property
    def mean_w(self) -> float:
        return self.integral.energy_j / self.integral.covered_s

    def figure(
        self, name: str, phase: Phase, statistic: str, value: float, parts: Sequence[Part]
    ) -> Measurement:
        """Makes a figure that says how well the samples cover it."""
        made = figure(name, phase, statistic, value, self.origin, sample_count=self.integral.sample_count)
        made.coverage = self.integral.coverage
        if self.integral.duration_s > 0:
            made.effective_rate_hz = self.integral.sample_count / self.integral.duration_s
        return with_uncertainty(made, parts) if parts else made


def energy_figures(
    sources: Sequence[PowerSource],
    idles: Sequence[Idle],
    report: WorkerReport,
    phase: Phase,
    flags: tuple[str, ...],
) -> list[Measurement]:
    """Returns energy, power and energy per unit of work of a phase, for every source.

    Args:
        idles: idle power of each source, in the same order.
    """
    windows = report.windows(phase)
    figures: list[Measurement] = []
    totals: dict[str, list[tuple[Measurement, float]]] = {}
    for source, idle in zip(sources, idles, strict=True):
        measured = _measure(source, windows, flags)
        if measured.integral.covered_s <= 0:
            reason = f"{source.source} gave no sample in a phase of {measured.integral.duration_s:.3f} s"
            figures.append(unavailable("energy_j", phase, "sum", reason, measured.origin))
            continue
        energy = measured.figure("energy_j", phase, "sum", measured.integral.energy_j, measured.parts)
        figures.append(energy)
        if not source.is_total:
            continue
        if not source.is_short(windows):
            # A counter that moves every 100 ms says nothing certain of a window of 20 ms.
            totals.setdefault(_device_of(source), []).append((energy, measured.mean_w))
        figures += _power_figures(measured, phase)
        if phase in _NET_PHASES:
            figures.append(_net_figure(measured, idle, phase))
        figures += _ratios(measured, report, phase)
    _flag_disagreement(totals)
    return figures


def idle_figures(
    sources: Sequence[PowerSource], idles: Sequence[Idle], flags: tuple[str, ...]
) -> list[Measurement]:
    """Returns the model-resident idle power of every total; none where a trial has no idle window."""
    figures = []
    for source, idle in zip(sources, idles, strict=True):
        if source.is_total and idle.power_w is not None:
            drift = (IDLE_DRIFT,) if idle.has_drifted else ()
            origin = Origin(source.source, source.method, source.boundary, flags + drift)
            figures.append(figure("idle_power_w", PHASE_UNSPECIFIED, "mean", idle.power_w, origin))
    return figures


def why_no_total(channels: Sequence[dict[str, object]], families: str) -> str:
    """Words why a device has no power figure that is a total.

    Args:
        channels: what the sampler found, as in sampler.json.
        families: the families that were looked for.
    """
    power = [c for c in channels if c.get("quantity") in (POWER_W, ENERGY_J, CURRENT_A)]
    totals = [c for c in power if c.get("boundary") != "rail"]
    reasons = sorted({f"{c['source']}: {c['unavailable_reason']}" for c in totals if c["unavailable_reason"]})
    if reasons:
        return "; ".join(reasons)
    if power:
        names = sorted({str(c["source"]) for c in power})
        return f"only single rails can be read, which add up to no known total: {', '.join(names)}"
    return f"no {families} energy sensor on this device"


def _measure(source: PowerSource, windows: Sequence[Window], flags: tuple[str, ...]) -> _Measured:
    integral = source.integrate(windows)
    short = (SHORT_WINDOW,) if source.is_short(windows) else ()
    found = flags + short + coverage_flags(integral.coverage) + source.fault_flags(windows)
    origin = Origin(source.source, source.method, source.boundary, found)
    parts = gross_parts(source, integral, windows) if integral.covered_s > 0 else ()
    return _Measured(source, windows, integral, origin, parts)


def _power_figures(measured: _Measured, phase: Phase) -> list[Measurement]:
    parts = scaled(measured.parts, 1.0 / measured.integral.covered_s)
    figures = [measured.figure("power_mean_w", phase, "mean", measured.mean_w, parts)]
    if phase not in MAIN_PHASES:
        return figures
    watts = _samples_w(measured)
    if measured.source.is_counter:
        reason = "a counter gives the energy between its steps and no power"
        missing = unavailable("power_p99_w", phase, "p99", reason, measured.origin)
        return [*figures, missing]
    if not is_admissible(0.99, len(watts)):
        reason = f"too_few_samples: {len(watts)} of the {fewest_requests(0.99)} that p99 needs"
        return [*figures, unavailable("power_p99_w", phase, "p99", reason, measured.origin)]
    high = measured.figure("power_p99_w", phase, "p99", percentile(sorted(watts), 0.99), ())
    # Nothing faster than half the rate at which the sensor renews its value is seen.
    high.bandwidth_hz = 0.5e9 / measured.source.update_ns
    return [*figures, high]


def _samples_w(measured: _Measured) -> list[float]:
    curve = measured.source.curve
    if curve.power_w is None:
        return []
    return [
        watts
        for begin_ns, end_ns in measured.windows
        for watts in curve.power_w[
            bisect_left(curve.times_ns, begin_ns) : bisect_right(curve.times_ns, end_ns)
        ]
    ]


def _net_figure(measured: _Measured, idle: Idle, phase: Phase) -> Measurement:
    idle_w = idle.power_w
    if idle_w is None:
        reason = "no idle window in which the model is loaded was covered by samples"
        return unavailable("energy_net_j", phase, "sum", reason, measured.origin)
    net_j = measured.integral.energy_j - idle_w * measured.integral.covered_s
    parts = net_parts(measured.source, net_j, measured.integral, measured.windows, idle)
    made = measured.figure("energy_net_j", phase, "sum", net_j, parts)
    if idle.has_drifted:
        made.flags.append(IDLE_DRIFT)
    return made


def _ratios(measured: _Measured, report: WorkerReport, phase: Phase) -> list[Measurement]:
    # Energy of the uncovered part is not known, so the ratios use the mean power.
    whole_j = measured.mean_w * measured.integral.duration_s
    stretch = measured.integral.duration_s / measured.integral.covered_s
    figures = [
        measured.figure(name, phase, "ratio", whole_j / count, scaled(measured.parts, stretch / count))
        for name, count in _denominators(report, phase)
    ]
    if phase in _FIXED_WORK:
        duration_s = measured.integral.duration_s
        parts = scaled(measured.parts, stretch * duration_s)
        figures.append(measured.figure("edp_js", phase, "product", whole_j * duration_s, parts))
    return figures


def _denominators(report: WorkerReport, phase: Phase) -> list[tuple[str, int]]:
    if phase == PHASE_DECODE:
        # The first token of a request is the prefill's.
        tokens = sum(max(len(r.token_mono_ns) - 1, 0) * max(r.batch, 1) for r in report.requests)
        named = [("j_per_output_token", tokens)]
    elif phase == PHASE_PREFILL:
        named = [("j_per_input_token", sum(r.tokens_in * max(r.batch, 1) for r in report.requests))]
    elif phase == PHASE_INFERENCE:
        named = [("j_per_request", sum(max(r.batch, 1) for r in report.requests))]
    elif phase == PHASE_TRAIN:
        named = [
            ("j_per_train_token", sum(step.tokens for step in report.steps)),
            ("j_per_train_step", len(report.steps)),
        ]
    else:
        named = []
    return [(name, count) for name, count in named if count > 0]


def _flag_disagreement(totals: dict[str, list[tuple[Measurement, float]]]) -> None:
    for readings in totals.values():
        powers = [mean_w for _, mean_w in readings]
        if len(powers) > 1 and sources_disagree(min(powers), max(powers)):
            for measured, _ in readings:
                measured.flags.append(SOURCES_DISAGREE)


def _device_of(source: PowerSource) -> str:
    """nvml:0:energy and nvml:0:power read the same board, a meter's two the same line; others stand alone."""
    is_one_of_several = source.source.startswith("nvml:") or source.source.endswith((":energy", ":power"))
    return source.source.rpartition(":")[0] if is_one_of_several else source.source
