"""One effect per claim out of its contrasts on several tasks.

An effect has an estimate, a standard error and degrees of freedom, and, for
claims about the best or the worst of several pairs, the distribution of the
largest t beside Student's. Pure; knows nothing of hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtrc

from edgerig_controller.guidelines import meta, multiplicity
from edgerig_controller.guidelines.estimate import t_quantile
from edgerig_controller.guidelines.power import Spread
from edgerig_controller.guidelines.scores import Contrast, Floats
from edgerig_controller.guidelines.verdict import Interval

SHOWN_AT = 0.05


@dataclass(frozen=True)
class Effect:
    """The pooled effect of a claim, positive = the claim's side; no error = no interval."""

    estimate: float
    se: float | None
    df: float | None
    unit: str
    contrasts: tuple[Contrast, ...]
    prediction: Interval | None = None
    heterogeneity_p: float | None = None
    tau2: float = 0.0
    largest: Floats | None = None
    # Of several pairs this is the worst (the claim is about all of them), else the best (about some).
    is_worst: bool = False
    # A p value of another test of the same claim; the larger of the two counts.
    p_other: float = 0.0
    # A mean over tasks, users and seeds, whose error is known at other sizes.
    is_mean: bool = True

    @property
    def p(self) -> float:
        """Returns the two-sided p of no effect; 1 where there is no interval."""
        if self.se is None or self.df is None:
            return 1.0
        p = max(self.p_other, meta.p_value(self.estimate, self.se, self.df))
        if self.largest is None or self.is_worst == (self.estimate > 0):
            return p
        return max(p, multiplicity.exceedance(self.largest, self.estimate / self.se))

    def interval(self, level: float) -> Interval | None:
        """Returns the interval at a level; where several pairs compete, of the best or the worst of them.

        That all pairs lie above a bound is shown by each of them alone (Berger
        1982), so the lower bound of the worst is Student's. Its upper bound pays for
        having been chosen: with the whole error of the interval for the smallest t of all
        pairs, and never less than Student's. Where pairs are alike only that bound
        can fail, where one stands apart each fails as often as Student's, so that
        the level holds (docs/adr/0029). Of the best pair it is the other way round.
        """
        if self.se is None or self.df is None:
            return None
        low = high = t_quantile(level, self.df)
        if self.largest is not None:
            chosen = max(low, multiplicity.critical(self.largest, level))
            low, high = (low, chosen) if self.is_worst else (chosen, high)
        return self.estimate - low * self.se, self.estimate + high * self.se

    def spread(self) -> Spread | None:
        """Returns mean variance components over tasks, for projections; None where unknown.

        Spread between seeds or between tasks sets a floor that more users cannot
        pass, so it counts only where a test shows it (F and Cochran's Q at 5 %):
        the noise of an estimate must not say that a claim cannot be settled.
        """
        known = [entry for entry in self.contrasts if entry.components is not None]
        if not known or not self.is_mean:
            return None
        user, seed, both = np.mean([entry.components for entry in known if entry.components], axis=0)
        users, items, seeds = (
            max(1, round(float(np.mean([getattr(entry, name) for entry in known]))))
            for name in ("n_users", "n_items", "n_seeds")
        )
        shown = _seeds_differ(float(seed), float(both), users, seeds, len(known))
        tasks_differ = self.heterogeneity_p is not None and self.heterogeneity_p <= SHOWN_AT
        return Spread(
            user=float(user),
            seed=float(seed) if shown else 0.0,
            both=float(both),
            n_users=users,
            n_items=items,
            n_seeds=seeds,
            tau2=self.tau2 if tasks_differ else 0.0,
            n_tasks=len(known),
        )

    def signs(self, alpha: float = 0.05) -> tuple[int, int]:
        """Counts tasks whose own effect is significant after Holm: positive, negative."""
        tested = [entry for entry in self.contrasts if entry.se is not None and entry.df is not None]
        values = [
            meta.p_value(e.estimate, e.se, e.df) for e in tested if e.se is not None and e.df is not None
        ]
        hits = [
            entry.estimate for entry, p in zip(tested, multiplicity.holm(values), strict=True) if p <= alpha
        ]
        return sum(value > 0 for value in hits), sum(value < 0 for value in hits)


def effect_of(contrasts: Sequence[Contrast]) -> Effect | None:
    """Pools contrasts over tasks; one task keeps its own interval; None when there is none.

    Tasks without a standard error cannot be weighed and are left out of the
    pooled figure as long as others have one.
    """
    weighed = [entry for entry in contrasts if entry.se is not None]
    if not contrasts:
        return None
    if not weighed:
        mean = float(np.mean([entry.estimate for entry in contrasts]))
        return Effect(mean, None, None, contrasts[0].unit, tuple(contrasts))
    first = weighed[0]
    if len(weighed) == 1:
        return Effect(first.estimate, first.se, first.df, first.unit, tuple(contrasts))
    variances = [entry.se**2 for entry in weighed if entry.se is not None]
    variances = meta.smoothed(variances, [entry.df or 1.0 for entry in weighed])
    found = meta.pool([entry.estimate for entry in weighed], variances)
    return Effect(
        estimate=found.estimate,
        se=found.se,
        df=found.df,
        unit=first.unit,
        contrasts=tuple(contrasts),
        prediction=found.prediction(),
        heterogeneity_p=found.heterogeneity_p,
        tau2=found.tau2,
    )


def extreme(effects: Sequence[Effect], residuals: Floats, *, largest: bool) -> Effect | None:
    """Returns the largest or the smallest of several effects with simultaneous bounds.

    Args:
        effects: one per pair of configurations.
        residuals: units x pairs, for the correlation of the effects.
        largest: the claim is about the best pair ("at least one"), else about
            the worst ("all of them").
    """
    usable = [effect for effect in effects if effect.se is not None and effect.df is not None]
    if not usable or len(usable) < len(effects):
        return None
    sign = 1.0 if largest else -1.0
    chosen = max(usable, key=lambda effect: sign * effect.estimate / (effect.se or 1.0))
    df = min(effect.df or 1.0 for effect in usable)
    drawn = multiplicity.largest_t(residuals, df)
    return replace(chosen, df=df, largest=drawn, is_worst=not largest)


def _seeds_differ(seed: float, both: float, users: int, seeds: int, tasks: int) -> bool:
    if seeds < 2 or seed <= 0:
        return False
    df_seeds = tasks * (seeds - 1)
    return both <= 0 or float(fdtrc(df_seeds, df_seeds * (users - 1), 1 + users * seed / both)) <= SHOWN_AT
