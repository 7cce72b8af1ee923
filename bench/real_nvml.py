"""A square wave through NVML in real time: a stub of the driver's library, read by us and by zeus.

The stub (tests/fakes/nvml_stub.c, loaded by the real nvidia-ml-py) has an energy
counter that moves every 100 ms and a power of the instant; both follow the clock
that all processes share, so the truth is a closed form.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.peers import ZEUS_GPU, Peer, Window, default_cache
from bench.real_waves import LONG_S, SHORT_S, errors_of, figures_of
from bench.report import CouldNotRunError, Figure, progress
from bench.waves import Wave
from edgerig_agent.measure.sources import PowerSource, power_sources
from edgerig_agent.measure.trace import read_traces
from edgerig_agent.runtime import start_sampler, stop_sampler
from tests.fakes.nvml import StubDriver
from tests.fakes.shared_library import NoCompilerError

WAVE = Wave("nvml_square", [(0.365, 10.0), (0.365, 30.0)])
_SCRIPT = ("wave square 10000 30000 730", "counter_step_ms 100")
_LENGTHS_S = (*[SHORT_S] * 10, *[LONG_S] * 3)
_SETTLE_S = 0.3


def nvml_figures(*, peers: bool, cache: str, seed: int) -> list[Figure]:
    """Runs the wave (about 40 s) and returns the errors; without a C compiler, one figure that says so."""
    with tempfile.TemporaryDirectory(prefix="edgerig-nvml-") as name:
        folder = Path(name)
        try:
            board = StubDriver(folder)
        except NoCompilerError as error:
            return [Figure("real_nvml", None, f"unavailable: {error}")]
        board.say(*_SCRIPT)
        root = folder / "root"
        (root / "sys").mkdir(parents=True)
        found: list[Figure] = []
        zeus: Peer | None = None
        try:
            if peers:
                zeus = Peer(
                    ZEUS_GPU, Path(cache) if cache else default_cache(), root, folder, board.environment
                )
        except CouldNotRunError as error:
            found.append(Figure(f"real_{ZEUS_GPU}", None, f"unavailable: {error}"))
        try:
            windows, sources = _measure(zeus, board.environment, root, folder, seed)
        finally:
            if zeus:
                zeus.close()
    return found + figures_of(errors_of(windows, sources, _truth_j))


def _measure(
    zeus: Peer | None, variables: Mapping[str, str], root: Path, folder: Path, seed: int
) -> tuple[list[tuple[str, Wave, float, Window]], Sequence[PowerSource]]:
    progress(f"in real time: {WAVE.name}")
    chance = random.Random(seed)
    found: list[tuple[str, Wave, float, Window]] = []
    with _environment(variables):
        sampler = start_sampler(folder, str(root), seed)
    try:
        time.sleep(_SETTLE_S)
        for length_s in _LENGTHS_S:
            if zeus:
                zeus.begin()
            begin_ns = time.monotonic_ns()
            # No multiple of the period: a whole number of turns would hide the edges.
            time.sleep(length_s + 0.7 * chance.random())
            found.append(("edgerig", WAVE, length_s, Window(begin_ns, time.monotonic_ns(), {})))
            if zeus:
                found.append(("zeus", WAVE, length_s, zeus.end()))
        time.sleep(_SETTLE_S)
    finally:
        stop_sampler(sampler)
    sources = [s for s in power_sources(read_traces(folder)) if s.source.startswith("nvml:")]
    return found, sources


def _truth_j(begin_ns: int, end_ns: int) -> float:
    return WAVE.energy_j(end_ns * 1e-9) - WAVE.energy_j(begin_ns * 1e-9)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process, which the sampler inherits, and puts the old ones back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
