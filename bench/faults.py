"""Fault schedules under a simulated clock, disk and network: `python -m bench.faults --seeds 100000 --json`.

    --seeds N           run the seeds 0 to N-1 (default 1000), on as many processes as there are cores
    --resume FILE       note every finished batch there, and leave out what is noted already
    --seed N --verbose  run one seed and print everything that happens in it
    --plant NAME        plant a bug first (tests/sim/plants.py), to see it found
    --each-write        instead of seeds: kill each node once at each of its durable writes and messages

The real agents and the real controller run; tests/sim says what is simulated.
Exit code 1 and the seeds are printed when an invariant does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from bench.report import CouldNotRunError, Figure
from tests.sim.faults import NOTHING, Plan
from tests.sim.plants import PLANTS
from tests.sim.schedule import run as run_seed

_BATCH = 50
_QUIET_SEED = 7


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--resume", type=Path, help="file of finished batches")
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--verbose", action="store_true", help="with --seed: print what happens")
    parser.add_argument("--each-write", action="store_true", help="a death at every place, one by one")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="plant this bug")
    return report.run("faults", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    if arguments.seed is not None:
        return one(arguments.seed, arguments.plant, verbose=arguments.verbose)
    if arguments.each_write:
        return each_write()
    if arguments.seeds < 1:
        raise CouldNotRunError("--seeds must be 1 or more")
    began_s = time.monotonic()
    done = read_done(arguments.resume, arguments.plant)
    batches = [first for first in range(0, arguments.seeds, _BATCH) if first not in done]
    found = dict(done)
    ran = 0
    for result in spread(batches, arguments.seeds, arguments.processes, arguments.plant):
        found[result["first"]] = result
        ran += result["count"]
        note_done(arguments.resume, result, arguments.plant)
        report.progress(f"{sum(item['count'] for item in found.values())} of {arguments.seeds} seeds")
    return figures(found, ran, time.monotonic() - began_s, arguments.processes)


def one(seed: int, plant: str | None, *, verbose: bool) -> Sequence[Figure]:
    """Runs one seed, telling what happens."""
    with ExitStack() as stack:
        if plant:
            stack.enter_context(PLANTS[plant]())
        outcome = run_seed(seed, say=report.progress if verbose else None)
    for violation in outcome.violations:
        report.progress(f"seed {seed}: {violation}")
    return [
        none_may_be("violations", len(outcome.violations)),
        Figure("points", outcome.points, "count"),
        Figure("simulated", outcome.simulated_s, "s"),
        Figure("digest", outcome.digest, "crc32"),
    ]


def each_write() -> Sequence[Figure]:
    """Runs one schedule without faults, and then once for each place in it where a node can die."""
    places = run_seed(_QUIET_SEED, plan=NOTHING).points_of
    failed = 0
    for node, count in sorted(places.items()):
        for number in range(1, count + 1):
            outcome = run_seed(_QUIET_SEED, plan=Plan({}, (), 0.0, {node: (number,)}))
            if outcome.violations:
                failed += 1
                report.progress(f"death of {node} at its place {number}: {outcome.violations}")
        report.progress(f"{node}: {count} places")
    return [
        none_may_be("deaths_that_did_harm", failed),
        *(Figure(f"places_of_{node}", count, "count") for node, count in sorted(places.items())),
    ]


def spread(batches: Sequence[int], seeds: int, processes: int, plant: str | None) -> Iterator[dict[str, Any]]:
    """Yields the batches' results as they come."""
    with ProcessPoolExecutor(max_workers=processes) as pool:
        running = [pool.submit(run_batch, first, min(_BATCH, seeds - first), plant) for first in batches]
        for future in as_completed(running):
            yield future.result()


def run_batch(first: int, count: int, plant: str | None) -> dict[str, Any]:
    """Runs seeds that follow each other; a dict, because it is also a line of the resume file."""
    began_s = time.process_time()
    failed: dict[str, list[str]] = {}
    points, simulated_s = 0, 0.0
    with ExitStack() as stack:
        if plant:
            stack.enter_context(PLANTS[plant]())
        for seed in range(first, first + count):
            outcome = run_seed(seed)
            points += outcome.points
            simulated_s += outcome.simulated_s
            if outcome.violations:
                failed[str(seed)] = outcome.violations
    return {
        "first": first,
        "count": count,
        "failed": failed,
        "points": points,
        "simulated_s": simulated_s,
        "cpu_s": time.process_time() - began_s,
    }


def read_done(path: Path | None, plant: str | None) -> dict[int, dict[str, Any]]:
    """Reads the finished batches; a line that was cut off is run again."""
    if path is None or not path.exists():
        return {}
    done = {}
    for line in path.read_text().splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if result.get("plant") == plant:
            done[result["first"]] = result
    return done


def note_done(path: Path | None, result: dict[str, Any], plant: str | None) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps({**result, "plant": plant}) + "\n")


def figures(
    found: dict[int, dict[str, Any]], ran: int, duration_s: float, processes: int
) -> Sequence[Figure]:
    for result in found.values():
        for seed, violations in result["failed"].items():
            report.progress(f"seed {seed}: {violations} (python -m bench.faults --seed {seed} --verbose)")
    seeds = sum(result["count"] for result in found.values())
    cpu_s = sum(result["cpu_s"] for result in found.values())
    whole_s = duration_s / ran * seeds if ran else 0.0
    return [
        none_may_be("failed_seeds", sum(len(result["failed"]) for result in found.values())),
        Figure("seeds", seeds, "count"),
        Figure("duration", duration_s, "s"),
        Figure("duration_of_all_seeds", whole_s, "s", goal=goal_of(seeds), holds=within_goal(seeds, whole_s)),
        Figure("cpu_per_seed", cpu_s / seeds, "s"),
        Figure("processes", processes, "count"),
        Figure("places_to_die_per_seed", sum(item["points"] for item in found.values()) / seeds, "count"),
        Figure("simulated_per_seed", sum(item["simulated_s"] for item in found.values()) / seeds, "s"),
    ]


def none_may_be(name: str, count: int) -> Figure:
    return Figure(name, count, "count", goal="0", holds=count == 0)


def goal_of(seeds: int) -> str | None:
    """Returns what is asked of this many seeds; two amounts have a goal."""
    return {1000: "<= 30 s", 100_000: "<= 3600 s"}.get(seeds)


def within_goal(seeds: int, duration_s: float) -> bool | None:
    return {1000: duration_s <= 30.0, 100_000: duration_s <= 3600.0}.get(seeds)


if __name__ == "__main__":
    sys.exit(main())
