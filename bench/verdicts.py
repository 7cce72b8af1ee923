"""Does the engine find the truth of planted worlds? `python -m bench.verdicts --worlds all --json`.

Each replay draws one study from a world (edgerig_controller.guidelines.worlds)
and judges the whole registered family on it: H1 to H10, of which H3 is three and H10 two
claims, so thirteen. Shares have exact intervals (Clopper and Pearson 1934). In
W0 every contrast is truly zero, so `supported` (also the negligible kind) is a
false finding, and an interval that excludes zero a miss.

The random numbers come from the commit, so that nobody picks a lucky seed;
`--seed` repeats a run of another commit. Every replay has random numbers of its
own, so `--jobs` changes how long it takes and nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
from scipy.stats import binomtest

from bench import report
from bench.report import CouldNotRunError, Figure
from edgerig_controller.guidelines.claims import registered
from edgerig_controller.guidelines.guideline import Guideline, judge_family
from edgerig_controller.guidelines.power import mde
from edgerig_controller.guidelines.verdict import Verdict
from edgerig_controller.guidelines.worlds import W2_X95, WORLDS, World, records_of

REPLAYS = {"W0": 2000}
OTHER_REPLAYS = 400
SUPPORT = (Verdict.SUPPORTED.value, Verdict.NEGLIGIBLE.value)
ALPHA, LOWEST, HIGHEST, FOUND = 0.05, 0.93, 0.97, 0.75
Result = TypeVar("Result")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--worlds", default="all", help="all, or names separated by commas: W0,W3")
    parser.add_argument("--replays", type=int, help="replays of each world, instead of 2,000 for W0 and 400")
    parser.add_argument("--seed", type=int, help="instead of the one drawn from the commit")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes; by default one per core")
    return report.run("verdicts", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    names = list(WORLDS) if arguments.worlds == "all" else arguments.worlds.split(",")
    unknown = [name for name in names if name not in WORLDS]
    if unknown:
        raise CouldNotRunError(f"there is no world {unknown[0]!r}; there are {', '.join(WORLDS)}")
    if arguments.replays is not None and arguments.replays < 1:
        raise CouldNotRunError("--replays must be 1 or more")
    if arguments.jobs < 1:
        raise CouldNotRunError("--jobs must be 1 or more")
    seed = commit_seed() if arguments.seed is None else arguments.seed
    figures = [Figure("seed", seed, "")]
    for name in names:
        replays = arguments.replays or REPLAYS.get(name, OTHER_REPLAYS)
        report.progress(f"{name}: {replays} replays")
        found = JUDGES[name](WORLDS[name], replays, studies(name, replays, seed, arguments.jobs))
        # A long run says what it has so far.
        report.progress(report.table(report.document(name, found)))
        figures += found
    return figures


def commit_seed() -> int:
    """Returns a number from the hash of the present commit."""
    try:
        here = Path(__file__).parent
        shown = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise CouldNotRunError("there is no commit to draw the seed from; give --seed") from error
    return int(shown.stdout.strip()[:8], 16)


def studies(name: str, replays: int, seed: int, jobs: int) -> list[dict[str, Guideline]]:
    """Draws and judges one study per replay."""
    return list(spread(partial(judged, name, seed), replays, jobs))


def judged(name: str, seed: int, replay: int) -> dict[str, Guideline]:
    rng = np.random.default_rng([seed, int(name[1:]), replay])
    return {found.claim_id: found for found in judge_family(records_of(WORLDS[name], rng), registered())}


def cores() -> int:
    return len(os.sched_getaffinity(0))


def spread(work: Callable[[int], Result], replays: int, jobs: int) -> Iterator[Result]:
    """Does all replays in this process, or in several of one thread each; in the order of the replays."""
    if jobs == 1:
        yield from map(work, range(replays))
        return
    # The linear algebra of a fresh process reads these: threads of several processes would only fight.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, range(replays), chunksize=max(1, min(20, replays // (4 * jobs))))


def no_effect(world: World, replays: int, found: list[dict[str, Guideline]]) -> list[Figure]:
    wrong = sum(any(entry.verdict in SUPPORT for entry in study.values()) for study in found)
    figures = [share(f"{world.name}_any_supported", wrong, replays, at_most=ALPHA)]
    held = {
        claim: sum(
            (bounds := study[claim].interval_95) is not None and bounds[0] <= 0 <= bounds[1]
            for study in found
        )
        for claim in found[0]
    }
    # All claims of a replay share its data: the exact interval is that of each claim alone.
    figures += [coverage(f"{world.name}_coverage_{claim}", hits, replays) for claim, hits in held.items()]
    overall = sum(held.values()) / (replays * len(held))
    return [
        *figures,
        Figure(
            f"{world.name}_coverage_mean",
            100 * overall,
            "%",
            goal="from 93 to 97 %",
            holds=LOWEST <= overall <= HIGHEST,
        ),
    ]


def inverted_u(world: World, replays: int, found: list[dict[str, Guideline]]) -> list[Figure]:
    return [named(world, replays, found, "H1", Verdict.SUPPORTED)]


def saturation(world: World, replays: int, found: list[dict[str, Guideline]]) -> list[Figure]:
    held = 0
    both = 0
    for study in found:
        low, high = (study["H2"].facts.get("x95_samples", {}).get(side) for side in ("low", "high"))
        inside = low is not None and high is not None and low <= W2_X95 <= high
        held += inside
        both += inside and study["H2"].verdict == Verdict.EQUIVALENT.value
    return [
        share(f"{world.name}_H2_equivalent_and_x95_held", both, replays, at_least=FOUND),
        share(f"{world.name}_x95_held", held, replays),
    ]


def harm(world: World, replays: int, found: list[dict[str, Guideline]]) -> list[Figure]:
    wrong = sum(study["H3a"].verdict in SUPPORT for study in found)
    figure = share(f"{world.name}_H3a_supported", wrong, replays)
    never = Figure(figure.name, figure.value, "%", figure.low, figure.high, "never", wrong == 0)
    return [never, named(world, replays, found, "H3a", Verdict.CONTRADICTED)]


def both_signs(world: World, replays: int, found: list[dict[str, Guideline]]) -> list[Figure]:
    return [named(world, replays, found, "H3a", Verdict.HETEROGENEOUS)]


def too_few(world: World, replays: int, found: list[dict[str, Guideline]]) -> list[Figure]:
    figures = [named(world, replays, found, "H3a", Verdict.UNDERPOWERED)]
    open_claims = [study["H3a"] for study in found if study["H3a"].needed]
    if not open_claims:
        return figures
    true_users = world.variance_needed_users(open_claims[0].delta / mde(1.0, world.tasks - 1))
    true_items = (true_users - world.users) * world.items_per_user
    told = [entry.needed["items"] for entry in open_claims if entry.needed]
    ratios = [np.inf if items is None else items / true_items for items in told]
    middle = float(median(ratios))
    goal, holds = "from 0.5 to 2", 0.5 <= middle <= 2
    return [*figures, Figure(f"{world.name}_items_needed_over_true", middle, "", goal=goal, holds=holds)]


JUDGES = {
    "W0": no_effect,
    "W1": inverted_u,
    "W2": saturation,
    "W3": harm,
    "W4": both_signs,
    "W5": too_few,
}


def named(
    world: World, replays: int, found: list[dict[str, Guideline]], claim: str, verdict: Verdict
) -> Figure:
    hits = sum(study[claim].verdict == verdict.value for study in found)
    word = verdict.value.removeprefix("inconclusive: ")
    return share(f"{world.name}_{claim}_{word}", hits, replays, at_least=FOUND)


def share(
    name: str, hits: int, replays: int, *, at_most: float | None = None, at_least: float | None = None
) -> Figure:
    """Makes a share with its exact interval; both goals are asked of its lower bound."""
    bounds = binomtest(hits, replays).proportion_ci(0.95, method="exact")
    goal, holds = None, None
    if at_most is not None:
        goal, holds = f"lower bound at most {100 * at_most:g} %", bool(bounds.low <= at_most)
    if at_least is not None:
        goal, holds = f"lower bound at least {100 * at_least:g} %", bool(bounds.low >= at_least)
    return Figure(name, 100 * hits / replays, "%", 100 * bounds.low, 100 * bounds.high, goal, holds)


def coverage(name: str, hits: int, replays: int) -> Figure:
    found = share(name, hits, replays)
    assert found.low is not None and found.high is not None
    meets = found.low <= 100 * HIGHEST and found.high >= 100 * LOWEST and hits / replays >= LOWEST
    goal = "at least 93 %, interval meets 93 to 97 %"
    return Figure(name, found.value, "%", found.low, found.high, goal, meets)


if __name__ == "__main__":
    raise SystemExit(main())
