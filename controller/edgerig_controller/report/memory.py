"""How near the planner's memory formula came to the peaks that were measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from edgerig_controller.report.model import CellReport


@dataclass(frozen=True)
class PredictionReport:
    """Predicted over measured peak resident set, over the cells of each device that have both."""

    count: int
    median: float
    lowest: float
    highest: float


def prediction_report(cells: Iterable[CellReport]) -> PredictionReport | None:
    """Compares each cell's prediction with its largest run; None where no cell has both."""
    ratios = [
        cell.predicted_ram_bytes / device.ram.maximum
        for cell in cells
        if cell.predicted_ram_bytes is not None
        for device in cell.devices
        if device.ram is not None and device.ram.maximum
    ]
    if not ratios:
        return None
    return PredictionReport(len(ratios), statistics.median(ratios), min(ratios), max(ratios))
