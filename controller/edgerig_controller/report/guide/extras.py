"""What guidelines.json holds beside the guidelines: fronts, the rule, the contamination probe."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgerig_controller.report.guide.model import FrontPlot, GuideReport


def document(report: GuideReport) -> dict[str, Any]:
    """Returns the whole document guidelines.json (`guidelines.document.DOCUMENT_SCHEMA`)."""
    return {
        **report.guide.document(now_unix_s=report.written_unix_s),
        "utility": {"words": report.rules.utility, **asdict(report.utility)},
        "fronts": [_front(plot) for plot in report.fronts.plots],
        "rule": _rule(report),
        "contamination": [asdict(row) for row in report.contamination],
    }


def _front(plot: FrontPlot) -> dict[str, Any]:
    return {
        "device": plot.device,
        "task": plot.task,
        "axes": list(plot.axes),
        "members": [
            {
                "config": point.config,
                "state": point.state,
                "probability": point.probability,
                "quality_points": asdict(point.quality),
                plot.cost: asdict(point.cost),
                "emulated": point.emulated,
                "run_ids": list(point.run_ids),
            }
            for point in plot.points
        ],
        "left_out": [{"config": name, "reason": why} for name, why in plot.left_out],
        "hypervolume_reference": {entry.axis: entry.value for entry in plot.reference},
        "hypervolumes": [asdict(volume) for volume in plot.volumes],
        "probability_best": dict(plot.best),
    }


def _rule(report: GuideReport) -> dict[str, Any]:
    rule = report.rules
    return {
        "published": rule.published,
        "words": rule.words,
        "fixed_action": rule.fixed_action,
        "contexts": rule.contexts,
        "stability": rule.stability,
        "unavailable_reason": rule.empty,
        "validations": [
            {
                "left_out": left,
                "gain_points": None if gain is None else asdict(gain),
                "regret_rule": own,
                "regret_fixed": fixed,
                "regret_random": chance,
            }
            for left, gain, own, fixed, chance in rule.validations
        ],
    }
