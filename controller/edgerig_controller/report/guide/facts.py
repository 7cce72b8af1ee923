"""What a guideline found besides its effect, as sentences: choices, budgets, costs, break-even, shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgerig_controller.guidelines.guideline import Guideline
from edgerig_controller.guidelines.words import metric_name
from edgerig_controller.report.numbers import quantity, unit_of

SHOWN_AT = 0.10


def sentences(found: Guideline) -> tuple[str, ...]:
    """Words the facts of a guideline; those that need no words are left out."""
    if found.estimate is None:
        return ()
    said = [text for name, words in _WORDS.items() if name in found.facts and (text := words(found.facts))]
    return (*said, *_micro(found), *_places(found))


def _micro(found: Guideline) -> list[str]:
    """Says what weighing items instead of users equally would give, where it gives something else."""
    known = [place.micro for place in found.places if place.micro is not None]
    if not known or len(known) < len(found.places) or found.estimate is None:
        return []
    plain = sum(place.estimate for place in found.places) / len(found.places)
    micro = sum(known) / len(known)
    if abs(micro - plain) < found.delta / 10:
        return []
    return [f"with items instead of users weighed equally: {micro:+.3g} {found.unit}".replace("-", "−")]


def _mcnemar(facts: Mapping[str, Any]) -> str:
    said = [
        f"{check['won']} to {check['lost']} on {task} (p = {check['p']:.2g})"
        for task, check in facts["mcnemar"].items()
    ]
    return f"items that one side alone answers (first seed, exact McNemar): {', '.join(said)}"


def _places(found: Guideline) -> list[str]:
    """Says on how many tasks the sign is shown, and where (Benjamini and Hochberg at 10 %)."""
    if len(found.places) < 2 or not found.k_of_t[1]:
        return []
    shown = [place for place in found.places if place.p_bh is not None and place.p_bh <= SHOWN_AT]
    where = ", ".join(f"{place.task} ({'+' if place.estimate > 0 else '−'})" for place in shown)
    counted = (
        f"shown alone on {found.positive_tasks} of {len(found.places)} tasks for the claim and on "
        f"{found.negative_tasks} against it (Holm)"
    )
    return [f"{counted}; where, with one false in ten allowed: {where}" if where else counted]


def _chosen(facts: Mapping[str, Any]) -> str:
    if "factor" in facts:
        name = str(facts["factor"]).replace("_", " ")
        chosen, against = _amount(facts["chosen"]), _amount(facts["against"])
        return f"chosen on the other half: {name} {chosen}, against {against}"
    names = {"rag": "RAG", "lora": "LoRA"}
    return f"the better of the two on the other half: {names.get(str(facts['chosen']), facts['chosen'])}"


def _amount(value: Any) -> str:
    return "all" if value == "all" else f"{float(value):g}" if isinstance(value, (int, float)) else "all"


def _vertex(facts: Mapping[str, Any]) -> str:
    return "" if facts["vertex"] is None else f"the curve turns at difficulty D1 = {facts['vertex']:.2f}"


def _lines(facts: Mapping[str, Any]) -> str:
    lines = facts["two_lines"]
    if lines is None:
        return ""
    return f"two straight lines slope by {lines[0]:+.3g} left of it and {lines[1]:+.3g} right of it".replace(
        "-", "−"
    )


def _rivals(facts: Mapping[str, Any]) -> str:
    said = [
        f"{name} (r = {entry['r']:+.2f}, p = {entry['p']:.2g})" for name, entry in facts["rivals"].items()
    ]
    return f"simpler: a straight line over {' or over '.join(said)}".replace("-", "−") if said else ""


def _overfit(facts: Mapping[str, Any]) -> str:
    found = facts["overfit"]
    if found is None:
        return ""
    if found["flag"]:
        return (
            f"overfitting: the largest budget is {abs(found['points']):.3g} points worse than "
            f"{found['best_earlier']:g} samples"
        )
    return "no overfitting shown: the largest budget is not surely worse than the best earlier one"


def _ratio(found: Mapping[str, Any], unit: str) -> str:
    if found.get("estimate") is None:
        return str(found.get("note") or "not known")
    return quantity(found["estimate"], unit, found["low"], found["high"]).strip()


def _x95(facts: Mapping[str, Any]) -> str:
    return f"95 % of the gain at {_ratio(facts['x95_samples'], 'samples')}"


def _x95_costs(facts: Mapping[str, Any]) -> str:
    said = []
    for name, found in facts["x95"].items():
        figure, _, device = name.partition(" of ")
        said.append(f"{_ratio(found, unit_of(figure))} on {device}")
    return f"that is {', '.join(said)}"


def _costs(facts: Mapping[str, Any]) -> str:
    said = []
    for name, found in facts["cost_of_rank_64"].items():
        figure, _, place = name.partition(" on ")
        said.append(f"{metric_name(figure)} {found['percent']:+.3g} % on {place}".replace("-", "−"))
    return f"rank 64 against rank 8 takes {'; '.join(said)}" if said else ""


def _break_even(facts: Mapping[str, Any]) -> str:
    said = [
        f"{place}: {_ratio(found, 'requests')}"
        for place, found in sorted(facts["break_even_requests"].items())
    ]
    return f"training pays for itself after: {'; '.join(said)}" if said else ""


def _isotonic(facts: Mapping[str, Any]) -> str:
    found = facts["isotonic"]
    if not found["curves"]:
        return ""
    return (
        f"over {found['curves']} groups alike but for the model, quality departs from rising with size by "
        f"{found['largest_rest']:.3g} points at most"
    )


def _cross(facts: Mapping[str, Any]) -> str:
    return "" if facts["cross_fitted"] else "difficulty was not measured on other users than the effect"


def _left_out(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['left_out_not_planned_on_all_tasks']} configurations that were not planned on all tasks are "
        "left out"
    )


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "mcnemar": _mcnemar,
    "chosen": _chosen,
    "cold": lambda facts: f"users with little history: {facts['cold']}",
    "vertex": _vertex,
    "two_lines": _lines,
    "rivals": _rivals,
    "x95_samples": _x95,
    "x95": _x95_costs,
    "overfit": _overfit,
    "cost_of_rank_64": _costs,
    "break_even_requests": _break_even,
    "isotonic": _isotonic,
    "cross_fitted": _cross,
    "left_out_not_planned_on_all_tasks": _left_out,
}
