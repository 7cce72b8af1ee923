"""Looking before the end without paying for it in false findings: alpha spending.

After a look at fraction t of the final information, each side of a two-sided
test of level alpha may have spent (Lan and DeMets 1983, the O'Brien-Fleming type)

    a(t) = 2 - 2 Phi(z / sqrt(t)),   z = Phi^-1(1 - alpha / 4)

The nominal level of each look follows from the joint distribution of the
statistics, whose increments are independent (Armitage, McPherson and Rowe
1969). Statistics with few degrees of freedom are judged by their own p value
at the nominal level (Jennison and Turnbull 2000, section 11.4). Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from edgerig_controller.guidelines.scores import Floats

# Less new information than this is none: nothing is spent and nothing is tested.
LEAST_STEP = 1e-3
_DIGITS = 3
_GRID = 401
_FARTHEST = 8.0


def spent(fraction: float, alpha: float) -> float:
    """Returns how much of a two-sided alpha both sides may have used up at a fraction of the information.

    Raises:
        ValueError: the fraction is not above 0 and at most 1, or alpha is not between 0 and 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction of information is {fraction}, expected above 0 and at most 1")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, expected a number between 0 and 1")
    return 4.0 * float(ndtr(float(ndtri(alpha / 4)) / math.sqrt(fraction)))


def nominal_levels(fractions: Sequence[float], alpha: float) -> tuple[float, ...]:
    """Returns at which two-sided level each look is judged, so that all looks together keep alpha.

    Args:
        fractions: information at each look, ascending, 1 at the planned end; a
            look without new information gets level 0.
        alpha: overall two-sided level.

    Raises:
        ValueError: no look, fractions that fall, or values out of range.
    """
    if not fractions or any(b < a for a, b in pairwise(fractions)):
        raise ValueError("looks need fractions of information that do not fall")
    for fraction in fractions:
        spent(fraction, alpha)
    return _levels(tuple(round(float(f), _DIGITS) or 10**-_DIGITS for f in fractions), float(alpha))


@lru_cache(maxsize=4096)
def _levels(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    levels: list[float] = []
    before, used = 0.0, 0.0
    # Where the process may stand without having been stopped: places, densities times widths.
    places, mass = np.zeros(1), np.ones(1)
    for fraction in fractions:
        step = fraction - before
        if step < LEAST_STEP:
            levels.append(0.0)
            continue
        allowed = spent(fraction, alpha) - used
        bound = _bound(places, mass, math.sqrt(step), allowed)
        places, mass = _survivors(places, mass, math.sqrt(step), bound)
        levels.append(2.0 * float(ndtr(-bound / math.sqrt(fraction))))
        before, used = fraction, spent(fraction, alpha)
    return tuple(levels)


def _bound(places: Floats, mass: Floats, sd: float, allowed: float) -> float:
    """Finds the bound of the process that it first crosses, on either side, with the allowed probability."""

    def excess(bound: float) -> float:
        crossed = ndtr((places - bound) / sd) + ndtr((-places - bound) / sd)
        return float(mass @ crossed) - allowed

    if excess(_FARTHEST) >= 0:
        return _FARTHEST
    return float(brentq(excess, 0.0, _FARTHEST, xtol=1e-9))


def _survivors(places: Floats, mass: Floats, sd: float, bound: float) -> tuple[Floats, Floats]:
    """Moves the process one step on and keeps what lies inside the bound (Simpson's rule)."""
    inside = np.linspace(-bound, bound, _GRID)
    weights = np.full(_GRID, 2.0)
    weights[1::2] = 4.0
    weights[0] = weights[-1] = 1.0
    weights *= (inside[1] - inside[0]) / 3.0
    density = np.exp(-0.5 * ((inside[:, None] - places[None, :]) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    return inside, (density @ mass) * weights
