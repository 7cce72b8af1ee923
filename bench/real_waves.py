"""Waves in real time: a process writes them into files, our sampler and the peers read them.

All read the same files at the same time. The truth is the writer's own log, held
against each tool's own window. Errors are relative, in percent; a line of 1 s windows is their RMS.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path

from bench.peers import PINNED, Peer, Window, default_cache
from bench.report import CouldNotRunError, Figure, progress
from bench.wave_writer import Truth
from bench.waves import BURST, CONSTANT, RIPPLE, SQUARE_1_HZ, SQUARE_5_HZ, Wave
from edgerig_agent.measure.sources import PowerSource, power_sources
from edgerig_agent.measure.trace import read_traces
from edgerig_agent.runtime import start_sampler, stop_sampler

WAVES = (CONSTANT, SQUARE_1_HZ, SQUARE_5_HZ, BURST, RIPPLE)
# The error of an RMS of 24 windows is a seventh; of 8 it is a quarter, too wide for a goal.
LONG_S, SHORT_S, SHORT_COUNT = 10.0, 1.0, 24
MAX_RMS = {LONG_S: 0.5, SHORT_S: 1.0}
_SETTLE_S = 0.3

# tool and sensor -> wave -> length of window -> relative errors
Errors = dict[str, dict[str, dict[float, list[float]]]]
# Energy between two instants of CLOCK_MONOTONIC.
Energy = Callable[[int, int], float]


def real_figures(*, peers: bool, cache: str, seed: int) -> list[Figure]:
    """Runs the waves in real time (about four minutes) and returns the errors of every tool."""
    with tempfile.TemporaryDirectory(prefix="edgerig-waves-") as name:
        folder = Path(name)
        root, log = folder / "root", folder / "written.log"
        writer = subprocess.Popen(
            [sys.executable, "-m", "bench.wave_writer", str(root), str(log)], stdin=subprocess.PIPE, text=True
        )
        running: list[Peer] = []
        try:
            _wait_for(log)
            figures = _start_peers(running, Path(cache) if cache else default_cache(), root, folder, peers)
            windows, sources = _measure(writer, running, root, folder, seed)
        finally:
            for peer in running:
                peer.close()
            assert writer.stdin is not None
            writer.stdin.close()
            writer.wait(10)
        return figures + figures_of(errors_of(windows, sources, Truth(log).energy_j))


def _start_peers(running: list[Peer], cache: Path, root: Path, folder: Path, peers: bool) -> list[Figure]:
    figures = []
    for name in PINNED if peers else ():
        reason = _start_peer(running, name, cache, root, folder)
        if reason:
            figures.append(Figure(f"real_{name}", None, f"unavailable: {reason}"))
    return figures


def _start_peer(running: list[Peer], name: str, cache: Path, root: Path, folder: Path) -> str:
    """Starts a peer and tries a first window; returns why it cannot be fed, '' where it can."""
    try:
        peer = Peer(name, cache, root, folder)
        peer.begin()
        peer.end()
    except CouldNotRunError as error:
        return str(error)
    running.append(peer)
    return ""


def _measure(
    writer: subprocess.Popen[str], peers: list[Peer], root: Path, folder: Path, seed: int
) -> tuple[list[tuple[str, Wave, float, Window]], Sequence[PowerSource]]:
    """Runs all windows of all waves; ours are instants, whose energy is reduced afterwards."""
    found: list[tuple[str, Wave, float, Window]] = []
    sampler = start_sampler(folder, str(root), seed)
    try:
        for wave in WAVES:
            progress(f"in real time: {wave.name}")
            assert writer.stdin is not None
            writer.stdin.write(f"{wave.name}\n")
            writer.stdin.flush()
            time.sleep(_SETTLE_S)
            for length_s in (LONG_S, *[SHORT_S] * SHORT_COUNT):
                for peer in peers:
                    peer.begin()
                begin_ns = time.monotonic_ns()
                time.sleep(length_s)
                found.append(("edgerig", wave, length_s, Window(begin_ns, time.monotonic_ns(), {})))
                found += [(peer.name, wave, length_s, peer.end()) for peer in peers]
        time.sleep(_SETTLE_S)
    finally:
        stop_sampler(sampler)
    return found, power_sources(read_traces(folder))


def errors_of(
    windows: Sequence[tuple[str, Wave, float, Window]], sources: Sequence[PowerSource], truth: Energy
) -> Errors:
    errors: Errors = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for tool, wave, length_s, window in windows:
        true_j = truth(window.begin_ns, window.end_ns)
        energies = dict(window.energies_j)
        if tool == "edgerig":
            for source in sources:
                integral = source.integrate([(window.begin_ns, window.end_ns)])
                family = source.source.partition(":")[0]
                if family == "nvml":
                    family = f"nvml_{source.source.rpartition(':')[2]}"
                energies[family] = integral.energy_j / integral.covered_s * integral.duration_s
        for family, energy_j in energies.items():
            errors[f"{tool}_{family}"][wave.name][length_s].append(energy_j / true_j - 1.0)
    return errors


def figures_of(errors: Errors) -> list[Figure]:
    figures = []
    for tool, waves in sorted(errors.items()):
        for length_s, limit in MAX_RMS.items():
            for wave, lengths in waves.items():
                name = f"real_{tool}_{wave}_{length_s:g}s"
                figures.append(Figure(name, 100 * _rms(lengths[length_s]), "%"))
            rms = 100 * _rms([error for lengths in waves.values() for error in lengths[length_s]])
            # Sensors that are read at 100 Hz; the driver's library is read at 50.
            is_asked = tool in ("edgerig_ina3221", "edgerig_rapl")
            figures.append(
                Figure(
                    f"real_{tool}_rms_{length_s:g}s",
                    rms,
                    "%",
                    goal=f"< {limit:g}" if is_asked else None,
                    holds=rms < limit if is_asked else None,
                )
            )
    return figures


def _rms(values: Sequence[float]) -> float:
    return sqrt(sum(value**2 for value in values) / len(values))


def _wait_for(log: Path) -> None:
    for _ in range(1000):
        if log.exists() and log.stat().st_size:
            return
        time.sleep(0.01)
    raise CouldNotRunError("the writer of waves did not start")
