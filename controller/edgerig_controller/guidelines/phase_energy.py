"""Energy of prefill and decode by designed regression over runs; pure.

    E = P_idle T + alpha n_in + beta n_out (+ gamma n_in n_out) + error

One row per run: its energy, its duration, and the prompt and output tokens of all
its requests. A phase of a few milliseconds is shorter than a sensor can resolve;
the slope over many lengths is not. P_idle is fitted, or taken off first where it
was measured: duration is nearly a mixture of the token counts, so that a fitted
P_idle is told from alpha and beta only by what the device did besides.

Errors are heteroscedastic (long runs scatter more), so standard errors are HC3
(MacKinnon and White 1985; Long and Ervin 2000 recommend it below 250 rows), with
Student's t on the residual degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerig_controller.guidelines.estimate import LEVEL, t_quantile

FEWEST_POINTS = 12
FEWEST_BLOCKS = 3
# Columns of unit length; above this a coefficient is made of rounding and noise.
MAX_CONDITION = 1e3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DesignedRun:
    """One run at one design point; token counts are those of all its requests."""

    energy_j: float
    duration_s: float
    tokens_in: int
    tokens_out: int
    block: int


@dataclass(frozen=True)
class Slope:
    """One coefficient with its HC3 standard error and t interval."""

    name: str
    unit: str
    estimate: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class PhaseEnergy:
    """What a token costs in prefill and in decode; no slopes = `note` says what the design lacks."""

    slopes: tuple[Slope, ...]
    idle_power_w: float | None
    df: int
    r_squared: float
    condition: float
    note: str

    def slope(self, name: str) -> Slope:
        """Returns a coefficient by its name. Raises KeyError where the fit has none of that name."""
        for slope in self.slopes:
            if slope.name == name:
                return slope
        raise KeyError(name)


def fit(
    runs: Sequence[DesignedRun], *, idle_power_w: float | None = None, interaction: bool = False
) -> PhaseEnergy:
    """Fits the energy of runs; the boundary of their energies must be one.

    Args:
        runs: at least 12 design points (pairs of token counts), each in at least 3 blocks.
        idle_power_w: measured idle power that is taken off; None = it is fitted.
        interaction: whether decoding a token costs more after a longer prompt (gamma).

    Raises:
        ValueError: a number is not finite, or a duration is not positive.
    """
    _check(runs)
    lacking = _lacking(runs)
    if lacking:
        return PhaseEnergy((), idle_power_w, 0, math.nan, math.nan, lacking)
    names, columns = _columns(runs, fit_idle=idle_power_w is None, interaction=interaction)
    energy = np.asarray([run.energy_j for run in runs])
    target = energy - (idle_power_w or 0.0) * np.asarray([run.duration_s for run in runs])
    lengths = np.linalg.norm(columns, axis=0)
    design = columns / lengths
    condition = float(np.linalg.cond(design))
    df = len(runs) - design.shape[1]
    if not condition < MAX_CONDITION:
        note = f"duration and token counts move together (condition {condition:.3g}): measure the idle power"
        return PhaseEnergy((), idle_power_w, df, math.nan, condition, note)
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ target
    residuals = target - design @ coefficients
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    meat = design.T @ (design * ((residuals / (1.0 - leverage)) ** 2)[:, None])
    errors = np.sqrt(np.diag(inverse @ meat @ inverse)) / lengths
    estimates = coefficients / lengths
    reach = t_quantile(LEVEL, df) * errors
    slopes = tuple(
        Slope(name, unit, float(b), float(se), float(b - r), float(b + r))
        for (name, unit), b, se, r in zip(names, estimates, errors, reach, strict=True)
    )
    spread = float(((target - target.mean()) ** 2).sum())
    r_squared = 1.0 - float((residuals**2).sum()) / spread if spread > 0 else math.nan
    return PhaseEnergy(slopes, idle_power_w, df, r_squared, condition, "")


def _check(runs: Sequence[DesignedRun]) -> None:
    for run in runs:
        if not (math.isfinite(run.energy_j) and math.isfinite(run.duration_s) and run.duration_s > 0):
            raise ValueError(f"a run has energy {run.energy_j} J in {run.duration_s} s")


def _lacking(runs: Sequence[DesignedRun]) -> str:
    """Says what the design lacks, '' when it is enough."""
    blocks: dict[tuple[int, int], set[int]] = {}
    for run in runs:
        blocks.setdefault((run.tokens_in, run.tokens_out), set()).add(run.block)
    fewest = min((len(found) for found in blocks.values()), default=0)
    if len(blocks) < FEWEST_POINTS or fewest < FEWEST_BLOCKS:
        return (
            f"{len(blocks)} design points in at least {fewest} blocks each, "
            f"of the {FEWEST_POINTS} and {FEWEST_BLOCKS} that a regression needs"
        )
    return ""


def _columns(
    runs: Sequence[DesignedRun], *, fit_idle: bool, interaction: bool
) -> tuple[list[tuple[str, str]], Floats]:
    columns: dict[tuple[str, str], list[float]] = {}
    if fit_idle:
        columns[("idle_power_w", "W")] = [run.duration_s for run in runs]
    columns[("j_per_input_token", "J")] = [float(run.tokens_in) for run in runs]
    columns[("j_per_output_token", "J")] = [float(run.tokens_out) for run in runs]
    if interaction:
        columns[("j_per_input_x_output_token", "J")] = [float(r.tokens_in * r.tokens_out) for r in runs]
    return list(columns), np.asarray(list(columns.values()), dtype=np.float64).T
