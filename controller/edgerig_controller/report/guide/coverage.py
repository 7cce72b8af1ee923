"""The design matrix with every cell's state, and every planned run as a line of its own.

Nothing that failed, was left out or never ran may vanish from here: the other
sections show what could be estimated, this one shows what was asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from edgerig_controller.evidence.build import Evidence
from edgerig_controller.report.data import factor_words
from edgerig_controller.report.guide.model import Coverage, CoverageCell, CoverageRow, RawRun


def coverage(evidence: Evidence) -> Coverage:
    """Returns configurations x tasks with the states of their runs."""
    states: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in evidence.runs:
        states[(evidence.config_of[run.trial_id], run.task)][run.state].append(run.attempt_id)
    tasks = tuple(sorted({run.task for run in evidence.runs}))
    rows = tuple(
        CoverageRow(
            config.config_id,
            tuple(
                CoverageCell(
                    tuple(
                        (state, len(ids), tuple(sorted(filter(None, ids))))
                        for state, ids in sorted(states[(config.config_id, task)].items())
                    )
                )
                for task in tasks
            ),
        )
        for config in evidence.records.configs
    )
    excluded = {
        (_words(entry.get("factors") or {}), str(entry.get("reason", "")), str(entry.get("source", "")))
        for data in evidence.studies
        for entry in data.study.exclusions
    }
    return Coverage(tasks, rows, tuple(sorted(excluded)))


def _words(factors: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {factor_words(value)}" for name, value in factors.items())


def raw_runs(evidence: Evidence) -> tuple[RawRun, ...]:
    """Lists every planned run; those with an attempt have an anchor."""
    return tuple(
        RawRun(
            anchor=anchor(run.attempt_id) if run.attempt_id else "",
            attempt_id=run.attempt_id,
            study=run.study,
            config=evidence.config_of[run.trial_id],
            task=run.task,
            seed=run.seed,
            repeat=run.repeat,
            device=run.device_id,
            state=run.state,
            quality=sum(row[2] for row in run.scores) / len(run.scores) if run.scores else None,
            environment=run.environment_digest[:8],
            message=run.failure_message,
        )
        for run in evidence.runs
    )


def anchor(attempt_id: str) -> str:
    """Returns the anchor of an attempt's line: letters, digits, dots and dashes only."""
    return "run-" + "".join(sign if sign.isalnum() or sign in "-." else "_" for sign in attempt_id)
