"""What the sampler itself uses, and how punctual it is: `python -m bench.sampler --json`.

The real sampler process reads this machine's own power sensors or, where it has
none, a tree of real files with the five rails of an AGX Orin; memory, swap,
pressure and temperatures are read beside them as in every attempt. Processor time
is the kernel's own count of the process (schedstat), after its start-up; the figure is the
mean over the run, with the least and the most of its six parts. It is taken twice: `cpu` on a
machine that does nothing else, where each tick also pays for waking a sleeping core and for
caches gone cold (in a virtual machine that can be more than the work itself), and `busy_cpu`
while two processes for each core do nothing but compute, as beside a trial. Lateness is
that of its ticks in the second case. `bare_cpu` is what a Python process uses on the idle machine that
sleeps as often and reads nothing: no sampler of this language can use less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from bench import report
from bench.report import Figure
from bench.sensor_tree import sensor_root
from edgerig_agent.accounting import cpu_time_s
from edgerig_agent.measure.trace import read_traces
from edgerig_agent.runtime import start_sampler, stop_sampler

MAX_CPU_PERCENT = 1.0
MAX_RSS_MIB = 12.0
MAX_LATE_P99_MS = 6.0
_SPIN = "while True: pass"
_BARE = """
import time
due = time.monotonic()
while True:
    due += 0.01
    time.sleep(max(0.0, due - time.monotonic()))
"""
_SETTLE_S = 1.0
_WINDOWS = 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each of the three runs")
    return report.run("sampler", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgerig-sampler-") as name:
        report.progress(f"alone: {arguments.seconds:g} s")
        figures = _alone(Path(name) / "alone", arguments.seconds)
        report.progress(f"a process that only sleeps: {arguments.seconds:g} s")
        figures += _bare(arguments.seconds)
        report.progress(f"beside busy processes: {arguments.seconds:g} s")
        return figures + _busy(Path(name) / "busy", arguments.seconds)


def _alone(folder: Path, seconds: float) -> list[Figure]:
    folder.mkdir()
    root, channels = sensor_root(folder)
    process = start_sampler(folder, str(root), seed=1)
    try:
        time.sleep(_SETTLE_S)
        shares = _cpu_percents(process.pid, seconds)
        rss_mib, peak_mib = _status_mib(process.pid, "VmRSS"), _status_mib(process.pid, "VmHWM")
    finally:
        stop_sampler(process)
    ticks, _, _ = _lateness_ms(folder)
    samples = {trace.name: len(trace.times_ns) for trace in read_traces(folder)}
    rate_hz = max(samples.values()) / (seconds + _SETTLE_S)
    return [
        Figure("power_channels", len(channels), "channels"),
        Figure("rate", rate_hz, "Hz"),
        Figure("ticks", ticks, "ticks"),
        *_cpu("cpu", shares),
        Figure("cpu_per_tick", fmean(shares) * 1e4 / rate_hz, "us"),
        _at_most("rss", rss_mib, "MiB", MAX_RSS_MIB),
        _at_most("rss_peak", peak_mib, "MiB", MAX_RSS_MIB),
    ]


def _bare(seconds: float) -> list[Figure]:
    process = subprocess.Popen([sys.executable, "-S", "-c", _BARE])
    try:
        time.sleep(_SETTLE_S)
        shares = _cpu_percents(process.pid, seconds)
    finally:
        process.kill()
        process.wait()
    return [
        Figure("bare_cpu", fmean(shares), "% of a core"),
        Figure("bare_cpu_least_of_parts", min(shares), "% of a core"),
        Figure("bare_cpu_most_of_parts", max(shares), "% of a core"),
    ]


def _busy(folder: Path, seconds: float) -> list[Figure]:
    folder.mkdir()
    root, _ = sensor_root(folder)
    count = 2 * len(os.sched_getaffinity(0))
    spinners = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        process = start_sampler(folder, str(root), seed=2)
        time.sleep(_SETTLE_S)
        shares = _cpu_percents(process.pid, seconds)
        stop_sampler(process)
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    ticks, p50_ms, p99_ms = _lateness_ms(folder)
    return [
        Figure("busy_processes", count, "processes"),
        Figure("busy_ticks", ticks, "ticks"),
        *_cpu("busy_cpu", shares),
        Figure("busy_late_p50", p50_ms, "ms"),
        _below("busy_late_p99", p99_ms, "ms", MAX_LATE_P99_MS),
    ]


def _cpu_percents(pid: int, seconds: float) -> list[float]:
    """Returns the processor time that a process uses, in % of a core, in windows of equal length."""
    found = []
    for _ in range(_WINDOWS):
        before_s, began = cpu_time_s([pid]), time.monotonic()
        time.sleep(seconds / _WINDOWS)
        found.append(100 * (cpu_time_s([pid]) - before_s) / (time.monotonic() - began))
    return found


def _cpu(name: str, percents: list[float]) -> list[Figure]:
    return [
        _below(name, fmean(percents), "% of a core", MAX_CPU_PERCENT),
        Figure(f"{name}_least_of_parts", min(percents), "% of a core"),
        Figure(f"{name}_most_of_parts", max(percents), "% of a core"),
    ]


def _lateness_ms(folder: Path) -> tuple[float, float, float]:
    summary = json.loads((folder / "sampler.json").read_bytes())
    return summary["tick_count"], summary["late_p50_ns"] / 1e6, summary["late_p99_ns"] / 1e6


def _status_mib(pid: int, name: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024


def _below(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(name, value, unit, goal=f"< {limit:g}", holds=value < limit)


def _at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(name, value, unit, goal=f"<= {limit:g}", holds=value <= limit)


if __name__ == "__main__":
    raise SystemExit(main())
