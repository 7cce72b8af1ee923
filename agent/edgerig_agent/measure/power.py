"""Power sources in the traces of an attempt, and the energy figures of a phase.

Knows which channels make up a power figure (a current with its voltage, rails
that add up) and which boundary it has. Figures of different boundaries stay
apart, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig.v1.attempt_pb2 import (
    PHASE_DECODE,
    PHASE_INFERENCE,
    PHASE_PREFILL,
    PHASE_TRAIN,
    Measurement,
    Phase,
)
from edgerig_agent.measure.energy import (
    Counter,
    Integral,
    Series,
    Window,
    counter_of,
    integrate_counter,
    integrate_power,
    series_of,
)
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.measure.validity import SHORT_WINDOW, SOURCES_DISAGREE, coverage_flags, sources_disagree
from edgerig_agent.probes.base import CURRENT_A, ENERGY_J, LAST_UNREAD, POWER_W, VOLTAGE_V
from edgerig_agent.probes.rails import rails_of_total

# A counter that steps every 100 ms needs 50 steps for an edge error below 2 %.
_SHORT_WINDOW_STEPS = 50


@dataclass(frozen=True)
class PowerSource:
    """One power figure with one boundary; exactly one of `series` and `counter` is set."""

    source: str
    boundary: str
    method: str
    series: Series | None = None
    counter: Counter | None = None

    def integrate(self, windows: Sequence[Window]) -> Integral:
        """Returns the energy of the windows together."""
        if self.counter is not None:
            return integrate_counter(self.counter, windows)
        assert self.series is not None
        return integrate_power(self.series, windows)

    def is_short(self, windows: Sequence[Window]) -> bool:
        """Tells whether the windows are too short for how often the counter moves."""
        if self.counter is None:
            return False
        shortest_ns = min(end_ns - begin_ns for begin_ns, end_ns in windows)
        step_ns = self.counter.max_gap_ns / 3
        return shortest_ns < _SHORT_WINDOW_STEPS * step_ns


def power_sources(traces: Sequence[Trace]) -> list[PowerSource]:
    """Finds all power figures that the traces hold: counters, readings, rails and their sum."""
    sources: list[PowerSource] = []
    for trace in traces:
        rails: dict[str, tuple[Field, Field]] = {}
        for field in trace.fields:
            if field.unit == ENERGY_J:
                sources.append(_counter_source(trace, field))
            elif field.unit == POWER_W:
                sources.append(_reading_source(trace, field))
            elif field.unit == CURRENT_A:
                voltage = _voltage_of(trace, field.source)
                if voltage:
                    rails[field.source] = (field, voltage)
        sources += [_rail_source(trace, [pair]) for pair in rails.values()]
        sources += _rail_sum(trace, rails)
    return sources


def energy_figures(
    sources: Sequence[PowerSource], report: WorkerReport, phase: Phase, flags: tuple[str, ...]
) -> list[Measurement]:
    """Returns energy, mean power and energy per token of a phase, for every source."""
    windows = report.windows(phase)
    figures: list[Measurement] = []
    totals: dict[str, list[tuple[Measurement, float]]] = {}
    for source in sources:
        integral = source.integrate(windows)
        short = (SHORT_WINDOW,) if source.is_short(windows) else ()
        origin = Origin(
            source.source, source.method, source.boundary, flags + short + coverage_flags(integral.coverage)
        )
        if integral.covered_s <= 0:
            reason = f"{source.source} gave no sample in a phase of {integral.duration_s:.3f} s"
            figures.append(unavailable("energy_j", phase, "sum", reason, origin))
            continue
        energy = _with_coverage(figure("energy_j", phase, "sum", integral.energy_j, origin), integral)
        figures.append(energy)
        if source.boundary == "rail":
            continue
        mean_w = integral.energy_j / integral.covered_s
        figures.append(_with_coverage(figure("power_mean_w", phase, "mean", mean_w, origin), integral))
        totals.setdefault(_device_of(source), []).append((energy, mean_w))
        # Energy of the uncovered part is not known, so the ratio uses the mean power.
        for name, count in _denominators(report, phase):
            per_unit = mean_w * integral.duration_s / count
            figures.append(_with_coverage(figure(name, phase, "ratio", per_unit, origin), integral))
    _flag_disagreement(totals)
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
        named = [("j_per_train_token", sum(step.tokens for step in report.steps))]
    else:
        named = []
    return [(name, count) for name, count in named if count > 0]


def _with_coverage(measured: Measurement, integral: Integral) -> Measurement:
    measured.coverage = integral.coverage
    measured.sample_count = integral.sample_count
    if integral.duration_s > 0:
        measured.effective_rate_hz = integral.sample_count / integral.duration_s
    return measured


def _flag_disagreement(totals: dict[str, list[tuple[Measurement, float]]]) -> None:
    for readings in totals.values():
        powers = [mean_w for _, mean_w in readings]
        if len(powers) > 1 and sources_disagree(min(powers), max(powers)):
            for measured, _ in readings:
                measured.flags.append(SOURCES_DISAGREE)


def _device_of(source: PowerSource) -> str:
    """nvml:0:energy and nvml:0:power read the same board; every other source stands alone."""
    is_nvml = source.source.startswith("nvml:")
    return source.source.rpartition(":")[0] if is_nvml else source.source


def _counter_source(trace: Trace, field: Field) -> PowerSource:
    times, raws = _readable(trace, field)
    counter = counter_of(times, raws, field.wrap_raw, field.scale)
    return PowerSource(field.source, field.boundary, "counter_difference", counter=counter)


def _reading_source(trace: Trace, field: Field) -> PowerSource:
    times, raws = _readable(trace, field)
    watts = [raw * field.scale for raw in raws]
    return PowerSource(field.source, field.boundary, "trapezoid", series=series_of(times, watts))


def _rail_source(trace: Trace, pairs: Sequence[tuple[Field, Field]]) -> PowerSource:
    """One rail, or the sum of several that were read in the same scan."""
    columns = [(trace.column(i), trace.column(v), i.scale * v.scale) for i, v in pairs]
    times: list[int] = []
    watts: list[float] = []
    for index, t_ns in enumerate(trace.times_ns):
        power = 0.0
        for current, voltage, scale in columns:
            if current[index] <= LAST_UNREAD or voltage[index] <= LAST_UNREAD:
                break
            power += current[index] * voltage[index] * scale
        else:
            times.append(t_ns)
            watts.append(power)
    first = pairs[0][0]
    return PowerSource(
        first.source, first.boundary, "trapezoid_of_current_x_voltage", series=series_of(times, watts)
    )


def _rail_sum(trace: Trace, rails: dict[str, tuple[Field, Field]]) -> list[PowerSource]:
    by_label = {source.rpartition(":")[2]: pair for source, pair in rails.items()}
    names = rails_of_total([source.rpartition(":")[2] for source in rails])
    if not names:
        return []
    total = _rail_source(trace, [by_label[name] for name in names])
    source = f"{trace.name}:{'+'.join(names)}"
    return [PowerSource(source, "rails_sum", total.method, series=total.series)]


def _voltage_of(trace: Trace, source: str) -> Field | None:
    for field in trace.fields:
        if field.source == source and field.unit == VOLTAGE_V:
            return field
    return None


def _readable(trace: Trace, field: Field) -> tuple[list[int], list[int]]:
    pairs = [
        (t, raw) for t, raw in zip(trace.times_ns, trace.column(field), strict=True) if raw > LAST_UNREAD
    ]
    return [t for t, _ in pairs], [raw for _, raw in pairs]
