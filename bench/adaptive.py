"""What stopping early saves, and whether it changes verdicts: `python -m bench.adaptive --json`.

Studies are drawn from planted worlds (edgerig_controller.guidelines.worlds), each
of 24 configurations and five seeds, and judged twice: on the full grid, and as an
adaptive study (`stop: when_settled`) that looks after each seed from the second
on, leaves out what no open claim needs and stops when every claim is settled.

Device-hours count a trial of a configuration that trains as TRAINED_S and any
other as UNTRAINED_S, a budget in proportion. `same` asks for the verdict on the
claim that the world plants (W1: H1, W2: H2, W3: H3a), word for word; `same_size` counts real and
negligible with equivalent, both of which say that the effect is too small to matter; the share over all
thirteen claims is reported beside it, because a claim near the edge of a
verdict may fall on either side in two honest analyses.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench import report
from bench.report import CouldNotRunError, Figure
from bench.verdicts import ALPHA, SUPPORT, commit_seed, cores, share, spread
from edgerig_controller.guidelines.adaptive import Look, decide, look_after, of_first_seeds
from edgerig_controller.guidelines.claims import registered
from edgerig_controller.guidelines.guideline import judge_family
from edgerig_controller.guidelines.matching import StudyRecords, level
from edgerig_controller.guidelines.scores import Config
from edgerig_controller.guidelines.verdict import DECIDED, Verdict
from edgerig_controller.guidelines.worlds import WORLDS, records_of

PLANTED = {"W1": "H1", "W2": "H2", "W3": "H3a"}
# W2 has the share that lies nearest to its goal: 400 replays leave open on which side.
REPLAYS = {"W2": 1000}
OTHER_REPLAYS = 400
TRAINED_S, UNTRAINED_S, LONGEST_BUDGET = 600.0, 120.0, 800.0
MOST_HOURS, SAME = 0.50, 0.90


@dataclass(frozen=True)
class Outcome:
    """One study judged both ways; hours as a share of the full grid's."""

    full: dict[str, str]
    early: dict[str, str]
    hours: float
    seeds: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--replays", type=int, help="of each world, instead of 1,000 for W2 and 400")
    parser.add_argument("--seed", type=int, help="instead of the one drawn from the commit")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes; by default one per core")
    return report.run("adaptive", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    if arguments.jobs < 1 or (arguments.replays is not None and arguments.replays < 1):
        raise CouldNotRunError("--jobs and --replays must be 1 or more")
    seed = commit_seed() if arguments.seed is None else arguments.seed
    figures = [Figure("seed", seed, "")]
    for name in ("W0", *PLANTED):
        replays = arguments.replays or REPLAYS.get(name, OTHER_REPLAYS)
        report.progress(f"{name}: {replays} replays")
        found = of_world(name, list(spread(partial(replay, name, seed), replays, arguments.jobs)))
        report.progress(report.table(report.document(name, found)))
        figures += found
    return figures


def replay(name: str, seed: int, number: int) -> Outcome:
    """Draws one study and judges it both ways."""
    rng = np.random.default_rng([seed, int(name[1:]), number])
    records = records_of(WORLDS[name], rng)
    claims = registered()
    full = {found.claim_id: found.verdict for found in judge_family(records, claims)}
    seeds = records.tasks[0].table.seeds
    looks: list[Look] = []
    running = {config.config_id for config in records.configs}
    spent_s, before, settled = 0.0, 0, False
    early: dict[str, str] = {}
    for count in look_after(len(seeds)):
        if settled:
            break
        spent_s += (count - before) * _duration_s(records, running)
        before = count
        looks.append(Look(count, of_first_seeds(records, seeds[:count])))
        decision = decide(looks, claims, planned_seeds=len(seeds))
        settled, running = decision.settled, set(decision.cells)
        early = {found.claim_id: found.verdict for found in decision.guidelines}
    whole_s = len(seeds) * _duration_s(records, {config.config_id for config in records.configs})
    return Outcome(full, early, spent_s / whole_s, before)


def duration_s(config: Config) -> float:
    """Returns what one trial of a configuration is taken to last."""
    if level(config, "method.kind") in ("none", "rag"):
        return UNTRAINED_S
    budget = level(config, "train_samples")
    return UNTRAINED_S + (TRAINED_S - UNTRAINED_S) * (budget / LONGEST_BUDGET if budget else 1.0)


def _duration_s(records: StudyRecords, running: set[str]) -> float:
    return sum(duration_s(config) for config in records.configs if config.config_id in running)


def of_world(name: str, found: list[Outcome]) -> list[Figure]:
    count = len(found)
    figures = [_hours(name, [outcome.hours for outcome in found])]
    if name == "W0":
        wrong = sum(any(verdict in SUPPORT for verdict in outcome.early.values()) for outcome in found)
        figures.append(share("W0_any_supported", wrong, count, at_most=ALPHA))
        figures.append(share("W0_any_supported_full_grid", sum(_any(o.full) for o in found), count))
    else:
        claim = PLANTED[name]
        same = sum(outcome.early[claim] == outcome.full[claim] for outcome in found)
        figures.append(share(f"{name}_{claim}_same", same, count, at_least=SAME))
        sized = sum(_size(outcome.early[claim]) == _size(outcome.full[claim]) for outcome in found)
        figures.append(share(f"{name}_{claim}_same_size", sized, count))
    pairs = [(o.early[claim], o.full[claim]) for o in found for claim in o.full]
    alike = sum(early == full for early, full in pairs) / len(pairs)
    opposed = sum(_opposed(early, full) for early, full in pairs) / len(pairs)
    return [
        *figures,
        Figure(f"{name}_same_over_all_claims", 100 * alike, "%"),
        Figure(f"{name}_decided_differently", 100 * opposed, "%"),
        Figure(f"{name}_seeds_mean", float(np.mean([outcome.seeds for outcome in found])), "of 5"),
    ]


def _hours(name: str, values: Sequence[float]) -> Figure:
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    goal = None if name == "W0" else f"at most {100 * MOST_HOURS:g} % of the full grid's"
    return Figure(
        f"{name}_device_hours",
        100 * mean,
        "%",
        100 * (mean - half),
        100 * (mean + half),
        goal,
        None if goal is None else mean <= MOST_HOURS,
    )


def _any(verdicts: dict[str, str]) -> bool:
    return any(verdict in SUPPORT for verdict in verdicts.values())


def _size(verdict: str) -> str:
    return Verdict.EQUIVALENT.value if verdict == Verdict.NEGLIGIBLE.value else verdict


def _opposed(early: str, full: str) -> bool:
    """Tells whether both analyses decided, and not alike; real and irrelevant agrees with its neighbours."""
    decided = {early, full} <= {verdict.value for verdict in DECIDED}
    return decided and early != full and Verdict.NEGLIGIBLE.value not in (early, full)


if __name__ == "__main__":
    raise SystemExit(main())
