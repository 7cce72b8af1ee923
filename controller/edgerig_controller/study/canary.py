"""The cell that every block of a study repeats, so that a device's drift shows: its canary.

A block is one repeat of one seed and holds every cell once, so each cell stands
in every block already; the canary is the one whose figures are watched. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerig.errors import Problem
from edgerig_controller.study import selectors
from edgerig_controller.study.prepared import Cell
from edgerig_controller.study.spec import Study
from edgerig_controller.study.yaml_source import Document


def choose(study: Study, cells: Sequence[Cell]) -> int | None:
    """Return the index of the canary: the first cell that can run and that the study's selector means.

    None under `quick`, whose figures are no evidence, and where no such cell can run.
    """
    if study.protocol == "quick":
        return None
    able = [cell for cell in cells if not cell.does_not_fit]
    meant = [cell for cell in able if selectors.matches(study.canary, cell.factors)] if study.canary else able
    return meant[0].index if meant else None


def check(
    study: Study, cells: Sequence[Mapping[str, Any]], levels: Mapping[str, Sequence[Any]], document: Document
) -> list[Problem]:
    """Find a selector that names no factor of the study, or means none of its cells."""
    if not study.canary:
        return []
    names = selectors.names_of({factor: level} for factor in levels for level in levels[factor])
    unknown = selectors.check(study.canary, ("canary",), names, document)
    if unknown or any(selectors.matches(study.canary, cell) for cell in cells):
        return unknown
    place = document.place(("canary",))
    return [Problem(place, "the canary matches no cell", "remove it, or mend its values")]
