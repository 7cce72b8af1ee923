"""What must hold of every trace: additivity, invariance, scaling, monotone uncertainty."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig_agent.measure.energy import Curve, Window, counter_curve, power_curve
from edgerig_agent.measure.uncertainty import Part, alias_j, edge_j, expanded, scaled

MS = 1_000_000

# Gaps of 1 to 40 ms, a rare long one, and powers in whole milliwatts.
GAPS = st.lists(
    st.one_of(st.integers(1, 40), st.integers(1, 40), st.integers(500, 900)), min_size=8, max_size=60
)
POWERS = st.integers(0, 60_000)


@st.composite
def traces(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    gaps = draw(GAPS)
    times = [MS * t for t in accumulate(gaps)]
    return times, [draw(POWERS) / 1000 for _ in times]


@st.composite
def cuts(draw: st.DrawFn, times: list[int]) -> tuple[int, int, int]:
    ends = sorted(draw(st.lists(st.integers(times[0] - MS, times[-1] + MS), min_size=3, max_size=3)))
    return ends[0], ends[1], ends[2]


def energy_j(curve: Curve, window: Window) -> float:
    return curve.integrate([window]).energy_j


@given(st.data(), traces())
def test_the_energy_of_a_window_is_that_of_its_parts(
    data: st.DataObject, trace: tuple[list[int], list[float]]
) -> None:
    curve = power_curve(*trace)
    a, b, c = data.draw(cuts(trace[0]))
    assert energy_j(curve, (a, c)) == pytest.approx(
        energy_j(curve, (a, b)) + energy_j(curve, (b, c)), abs=1e-9
    )
    covered = [curve.integrate([window]).covered_s for window in ((a, c), (a, b), (b, c))]
    assert covered[0] == pytest.approx(covered[1] + covered[2], abs=1e-12)


@given(st.data(), traces())
def test_a_reading_that_was_written_twice_changes_nothing(
    data: st.DataObject, trace: tuple[list[int], list[float]]
) -> None:
    times, powers = trace
    index = data.draw(st.integers(0, len(times) - 1))
    doubled = (times[: index + 1] + times[index:], powers[: index + 1] + powers[index:])
    a, _, c = data.draw(cuts(times))
    once, twice = power_curve(times, powers), power_curve(*doubled)
    # The doubled reading adds an interval of length 0, which may move the median that says what a gap is.
    if once.holes == frozenset() == twice.holes:
        assert energy_j(twice, (a, c)) == pytest.approx(energy_j(once, (a, c)), abs=1e-9)


@given(st.data(), traces(), st.integers(-(10**15), 10**15))
def test_a_shift_in_time_changes_nothing(
    data: st.DataObject, trace: tuple[list[int], list[float]], shift: int
) -> None:
    times, powers = trace
    a, _, c = data.draw(cuts(times))
    shifted = power_curve([t + shift for t in times], powers)
    assert energy_j(shifted, (a + shift, c + shift)) == pytest.approx(
        energy_j(power_curve(times, powers), (a, c)), rel=1e-9, abs=1e-9
    )


@given(st.data(), traces(), st.floats(1e-3, 1e3))
def test_energy_and_its_uncertainty_scale_with_the_unit(
    data: st.DataObject, trace: tuple[list[int], list[float]], factor: float
) -> None:
    times, powers = trace
    a, _, c = data.draw(cuts(times))
    one, other = power_curve(times, powers), power_curve(times, [factor * power for power in powers])
    assert energy_j(other, (a, c)) == pytest.approx(factor * energy_j(one, (a, c)), rel=1e-9, abs=1e-9)
    assert alias_j(other, [(a, c)]) == pytest.approx(factor * alias_j(one, [(a, c)]), rel=1e-6, abs=1e-9)
    assert edge_j(other, [(a, c)], 1e7) == pytest.approx(
        factor * edge_j(one, [(a, c)], 1e7), rel=1e-6, abs=1e-9
    )


@given(traces())
def test_energy_lies_between_the_least_and_the_largest_power(trace: tuple[list[int], list[float]]) -> None:
    curve = power_curve(*trace)
    integral = curve.integrate([(trace[0][0], trace[0][-1])])
    assert integral.covered_s * min(trace[1]) - 1e-9 <= integral.energy_j
    assert integral.energy_j <= integral.covered_s * max(trace[1]) + 1e-9


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=60), st.data())
def test_a_counter_that_only_grows_is_additive_at_its_steps(steps: list[int], data: st.DataObject) -> None:
    times = [10 * MS * index for index in range(len(steps))]
    raws = list(accumulate(steps))
    curve = counter_curve(times, raws, 0, 1e-6)
    if len(curve.times_ns) < 3:
        return
    b = data.draw(st.sampled_from(list(curve.times_ns)))
    a, c = curve.times_ns[0], curve.times_ns[-1]
    whole = energy_j(curve, (a, c))
    assert whole == pytest.approx(energy_j(curve, (a, b)) + energy_j(curve, (b, c)), abs=1e-9)
    # Up to the first change nothing is known; from there on nothing is lost.
    first = next(index for index, (one, two) in enumerate(pairwise(raws)) if one != two)
    assert whole == pytest.approx((raws[-1] - raws[first + 1]) * 1e-6, abs=1e-9)


@given(
    st.lists(st.integers(1, 400), min_size=4, max_size=60), st.integers(2000, 10**6), st.integers(0, 10**6)
)
def test_a_counter_that_wraps_gives_what_one_that_does_not_gives(
    steps: list[int], wrap_raw: int, start: int
) -> None:
    times = [10 * MS * index for index in range(len(steps))]
    raws = [start + raw for raw in accumulate(steps)]
    plain = counter_curve(times, raws, 0, 1e-3)
    wrapped = counter_curve(times, [raw % wrap_raw for raw in raws], wrap_raw, 1e-3)
    window = (times[0], times[-1])
    assert energy_j(wrapped, window) == pytest.approx(energy_j(plain, window), abs=1e-9)


PARTS = st.lists(st.one_of(st.none(), st.floats(0.0, 1e3)), min_size=1, max_size=5)


@given(PARTS, st.data())
def test_u95_grows_with_each_of_its_parts(values: list[float | None], data: st.DataObject) -> None:
    parts = [Part(str(index), value) for index, value in enumerate(values)]
    index = data.draw(st.integers(0, len(parts) - 1))
    more = [*parts]
    more[index] = Part(str(index), (values[index] or 0.0) + data.draw(st.floats(0.0, 1e3)))
    assert expanded(more) >= expanded(parts) * (1 - 1e-12)
    largest = max((value for value in values if value is not None), default=0.0)
    assert expanded(parts) >= 2 * largest * (1 - 1e-12)


@given(PARTS, st.floats(1e-6, 1e6))
def test_u95_scales_with_its_figure(values: list[float | None], factor: float) -> None:
    parts = [Part(str(index), value) for index, value in enumerate(values)]
    assert expanded(scaled(parts, factor)) == pytest.approx(factor * expanded(parts), rel=1e-9)


@given(traces(), st.integers(1, 10**8), st.integers(1, 10**8))
def test_the_edges_grow_with_the_update_period(
    trace: tuple[list[int], list[float]], one_ns: int, other_ns: int
) -> None:
    curve, window = power_curve(*trace), [(trace[0][2], trace[0][-3])]
    low, high = sorted((one_ns, other_ns))
    assert edge_j(curve, window, low) <= edge_j(curve, window, high)
