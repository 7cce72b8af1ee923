"""Checks pre-registered claims against the cells of a study and fills in what they leave open.

Says nothing of whether a claim is true; that is the guideline engine's part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgerig.errors import Problem
from edgerig_controller.study import selectors
from edgerig_controller.study.catalog import Catalog
from edgerig_controller.study.problems import nearest
from edgerig_controller.study.spec import Claim
from edgerig_controller.study.yaml_source import Document, Path

# A measured figure carries its unit in its name; which figures exist depends on the device.
_FIGURE = re.compile(r"[a-z][a-z0-9_]*_(s|j|w|bytes|per_s|ratio|c|hz|v|a)|j_per_[a-z_]*[a-z]")
# A figure of all ratings together: recomputed from their item scores.
RMSE, RATING = "rmse", "rating"


def resolve(claim: Claim, catalog: Catalog) -> dict[str, Any]:
    """Return a checked claim with its direction filled in, as it is stored."""
    metric = catalog.metrics.get(claim.metric)
    known = "" if metric is None else "larger" if metric.larger_is_better else "smaller"
    if claim.metric == RMSE:
        known = "smaller"
    return {**claim.model_dump(mode="json"), "direction": claim.direction or known}


def check(
    claims: Sequence[Claim],
    cells: Sequence[Mapping[str, Any]],
    metrics_of_tasks: Mapping[str, str],
    catalog: Catalog,
    document: Document,
) -> list[Problem]:
    """Find claims that nothing in the study could ever answer.

    Args:
        claims: as the file states them.
        cells: factors of the cells that will run.
        metrics_of_tasks: the item score of each task.
        catalog: which metrics there are.
        document: the file, for the places.
    """
    names = selectors.names_of(cells)
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for index, claim in enumerate(claims):
        path: Path = ("claims", index)
        if first.setdefault(claim.id, index) != index:
            place = document.place((*path, "id"))
            problems.append(Problem(place, f"the claim `{claim.id}` was made before", "give it another id"))
        sides = {}
        for side, selector in (("better", claim.better), ("than", claim.than)):
            problems += selectors.check(selector, (*path, side), names, document)
            sides[side] = {n for n, cell in enumerate(cells) if selectors.matches(selector, cell)}
            if not sides[side] and set(selector) <= names:
                message = f"`{side}` of the claim `{claim.id}` matches no cell of this study"
                problems.append(
                    Problem(document.place((*path, side)), message, "compare it with the factors")
                )
        if sides["better"] & sides["than"]:
            message = f"a cell is on both sides of the claim `{claim.id}`"
            problems.append(Problem(document.place(path), message, "narrow `better` or `than`"))
        problems += _metric_problems(claim, path, metrics_of_tasks, catalog, document)
    return problems


def _metric_problems(
    claim: Claim, path: Path, metrics_of_tasks: Mapping[str, str], catalog: Catalog, document: Document
) -> list[Problem]:
    place = document.place((*path, "metric"))
    metric = catalog.metrics.get(claim.metric)
    if metric is not None:
        return _score_problems(claim, place, metrics_of_tasks, document.place((*path, "direction")), catalog)
    if claim.metric == RMSE:
        return _rmse_problems(claim, place, metrics_of_tasks, document.place((*path, "direction")))
    if not _FIGURE.fullmatch(claim.metric):
        message = f"unknown metric `{claim.metric}`"
        return [
            Problem(place, message, nearest(claim.metric, [*catalog.metrics, RMSE, "ttft_s", "energy_j"]))
        ]
    if claim.direction is None:
        message = f"`direction` is missing: is a larger or a smaller `{claim.metric}` better?"
        return [Problem(document.place(path), message, "write direction: smaller, or direction: larger")]
    return []


def _rmse_problems(
    claim: Claim, place: str, metrics_of_tasks: Mapping[str, str], direction_place: str
) -> list[Problem]:
    problems = []
    if RATING not in metrics_of_tasks.values():
        problems.append(Problem(place, "no task of this study has ratings", "RMSE is that of ratings"))
    if claim.direction == "larger":
        problems.append(Problem(direction_place, "of `rmse` the smaller is better", "leave `direction` out"))
    return problems


def _score_problems(
    claim: Claim, place: str, metrics_of_tasks: Mapping[str, str], direction_place: str, catalog: Catalog
) -> list[Problem]:
    problems = []
    if claim.metric not in metrics_of_tasks.values():
        scored = ", ".join(f"{task} by {metric}" for task, metric in metrics_of_tasks.items())
        problems.append(
            Problem(place, f"no task of this study is scored by `{claim.metric}`", f"scored: {scored}")
        )
    wrong = "smaller" if catalog.metrics[claim.metric].larger_is_better else "larger"
    if claim.direction == wrong:
        message = f"of `{claim.metric}` the {'larger' if wrong == 'smaller' else 'smaller'} is better"
        problems.append(Problem(direction_place, message, "leave `direction` out"))
    return problems
