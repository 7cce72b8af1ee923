"""How hard the tasks are, and whether the measures of that agree."""

from __future__ import annotations

from edgerig_controller.evidence.build import Evidence
from edgerig_controller.guidelines.difficulty import rank_correlation
from edgerig_controller.report.guide.model import HardnessTable

MEASURES = ("D1", "D2", "D3", "D4", "D5")
FEWEST_TASKS = 3


def hardness(evidence: Evidence) -> HardnessTable:
    """Returns D1 to D5 of every task that has any, and their rank correlations over tasks."""
    known = {task: found.measures for task, found in sorted(evidence.difficulty.items())}
    names = tuple(name for name in MEASURES if any(name in found for found in known.values()))
    rows = tuple((task, tuple(found.get(name) for name in names)) for task, found in known.items())
    pairs = rank_correlation(list(known.values())) if len(known) >= FEWEST_TASKS else {}
    users = sorted({len(found.development_users) for found in evidence.difficulty.values()} - {0})
    models = sorted({found.reference for found in evidence.difficulty.values()} - {""})
    note = f"Measured on {_range(users)} development users per task" if users else "As given by a file"
    note += f"; D1 by {', '.join(models)}, zero-shot." if models else "."
    return HardnessTable(names, rows, tuple((a, b, value) for (a, b), value in pairs.items()), note)


def _range(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
