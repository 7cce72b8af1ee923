"""`python -m bench.fuzz --inputs 1000000 --json`: mutated and random messages against parsers and handlers.

Inputs come in blocks, each on a fresh store; a block is a function of the seed
and its number, so that a fault is repeated by `--seed S --block B`. With
`--resume FILE` finished blocks are kept in FILE and not thrown again. A fault
is an error that no status stands for (what a person would see as INTERNAL), a
handler that does not answer, a change to what belongs to another device, a
damaged database, or a file outside the data folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from bench.fuzz.blocks import BLOCK, MAX_FAULTS, Tally, throw_block
from bench.report import CouldNotRunError, Figure, progress, run


def _measure(arguments: argparse.Namespace) -> list[Figure]:
    begin_s = time.monotonic()
    tallies = _throw_all(arguments)
    duration_s = time.monotonic() - begin_s
    inputs = sum(tally.inputs for tally in tallies)
    handled = sum(tally.handled for tally in tallies)
    faults = [fault for tally in tallies for fault in tally.faults]
    outcomes: Counter[str] = Counter()
    for tally in tallies:
        outcomes.update(tally.outcomes)
    for fault in faults[:MAX_FAULTS]:
        progress(f"fault: {fault}")
    if not inputs:
        raise CouldNotRunError("no input was thrown")
    return [
        Figure("inputs", inputs, "inputs"),
        Figure("inputs_that_reached_a_handler_or_parser", handled, "inputs"),
        Figure("faults", len(faults), "faults", goal="0", holds=not faults),
        Figure("duration_s", duration_s, "s"),
        *(Figure(f"answered: {name}", count, "inputs") for name, count in sorted(outcomes.items())),
    ]


def _throw_all(arguments: argparse.Namespace) -> list[Tally]:
    if arguments.block is not None:
        return [throw_block(arguments.seed, arguments.block, BLOCK)]
    blocks = [
        (block, min(BLOCK, arguments.inputs - block * BLOCK))
        for block in range(-(-arguments.inputs // BLOCK))
    ]
    done = _read_done(arguments)
    tallies = [done[key] for key in blocks if key in done]
    left = [key for key in blocks if key not in done]
    method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=arguments.jobs, mp_context=method) as pool:
        running = {pool.submit(throw_block, arguments.seed, block, count): count for block, count in left}
        for future in as_completed(running):
            tally = future.result()
            tallies.append(tally)
            _write_done(arguments, tally)
            progress(f"{sum(item.inputs for item in tallies)} of {arguments.inputs} inputs")
    return tallies


def _read_done(arguments: argparse.Namespace) -> dict[tuple[int, int], Tally]:
    if arguments.resume is None or not arguments.resume.exists():
        return {}
    found = {}
    for line in arguments.resume.read_text().splitlines():
        document = json.loads(line)
        if document.pop("seed") == arguments.seed:
            tally = Tally(**document)
            found[(tally.block, tally.inputs)] = tally
    return found


def _write_done(arguments: argparse.Namespace, tally: Tally) -> None:
    if arguments.resume is not None:
        with arguments.resume.open("a") as file:
            file.write(json.dumps({"seed": arguments.seed, **asdict(tally)}) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs to throw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--block", type=int, help="throw this block alone, to repeat a fault")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep finished blocks here")
    return parser


if __name__ == "__main__":
    sys.exit(run("fuzz", _measure, _parser()))
