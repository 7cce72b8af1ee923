"""A prepared study as one JSON document: what would run, what it would take, and what is left out.

Every prediction says what it is based on; what is not known is null.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgerig_controller.study.prepared import Prediction, PreparedStudy

SCHEMA_VERSION = 1


def dry_run(study: PreparedStudy) -> dict[str, Any]:
    """Return the document that `edgerig run --dry-run --json` prints."""
    counts: dict[int, int] = {}
    for planned in study.trials:
        counts[planned.cell_index] = counts.get(planned.cell_index, 0) + 1
    cells = [
        {
            "index": cell.index,
            "label": cell.label,
            "factors": cell.factors,
            "trials": counts.get(cell.index, 0),
            "ram_peak_bytes": asdict(cell.ram_peak_bytes),
            "duration_s": asdict(cell.duration_s),
            "does_not_fit": cell.does_not_fit,
        }
        for cell in study.cells
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "name": study.name,
        "digest": study.digest,
        "devices": asdict(study.devices),
        "cells": cells,
        "trials": [
            {
                "cell": planned.cell_index,
                "seed": planned.trial.seed,
                "repeat": planned.trial.repeat,
                "digest": planned.trial.digest,
            }
            for planned in study.trials
        ],
        "exclusions": [asdict(exclusion) for exclusion in study.exclusions],
        "claims": list(study.claims),
        "totals": {
            "cells": len(study.cells),
            "trials": len(study.trials),
            "excluded": len(study.exclusions),
            "does_not_fit": sum(1 for cell in study.cells if cell.does_not_fit),
            "duration_s": asdict(_total_duration(study, counts)),
            "ram_peak_bytes": asdict(_largest_peak(study)),
        },
    }


def _total_duration(study: PreparedStudy, counts: dict[int, int]) -> Prediction:
    """Adds up the cells that will run; one unknown cell makes the sum unknown."""
    running = [cell for cell in study.cells if not cell.does_not_fit]
    values = [
        None if cell.duration_s.value is None else cell.duration_s.value * counts.get(cell.index, 0)
        for cell in running
    ]
    known = [value for value in values if value is not None]
    if not running or len(known) < len(values):
        return Prediction(None, "unknown")
    return Prediction(sum(known), "measured")


def _largest_peak(study: PreparedStudy) -> Prediction:
    """Takes the largest peak of the cells that will run; one unknown cell makes it unknown."""
    peaks = [cell.ram_peak_bytes for cell in study.cells if not cell.does_not_fit]
    values = [peak.value for peak in peaks if peak.value is not None]
    if not peaks or len(values) < len(peaks):
        return Prediction(None, "unknown")
    return Prediction(max(values), "formula")
