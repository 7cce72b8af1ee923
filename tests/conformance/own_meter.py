"""The agent's sampler as a meter of the suite: `python -m tests.conformance.own_meter ROOT SECONDS`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from edgerig_agent.measure.sources import power_sources
from edgerig_agent.measure.trace import read_traces
from edgerig_agent.runtime import start_sampler, stop_sampler


def main(argv: list[str]) -> int:
    """Measures one window and prints its energy by source."""
    with tempfile.TemporaryDirectory(prefix="edgerig-meter-") as name:
        folder = Path(name)
        sampler = start_sampler(folder, argv[0], seed=1)
        begin_ns = time.monotonic_ns()
        time.sleep(float(argv[1]))
        end_ns = time.monotonic_ns()
        stop_sampler(sampler)
        integrals = {
            source.source: source.integrate([(begin_ns, end_ns)])
            for source in power_sources(read_traces(folder))
        }
    # What a gap hides is taken as the mean of the rest, as in energy per token.
    energies = {
        name: found.energy_j / found.covered_s * found.duration_s
        for name, found in integrals.items()
        if found.covered_s > 0
    }
    window = {"begin_mono_ns": begin_ns, "end_mono_ns": end_ns, "energy_j": energies}
    print(json.dumps({"windows": [window]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
