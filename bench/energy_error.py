"""How wrong is an energy? `python -m bench.energy_error --json [--real] [--peers]`.

Simulated time: waveforms of known energy are sampled at the instants of the real
sampler's schedule, quantised like an INA3221 (1 mA) or a RAPL counter (1 uJ, every
ms), and reduced by the code that reduces attempts. Each window lies at a random
phase of the wave. An error is that of mean power times duration, the figure that
energy per token is made of; bias is the mean error, RMS its root mean square.
`dropped` loses samples at random, `wrap` is a counter that turns over every 2 to 8 s.
`u_alias_over_rms` above 1 means that the stated uncertainty of what lies between
the samples is on the safe side. `fixed_grid` is the same without jitter.

--real: a process writes the waves into a tree of files in real time, and the
real sampler process reads it. The truth is what was written, when it was written.
The same with a stub of NVIDIA's library whose counter moves every 100 ms.
--peers: zeus and codecarbon measure the same written waves at the same time, each
in an environment of its own (bench/peers.py says how they are fed).
"""

from __future__ import annotations

import argparse
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean

from bench import report
from bench.report import Figure
from bench.waves import BURST, CONSTANT, LOW_RIPPLE, RIPPLE, SQUARE_1_HZ, SQUARE_5_HZ, STEP, Wave
from edgerig_agent.measure.schedule import Schedule, Turns
from edgerig_agent.measure.sources import PowerSource, power_sources
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.measure.uncertainty import alias_j

RATE_HZ = 100
S = 1_000_000_000
MAX_BIAS = 0.1
REPLICAS = {1: 3000, 10: 1000, 60: 100}
_MARGIN_S = 0.1
_WRAP_RAW = 40_000_000
_DROPPED = {"dropped_2_percent": 0.02, "dropped_5_percent": 0.05}
_PEERS_HELP = "also zeus and codecarbon (implies --real; installs them into --cache)"


@dataclass(frozen=True)
class Case:
    """A wave, how it is read, and what is asked of windows of so many seconds (RMS in percent)."""

    name: str
    wave: Wave
    reading: str
    max_rms: dict[int, float | None]
    # In how many intervals of the sampler it is read once.
    every: int = 1


CASES = (
    Case("constant", CONSTANT, "rail", {1: 1.0, 10: 0.5}),
    Case("square_1hz", SQUARE_1_HZ, "rail", {1: 1.0, 10: 0.5}),
    Case("square_5hz", SQUARE_5_HZ, "rail", {1: None, 10: 0.5}),
    Case("burst", BURST, "rail", {1: 1.0, 10: 0.5}),
    Case("ripple_25hz", RIPPLE, "rail", {1: 1.0, 10: 0.5, 60: 0.2}),
    # As the 40 ms at which a chain of slow INA3221 is read.
    Case("ripple_25hz_every_4", RIPPLE, "rail", {10: None, 60: None}, every=4),
    Case("ripple_25hz_low", LOW_RIPPLE, "rail", {1: None, 10: None, 60: None}),
    Case("step", STEP, "rail", {1: 1.0, 10: 0.5}),
    Case("wrap", SQUARE_1_HZ, "counter", {1: 1.0, 10: 0.5}),
    Case("dropped_2_percent", SQUARE_1_HZ, "rail", {1: 1.0, 10: 0.5}),
    Case("dropped_5_percent", SQUARE_1_HZ, "rail", {10: 0.5}),
)


@dataclass(frozen=True)
class Outcome:
    """Relative errors of many windows, and what was stated of them."""

    errors: list[float]
    stated: list[float]

    @property
    def bias_percent(self) -> float:
        return 100 * fmean(self.errors)

    @property
    def bias_reach_percent(self) -> float:
        """Half the 95 % interval of the bias."""
        spread = fmean((error - fmean(self.errors)) ** 2 for error in self.errors)
        return 196 * sqrt(spread / max(len(self.errors) - 1, 1))

    @property
    def rms_percent(self) -> float:
        return 100 * sqrt(fmean(error**2 for error in self.errors))

    @property
    def stated_percent(self) -> float:
        return 100 * sqrt(fmean(share**2 for share in self.stated))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the windows that are simulated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="also the real sampler, in real time (2 minutes)")
    parser.add_argument("--peers", action="store_true", help=_PEERS_HELP)
    parser.add_argument("--cache", default="", help="folder for the peers' environments")
    return report.run("energy_error", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    figures: list[Figure] = []
    for case in CASES:
        for window_s, max_rms in case.max_rms.items():
            replicas = max(10, round(REPLICAS[window_s] * arguments.scale))
            report.progress(f"{case.name}, {window_s} s: {replicas} windows")
            figures += simulated_figures(case, window_s, max_rms, replicas, arguments.seed)
    if arguments.real or arguments.peers:
        from bench.real_nvml import nvml_figures
        from bench.real_waves import real_figures

        figures += real_figures(peers=arguments.peers, cache=arguments.cache, seed=arguments.seed)
        figures += nvml_figures(peers=arguments.peers, cache=arguments.cache, seed=arguments.seed)
    return figures


def simulated_figures(
    case: Case, window_s: int, max_rms: float | None, replicas: int, seed: int
) -> list[Figure]:
    """Returns bias and RMS of one case at one length of window."""
    found = simulate(case, window_s, replicas, seed, jitter=True)
    name, bias, reach = f"{case.name}_{window_s}s", found.bias_percent, found.bias_reach_percent
    rms = found.rms_percent
    figures = [
        Figure(f"{name}_rms", rms, "%"),
        Figure(f"{name}_bias", bias, "%", bias - reach, bias + reach),
    ]
    if max_rms is not None:
        figures = [
            replace(figures[0], goal=f"< {max_rms:g}", holds=rms < max_rms),
            replace(figures[1], goal=f"within {MAX_BIAS:g}", holds=abs(bias) <= MAX_BIAS),
        ]
    if case.reading == "rail" and rms > 1e-3:
        figures.append(Figure(f"{name}_u_alias_over_rms", found.stated_percent / rms, "ratio"))
    if case.wave in (RIPPLE, LOW_RIPPLE):
        fixed = simulate(case, window_s, replicas, seed, jitter=False)
        figures.append(Figure(f"{name}_rms_fixed_grid", fixed.rms_percent, "%"))
    return figures


def simulate(case: Case, window_s: int, replicas: int, seed: int, *, jitter: bool) -> Outcome:
    """Measures windows of a wave at random phases, in simulated time."""
    errors, stated = [], []
    for replica in range(replicas):
        chance = random.Random(f"{seed} {case.name} {window_s} {replica}")
        begin_s = case.wave.begin_s(window_s, chance)
        instants = _instants(begin_s - _MARGIN_S, begin_s + window_s + _MARGIN_S, chance, jitter=jitter)
        if case.every > 1:
            instants = _seldom(instants, case.every, chance)
        if case.name in _DROPPED:
            instants = [instant for instant in instants if chance.random() >= _DROPPED[case.name]]
        source = _source(case, instants)
        window = (round(begin_s * S), round((begin_s + window_s) * S))
        integral = source.integrate([window])
        truth_j = case.wave.energy_j(window[1] / S) - case.wave.energy_j(window[0] / S)
        measured_j = integral.energy_j / integral.covered_s * integral.duration_s
        errors.append(measured_j / truth_j - 1.0)
        if case.reading == "rail":
            stated.append(alias_j(source.curve, [window]) / truth_j)
    return Outcome(errors, stated or [0.0])


def _instants(begin_s: float, end_s: float, chance: random.Random, *, jitter: bool) -> list[int]:
    """The sampler's own schedule; without jitter, a grid at a random phase."""
    interval_ns = S // RATE_HZ
    begin_ns, end_ns = round(begin_s * S), round(end_s * S)
    if not jitter:
        return list(range(begin_ns + chance.randrange(interval_ns), end_ns, interval_ns))
    schedule = Schedule(begin_ns, interval_ns, chance.getrandbits(63))
    instants = [schedule.next_ns(begin_ns)]
    while instants[-1] < end_ns:
        instants.append(schedule.next_ns(instants[-1]))
    return instants


def _seldom(instants: list[int], every: int, chance: random.Random) -> list[int]:
    """Leaves those at which the sampler reads a sensor that is too slow for all of them."""
    turns, kept = Turns(every, chance.getrandbits(63)), []
    for index, instant in enumerate(instants):
        if index >= turns.due:
            kept.append(instant)
            turns.take(index)
    return kept


def _source(case: Case, instants: Sequence[int]) -> PowerSource:
    times = array("q", instants)
    if case.reading == "counter":
        # The counter is renewed once a millisecond.
        raws = [round(case.wave.energy_j(t // 1_000_000 * 1e-3) * 1e6) % _WRAP_RAW for t in instants]
        counter = Field("c", "energy_j", 1e-6, "rapl:package-0", "cpu_pkg", _WRAP_RAW)
        return power_sources([Trace("rapl", S // RATE_HZ, (counter,), times, (array("q", raws),))])[0]
    rail = "ina3221:1-0040:1:VDD_IN"
    current = Field("i", "current_a", 1e-3, rail, "module_in", 0, 0.005)
    voltage = Field("v", "voltage_v", 1e-3, rail, "module_in", 0, 0.005)
    milliamperes = array("q", [round(case.wave.power_w(t / S) * 200.0) for t in instants])
    columns = (milliamperes, array("q", [5000] * len(instants)))
    return power_sources([Trace("ina3221", S // RATE_HZ, (current, voltage), times, columns)])[0]


if __name__ == "__main__":
    raise SystemExit(main())
