"""Do intervals over runs hold the truth as often as they say? `python -m bench.coverage --json`.

Each simulated study draws the runs of one cell as a device gives them: a figure
varies from run to run (2 % here: an energy or a latency of a soaked board) and
each run's own figure is a mean over 20 requests with a scatter of 10 %, so that
between-run and within-run variance are both there. The runs go, as rows of the
store, through the function that makes the report's intervals
(`edgerig_controller.report.aggregate.figures`), and a second time, with skewed
(log-normal, 10 %) differences between runs. A study counts when the interval holds
the true mean. Shares have exact 95 % intervals (Clopper and Pearson 1934).

The random numbers come from the commit, so that nobody picks a lucky seed;
`--seed` repeats a run of another commit. `pooled_tokens` is what treating all
requests of all runs as independent would give: reported, as a warning.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bench import report
from bench.report import CouldNotRunError, Figure
from bench.verdicts import commit_seed, coverage, share
from edgerig_controller.guidelines.estimate import mean_interval
from edgerig_controller.report.aggregate import figures
from edgerig_controller.store.rows import AttemptRow, MeasurementRow

RUNS = (3, 5, 10, 15)
FEWEST_STUDIES = 5000
TRUTH = 10.0
BETWEEN, WITHIN, REQUESTS, SKEW = 0.02, 0.10, 20, 0.10

Floats = npt.NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--studies", type=int, default=20_000, help="simulated studies of each size")
    parser.add_argument("--seed", type=int, help="instead of the one drawn from the commit")
    return report.run("coverage", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    if arguments.studies < FEWEST_STUDIES:
        raise CouldNotRunError(f"--studies is {arguments.studies}, at least {FEWEST_STUDIES} say something")
    seed = commit_seed() if arguments.seed is None else arguments.seed
    found = [Figure("seed", seed, ""), Figure("studies", arguments.studies, "")]
    for runs in RUNS:
        report.progress(f"{runs} runs: {arguments.studies} studies, twice")
        for shape, draw in SHAPES.items():
            rng = np.random.default_rng([seed, runs, list(SHAPES).index(shape)])
            found += _coverage_of(shape, draw, runs, arguments.studies, rng)
    return found


def normal(rng: np.random.Generator, runs: int) -> Floats:
    """Draws the requests of each run: (runs, requests)."""
    means = TRUTH * (1 + BETWEEN * rng.standard_normal((runs, 1)))
    drawn: Floats = means * (1 + WITHIN * rng.standard_normal((runs, REQUESTS)))
    return drawn


def skewed(rng: np.random.Generator, runs: int) -> Floats:
    """The same with log-normal runs, whose mean is the truth."""
    means = TRUTH * np.exp(SKEW * rng.standard_normal((runs, 1)) - SKEW**2 / 2)
    drawn: Floats = means * (1 + WITHIN * rng.standard_normal((runs, REQUESTS)))
    return drawn


SHAPES: dict[str, Callable[[np.random.Generator, int], Floats]] = {"normal": normal, "skewed": skewed}


def _coverage_of(
    shape: str,
    draw: Callable[[np.random.Generator, int], Floats],
    runs: int,
    studies: int,
    rng: np.random.Generator,
) -> list[Figure]:
    attempts = [_attempt(f"a{run}") for run in range(runs)]
    held = pooled = 0
    for _ in range(studies):
        requests = draw(rng, runs)
        rows = [_row(run, float(mean)) for run, mean in enumerate(requests.mean(axis=1))]
        (figure,) = figures(attempts, rows)
        held += _holds(figure.estimate.low, figure.estimate.high)
        naive = mean_interval([float(value) for value in requests.ravel()])
        pooled += _holds(naive.low, naive.high)
    naive_share = share(f"{shape}_{runs}_runs_pooled_tokens", pooled, studies)
    return [coverage(f"{shape}_{runs}_runs", held, studies), naive_share]


def _holds(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low <= TRUTH <= high


def _attempt(attempt_id: str) -> AttemptRow:
    return AttemptRow(
        attempt_id=attempt_id,
        trial_id="t",
        cell_index=0,
        seed=1,
        repeat=1,
        device_id="box",
        epoch=1,
        state="committed",
        status="ok",
        failure_class="",
        failure_message="",
        failure_phase="",
        quality=None,
        item_count=0,
        flags=[],
        canonical=True,
        reused=False,
        created_unix_s=0.0,
        ended_unix_s=None,
        duration_s=None,
        environment_digest="",
        worker={},
        last_available_bytes=None,
        last_rss_bytes=None,
    )


def _row(run: int, value: float) -> MeasurementRow:
    return MeasurementRow(
        attempt_id=f"a{run}",
        cell_index=0,
        seed=1,
        repeat=run + 1,
        name="j_per_request",
        phase="inference",
        statistic="ratio",
        value=value,
        unavailable_reason="",
        low=None,
        high=None,
        interval_kind="",
        boundary="module_in",
        source="ina3221:1-0040:1:VDD_IN",
        method="trapezoid",
        sample_count=REQUESTS,
        effective_rate_hz=None,
        coverage=1.0,
        flags=[],
    )


if __name__ == "__main__":
    raise SystemExit(main())
