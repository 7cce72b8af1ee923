"""Puts the report of guidelines together. Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Sequence

from edgerig_controller.evidence.judge import REGISTERED, Guide
from edgerig_controller.guidelines.contamination import Contamination
from edgerig_controller.guidelines.utility import Utility
from edgerig_controller.report.guide.coverage import coverage, raw_runs
from edgerig_controller.report.guide.curves import budgets, histories, interactions
from edgerig_controller.report.guide.decisions import decisions
from edgerig_controller.report.guide.fronts import fronts
from edgerig_controller.report.guide.hard import hardness
from edgerig_controller.report.guide.model import GuideReport
from edgerig_controller.report.guide.published import published
from edgerig_controller.report.guide.rulebook import rules
from edgerig_controller.report.guide.threats import LIMITS, threats


def build(
    guide: Guide,
    *,
    now_unix_s: float,
    utility: Utility | None = None,
    contamination: Sequence[Contamination] = (),
) -> GuideReport:
    """Builds the report.

    Args:
        guide: the judged claims with their evidence.
        now_unix_s: when it is written.
        utility: limits and prices that a person declared; fronts and the rule keep to them.
        contamination: what the probe said of models and tasks, where it was run.
    """
    evidence = guide.evidence
    return GuideReport(
        title=", ".join(dict.fromkeys(data.study.name for data in evidence.studies)),
        written_unix_s=now_unix_s,
        guide=guide,
        tiers=decisions(evidence),
        coverage=coverage(evidence),
        fronts=fronts(evidence, utility),
        budgets=budgets(evidence),
        histories=histories(evidence),
        interactions=interactions(evidence),
        rules=rules(evidence, utility),
        utility=utility or Utility(),
        hardness=hardness(evidence),
        contamination=tuple(contamination),
        published=published(guide.family(REGISTERED)),
        threats=threats(guide, contamination),
        limits=LIMITS,
        notices=guide.notices,
        raw=raw_runs(evidence),
    )
