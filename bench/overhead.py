"""What the sampler costs the workload: `python -m bench.overhead --json [--pairs 200]`.

Times a training step and a decoded token with the real sampler process running
(B) and stopped (A). Blocks come in quadruples ABBA or BAAB, drawn at random, so
that a drift of the machine cancels; two pairs each. Between them stand control
quadruples in which the sampler is stopped throughout: they must show no effect,
and their interval says how small an effect this machine can show at all. If that
is more than 0.5 %, there is no result (exit 2).

Running and stopped means SIGCONT and SIGSTOP to the one sampler process, a moment
before the clock of a block starts: stopped, it uses no processor time but keeps
its memory. Nothing is pinned. A block is wall time over a fixed number of calls,
with everything in it; pairs are never dropped.

In the same table, with no goal: the same two kernels under optimum-benchmark's process
launcher with its latency, memory and energy trackers on, against a process that measures
nothing (bench/overhead_peer.py).
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.overhead_peer import peer_figures
from bench.overhead_work import Kernel, kernels
from bench.ratios import Arm
from bench.report import COULD_NOT_RUN, FALLS_SHORT, HOLDS, Figure, document, progress, table
from bench.sensor_tree import sensor_root
from edgerig_agent.accounting import cpu_time_s
from edgerig_agent.measure.trace import read_trace
from edgerig_agent.runtime import start_sampler, stop_sampler

BENCH = "overhead"
MAX_RATIO = 1.005
MAX_UPPER = 1.01
MAX_CONTROL_HALF_WIDTH = 0.005
MAX_SAMPLER_RSS_MIB = 12.0

_BLOCK_S = 0.08
_SETTLE_S = 0.015
_MAX_FACTOR = 8


class Switch:
    """Lets the sampler run or stand still."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def set(self, running: bool) -> None:
        """Sends the signal and waits a moment, the same for both, until it has taken effect."""
        os.kill(self._pid, signal.SIGCONT if running else signal.SIGSTOP)
        time.sleep(_SETTLE_S)


def main() -> int:
    """Measures, prints one document or a table, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=200, help="fewest pairs of blocks for each comparison")
    parser.add_argument(
        "--peer-launches",
        type=int,
        default=4,
        help="launches of optimum-benchmark (from 2 on); 0 leaves it out",
    )
    parser.add_argument("--cache", type=Path, default=None, help="folder for its environment")
    parser.add_argument("--seed", type=int, default=1, help="of the random order")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    # Ended from outside, the sampler must not be left behind, least of all stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures, reason, notes = measure(max(8, arguments.pairs), arguments.seed)
    if arguments.peer_launches:
        figures += peer_figures(max(2, arguments.peer_launches), arguments.seed, arguments.cache)
    extra: dict[str, Any] = {"sampled": notes, **({"reason": reason} if reason else {})}
    found = document(BENCH, figures, **extra)
    if reason:
        found["holds"] = False
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    if reason:
        return COULD_NOT_RUN
    return HOLDS if found["holds"] else FALLS_SHORT


def measure(pairs: int, seed: int) -> tuple[list[Figure], str, dict[str, Any]]:
    """Returns the figures, the reason if there is no result, and what was sampled."""
    figures: list[Figure] = []
    reasons: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edgerig-overhead-") as name:
        folder = Path(name)
        root, sampled = _sensor_root(folder)
        process = start_sampler(folder, str(root), seed)
        try:
            switch = Switch(process.pid)
            for label, kernel in kernels().items():
                progress(f"{label}: {pairs} pairs and as many of the control")
                effect, control = _compare(kernel, switch, pairs, random.Random(seed))
                figures += _figures(label, effect, control)
                if control.half_width() > MAX_CONTROL_HALF_WIDTH:
                    reasons.append(
                        f"{label}: the control's half-width of {control.half_width():.4f} is more than "
                        f"{MAX_CONTROL_HALF_WIDTH}; this machine is too busy"
                    )
            switch.set(running=True)
            figures += _sampler_figures(process.pid)
        finally:
            process.send_signal(signal.SIGCONT)
            stop_sampler(process)
        sampled["sample_count"] = {
            path.stem: len(read_trace(path).times_ns) for path in sorted((folder / "trace").glob("*.trace"))
        }
    return figures, "; ".join(reasons), sampled


def _sensor_root(folder: Path) -> tuple[Path, dict[str, Any]]:
    root, channels = sensor_root(folder)
    if root == Path("/"):
        return root, {"sensors": "this machine's own", "channels": channels, "rate_hz": 100}
    reason = "a tree of real files, because this machine has no power sensor"
    return root, {"sensors": reason, "channels": [*channels, "MemAvailable"], "rate_hz": 100}


def _compare(kernel: Kernel, switch: Switch, pairs: int, order: random.Random) -> tuple[Arm, Arm]:
    """Alternates quadruples of the effect and of the control until both are precise enough.

    More than the asked pairs are taken only while the control is too wide; that is
    decided without looking at the effect.
    """
    calls = _calls_per_block(kernel)
    effect, control = Arm(), Arm()
    gc.collect()
    gc.disable()
    try:
        while len(control.logs) < pairs // 2 or (
            len(control.logs) < _MAX_FACTOR * pairs // 2
            and control.half_width() > 0.9 * MAX_CONTROL_HALF_WIDTH
        ):
            effect.logs.append(_quadruple(kernel, calls, switch, order, with_sampler=True))
            control.logs.append(_quadruple(kernel, calls, switch, order, with_sampler=False))
    finally:
        gc.enable()
    return effect, control


def _quadruple(
    kernel: Kernel, calls: int, switch: Switch, order: random.Random, *, with_sampler: bool
) -> float:
    """Times ABBA or BAAB and returns the mean log ratio of B to A; in a control, B is A."""
    pattern = order.choice(("ABBA", "BAAB"))
    logs = {"A": 0.0, "B": 0.0}
    for letter in pattern:
        switch.set(running=with_sampler and letter == "B")
        logs[letter] += math.log(_block_s(kernel, calls)) / 2
    return logs["B"] - logs["A"]


def _block_s(kernel: Kernel, calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        kernel()
    return time.perf_counter() - begin


def _calls_per_block(kernel: Kernel) -> int:
    _block_s(kernel, 20)
    each_s = min(_block_s(kernel, 10) for _ in range(5)) / 10
    return max(1, round(_BLOCK_S / each_s))


def _figures(label: str, effect: Arm, control: Arm) -> list[Figure]:
    ratio, low, high = effect.interval()
    _, control_low, control_high = control.interval()
    pair_count = 2 * len(effect.logs)
    return [
        Figure(f"{label}_ratio", ratio, "ratio", low, high, f"<= {MAX_RATIO}", ratio <= MAX_RATIO),
        Figure(f"{label}_ratio_upper", high, "ratio", goal=f"<= {MAX_UPPER}", holds=high <= MAX_UPPER),
        Figure(f"{label}_control_ratio", control.interval()[0], "ratio", control_low, control_high),
        Figure(
            f"{label}_control_half_width",
            control.half_width(),
            "ratio",
            goal=f"<= {MAX_CONTROL_HALF_WIDTH}",
            holds=control.half_width() <= MAX_CONTROL_HALF_WIDTH,
        ),
        Figure(f"{label}_pairs", float(pair_count), "pairs"),
    ]


def _sampler_figures(pid: int) -> list[Figure]:
    """Processor share and memory of the sampler over two seconds in which nothing else is done."""
    before_s, begin = cpu_time_s([pid]), time.perf_counter()
    time.sleep(2.0)
    share = (cpu_time_s([pid]) - before_s) / (time.perf_counter() - begin)
    status = Path(f"/proc/{pid}/status").read_text()
    rss_mib = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return [
        Figure("sampler_cpu_share", share, "of one core"),
        Figure(
            "sampler_rss",
            rss_mib,
            "MiB",
            goal=f"<= {MAX_SAMPLER_RSS_MIB:g}",
            holds=rss_mib <= MAX_SAMPLER_RSS_MIB,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
