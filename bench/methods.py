"""Each method beside its reference: `python -m bench.methods --json [--only lora,decode] [--pairs 5]`.

One model of 97 million parameters, batches of 4 x 256 tokens, float32. Both sides of a
method load it in a process of their own and take turns: blocks of 5 steps, the order of
each pair drawn at random, so that a drift of the machine falls on both. The reference
is Trainer of transformers on peft's adapters; for `+mezo` it is Algorithm 1 of
arXiv 2305.17333 written out plainly, for `decode` plain `generate`.

A ratio is ours / reference, as the geometric mean over the pairs with its t interval.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from bench import methods_model, report
from bench.methods_arm import NEW_TOKENS
from bench.report import CouldNotRunError, Figure

TRAINED = ("lora", "ia3", "prompt", "prefix", "bitfit", "layer-norm", "last-k", "full")
METHODS = (*TRAINED, "lora+checkpointed", "full+checkpointed", "full+mezo", "lora+mezo", "decode")
STEPS = 5
MOST_POINT, MOST_LOW, LEAST_DECODE, MOST_MEZO_PEAK = 1.03, 1.00, 0.99, 1.05


@dataclass(frozen=True)
class Pair:
    """Logs of ours / reference in one pair of blocks."""

    time: float
    peak: float


@dataclass(frozen=True)
class Ratio:
    """Geometric mean and 95 % t interval of a ratio over pairs."""

    value: float
    low: float
    high: float


class Arm:
    """A side in its process; `loaded_bytes` is its resident set before the first step."""

    def __init__(self, folder: Path, method: str, side: str) -> None:
        self.name = f"{method} {side}"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "bench.methods_arm", str(folder), method, side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        ready = self._answer()
        self.loaded_bytes = int(ready["loaded_bytes"])
        self.trainable = int(ready["trainable"])

    def block(self, steps: int) -> dict[str, float]:
        """Run one block and return its duration and peak."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CouldNotRunError(f"{self.name} ended with code {self._process.wait()}; its error is above")
        found: dict[str, Any] = json.loads(line)
        return found


def main() -> int:
    """Measures, prints one document or a table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help=f"methods separated by commas; all: {','.join(METHODS)}")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of blocks of each method")
    parser.add_argument("--seed", type=int, default=1, help="of the order inside the pairs")
    parser.add_argument("--small", action="store_true", help="a tiny model, to try the benchmark itself")
    return report.run("methods", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    """Return the figures of the methods that were asked for."""
    chosen = [name for name in arguments.only.split(",") if name] or list(METHODS)
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise CouldNotRunError(f"there is no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    if arguments.pairs < 2:
        raise CouldNotRunError("--pairs must be 2 or more")
    order = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="edgerig-methods-") as name:
        folder = Path(name)
        count = methods_model.write(folder, small=arguments.small)
        figures = [Figure("parameters", count, "")]
        for method in chosen:
            report.progress(f"{method}: {arguments.pairs} pairs of {STEPS} steps")
            figures += _method(folder, method, arguments.pairs, order)
    return figures


def _method(folder: Path, method: str, pairs: int, order: random.Random) -> list[Figure]:
    arms: list[Arm] = []
    try:
        ours, reference = (_started(arms, folder, method, side) for side in ("ours", "reference"))
        if ours.trainable != reference.trainable:
            raise CouldNotRunError(
                f"{method}: {ours.trainable} parameters learn, {reference.trainable} there"
            )
        # The first steps make buffers and optimiser states.
        for arm in arms:
            arm.block(2)
        found, ours_s, ours_peak = [], [], 0.0
        for _ in range(pairs):
            first_ours = order.random() < 0.5
            blocks = {
                arm: arm.block(STEPS) for arm in ([ours, reference] if first_ours else [reference, ours])
            }
            mine, theirs = blocks[ours], blocks[reference]
            ours_s.append(mine["duration_s"] / STEPS)
            ours_peak = max(ours_peak, mine["peak_bytes"])
            found.append(
                Pair(
                    math.log(mine["duration_s"] / theirs["duration_s"]),
                    math.log(mine["peak_bytes"] / theirs["peak_bytes"]),
                )
            )
        return _figures(folder, arms, method, found, statistics.median(ours_s), ours_peak - ours.loaded_bytes)
    finally:
        for arm in arms:
            arm.end()


def _started(arms: list[Arm], folder: Path, method: str, side: str) -> Arm:
    arms.append(Arm(folder, method, side))
    return arms[-1]


def _figures(
    folder: Path, arms: list[Arm], method: str, pairs: Sequence[Pair], step_s: float, above_bytes: float
) -> list[Figure]:
    times, peaks = ratio([pair.time for pair in pairs]), ratio([pair.peak for pair in pairs])
    if method == "decode":
        rate = Ratio(1 / times.value, 1 / times.high, 1 / times.low)
        goal = f"point >= {LEAST_DECODE}"
        return [
            Figure("decode_tps", NEW_TOKENS / step_s, "token/s"),
            Figure(
                "decode_tps_ratio", rate.value, "ratio", rate.low, rate.high, goal, rate.value >= LEAST_DECODE
            ),
            Figure("decode_rss_peak_ratio", peaks.value, "ratio", peaks.low, peaks.high),
        ]
    figures = [Figure(f"{method}_step_s", step_s, "s")]
    for name, found in (("step_time", times), ("rss_peak", peaks)):
        holds = found.low <= MOST_LOW and found.value <= MOST_POINT
        goal = f"low <= {MOST_LOW:g}, point <= {MOST_POINT}"
        figures.append(
            Figure(f"{method}_{name}_ratio", found.value, "ratio", found.low, found.high, goal, holds)
        )
    if method.endswith("+mezo"):
        figures.append(_against_inference(_started(arms, folder, method, "inference"), method, above_bytes))
    return figures


def _against_inference(plain: Arm, method: str, above_bytes: float) -> Figure:
    """What training takes above the loaded model, as a multiple of what a forward pass takes."""
    taken = max(plain.block(2)["peak_bytes"] for _ in range(3)) - plain.loaded_bytes
    value = above_bytes / taken
    goal = f"<= {MOST_MEZO_PEAK}"
    return Figure(f"{method}_peak_to_inference", value, "ratio", goal=goal, holds=value <= MOST_MEZO_PEAK)


def ratio(logs: Sequence[float]) -> Ratio:
    """Return the geometric mean of ratios given as logs, with its 95 % t interval."""
    mean = statistics.fmean(logs)
    reach = float(student_t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach))


if __name__ == "__main__":
    sys.exit(main())
