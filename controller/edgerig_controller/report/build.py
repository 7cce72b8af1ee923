"""From the rows of a study to its report: who is compared with whom, what is missing and why.

Pure: rows in, `Report` out, the clock passed in. The arithmetic is in
guidelines.estimate and report.aggregate.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edgerig.version import VERSION
from edgerig.words import RESULT_FAILURES
from edgerig_controller.guidelines.estimate import ScoreEstimate, macro_mean, paired_contrast
from edgerig_controller.guidelines.records import Records
from edgerig_controller.report.aggregate import Figure, figures, largest_over_phases
from edgerig_controller.report.data import StudyData, factor_words, protocol
from edgerig_controller.report.drift import canary_report
from edgerig_controller.report.model import (
    CellReport,
    Contrast,
    CoverageEntry,
    CoverageRow,
    DeviceFigures,
    Failure,
    Report,
    Unavailable,
    WorkerKind,
)
from edgerig_controller.report.units import units_report
from edgerig_controller.report.weights import weights
from edgerig_controller.store.rows import AttemptRow, CellRow, MeasurementRow, ScoreRow, TrialRow

SCHEMA_VERSION = 1
# Factors with a `none` that everything else is compared with.
CONTRAST_FACTORS = ("method", "compression")
ENERGY_PHASE = "inference"
_NUMBER = re.compile(r"\d+(\.\d+)?")


def build(data: StudyData, *, now_unix_s: float) -> Report:
    """Builds the report of a study as it stands, finished or not."""
    results = data.results()
    records = _records_by_cell(data.scores, results)
    grouped, metrics = _by_cell(data, results), _metrics(data)
    cells = tuple(_cell(cell, grouped[cell.cell_index], records, metrics) for cell in data.cells)
    study = data.study
    return Report(
        schema_version=SCHEMA_VERSION,
        study_id=study.study_id,
        name=study.name,
        digest=study.digest,
        state=study.state,
        protocol=protocol(study),
        created_unix_s=study.created_unix_s,
        finished_unix_s=study.finished_unix_s,
        written_unix_s=now_unix_s,
        edgerig_version=VERSION,
        seeds=tuple(sorted({trial.seed for trial in data.trials})),
        trial_count=len(data.trials),
        ok_count=sum(1 for row in results if row.status == "ok"),
        failed_count=sum(1 for row in results if row.status != "ok"),
        open_count=sum(1 for trial in data.trials if trial.state in ("queued", "leased")),
        settled_count=sum(1 for trial in data.trials if trial.state == "settled"),
        reused_count=sum(1 for row in results if row.reused),
        indicative=protocol(study) == "quick"
        or any("indicative" in row.flags for row in data.measurements)
        # A study that asks for less than its protocol has not kept it.
        or any("shortened_protocol" in row.flags for row in results),
        instrument_check=any(
            str(cell.factors.get("model", "")).startswith("starter/") for cell in data.cells
        ),
        cells=cells,
        contrasts=tuple(_contrasts(data.cells, cells, records)),
        coverage=_coverage(data, grouped),
        exclusions=tuple(_exclusion(entry) for entry in study.exclusions),
        failures=tuple(failure for cell in cells for failure in cell.failures),
        unavailable=_unavailable(cells),
        workers=_workers(results),
        claims=tuple(_claim(claim) for claim in study.claims),
        models=_digests(study.resolved.get("resolved_models"), "digest"),
        tasks=_digests(study.resolved.get("resolved_tasks"), "data"),
        inference=dict(study.resolved.get("inference") or {}),
        canary=canary_report(data),
        units=units_report(data),
    )


def _metrics(data: StudyData) -> dict[str, str]:
    """Maps the names of tasks to the names of their item scores."""
    tasks = data.study.resolved.get("resolved_tasks") or {}
    return {name: str(task.get("metric") or "score") for name, task in tasks.items()}


def _digests(resolved: Mapping[str, Any] | None, key: str) -> dict[str, str]:
    """Maps names to the sha256 of what they were resolved to; '' for what lies on the device only."""
    found = {}
    for name, facts in (resolved or {}).items():
        value = facts.get(key)
        found[name] = str(value.get("sha256", "") if isinstance(value, dict) else value or "")
    return found


def _claim(claim: Mapping[str, Any]) -> str:
    """Words a registered claim."""
    sides = [
        " and ".join(f"{name} {value}" for name, value in (claim.get(side) or {}).items())
        for side in ("better", "than")
    ]
    text = f"{claim.get('id', '')}: {sides[0]} better than {sides[1]} in {claim.get('metric', '')}"
    return f"{text} by {claim['margin']:g}" if claim.get("margin") else text


def _records_by_cell(scores: Iterable[ScoreRow], results: Sequence[AttemptRow]) -> dict[int, Records]:
    usable = {row.attempt_id for row in results if row.status == "ok"}
    rows: dict[int, list[tuple[str, str, int, float]]] = defaultdict(list)
    for row in scores:
        if row.attempt_id in usable:
            rows[row.cell_index].append((row.user_id, row.item_id, row.seed, row.score))
    return {index: Records.of(found) for index, found in rows.items()}


@dataclass
class _CellRows:
    """The rows of one cell; studies can have hundreds of cells, so they are sorted out once."""

    results: list[AttemptRow] = field(default_factory=list)
    measurements: list[MeasurementRow] = field(default_factory=list)
    trials: list[TrialRow] = field(default_factory=list)


def _by_cell(data: StudyData, results: Iterable[AttemptRow]) -> dict[int, _CellRows]:
    found: dict[int, _CellRows] = {cell.cell_index: _CellRows() for cell in data.cells}
    for result in results:
        found[result.cell_index].results.append(result)
    for measurement in data.measurements:
        found[measurement.cell_index].measurements.append(measurement)
    for trial in data.trials:
        found[trial.cell_index].trials.append(trial)
    return found


def _cell(
    cell: CellRow, rows: _CellRows, records: Mapping[int, Records], metrics: Mapping[str, str]
) -> CellReport:
    mine, measured = rows.results, rows.measurements
    usable = [row for row in mine if row.status == "ok"]
    devices = tuple(
        _device_figures(device_id, [row for row in usable if row.device_id == device_id], measured)
        for device_id in sorted({row.device_id for row in usable})
    )
    flags = {flag for row in mine for flag in row.flags} | {flag for row in measured for flag in row.flags}
    return CellReport(
        index=cell.cell_index,
        label=cell.label,
        factors={name: factor_words(value) for name, value in cell.factors.items()},
        trial_count=len(rows.trials),
        ok_count=len(usable),
        metric=metrics.get(str(cell.factors.get("task", "")), "score"),
        quality=_within(macro_mean(records.get(cell.cell_index, Records({}))), 0.0, 1.0),
        devices=devices,
        failures=_failures(cell, mine),
        flags=tuple(sorted(flags)),
        predicted_ram_bytes=cell.predicted_ram_bytes,
        weights=weights(mine),
    )


def _device_figures(
    device_id: str, attempts: Sequence[AttemptRow], measurements: Sequence[MeasurementRow]
) -> DeviceFigures:
    found = figures(attempts, measurements)
    energy = [row for row in found if row.name == "energy_j" and row.phase == ENERGY_PHASE]
    without_value = {reason for row in energy if not row.values for reason in row.unavailable}
    measured = tuple(row for row in energy if row.values)
    reasons = () if measured else tuple(sorted(without_value)) or ("no run reported an energy figure",)
    return DeviceFigures(
        device_id=device_id,
        run_count=len(attempts),
        ttft=_pick(found, "ttft_s", statistic="p50"),
        decode=_pick(found, "decode_tokens_per_s"),
        ram=largest_over_phases(row for row in found if row.name == "rss_peak_bytes"),
        train=_pick(found, "duration_s", phase="train"),
        energy=measured,
        energy_unavailable=reasons,
        everything=found,
    )


def _pick(found: Sequence[Figure], name: str, *, statistic: str = "", phase: str = "") -> Figure | None:
    for row in found:
        if row.name == name and statistic in ("", row.statistic) and phase in ("", row.phase):
            return row
    return None


def _failures(cell: CellRow, results: Sequence[AttemptRow]) -> tuple[Failure, ...]:
    groups: dict[tuple[str, str, str, str], list[AttemptRow]] = defaultdict(list)
    for row in results:
        if row.status != "ok":
            groups[(row.status, row.failure_class, row.failure_phase, row.failure_message)].append(row)
    return tuple(
        Failure(
            cell_index=cell.cell_index,
            cell=cell.label,
            status=status,
            failure_class=failure_class,
            phase=phase,
            message=message,
            is_result=failure_class in RESULT_FAILURES,
            runs=tuple(run_words(row.seed, row.repeat) for row in rows),
            attempt_ids=tuple(row.attempt_id for row in rows),
            last_available_bytes=_smallest(row.last_available_bytes for row in rows),
            last_rss_bytes=max((row.last_rss_bytes or 0 for row in rows), default=0) or None,
        )
        for (status, failure_class, phase, message), rows in sorted(groups.items())
    )


def _smallest(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def run_words(seed: int, repeat: int) -> str:
    """Names a run inside its cell: `seed 1`, or `seed 1 #2` for a repeat."""
    return f"seed {seed}" if repeat == 1 else f"seed {seed} #{repeat}"


def _contrasts(
    rows: Sequence[CellRow], cells: Sequence[CellReport], records: Mapping[int, Records]
) -> Iterable[Contrast]:
    report_of = {cell.index: cell for cell in cells}
    for factor in CONTRAST_FACTORS:
        baselines = {
            _identity(row.factors, without=factor): row for row in rows if _is_none(row.factors.get(factor))
        }
        for row in rows:
            baseline = baselines.get(_identity(row.factors, without=factor))
            if baseline is None or baseline.cell_index == row.cell_index:
                continue
            cell = report_of[row.cell_index]
            difference = paired_contrast(
                records.get(row.cell_index, Records({})), records.get(baseline.cell_index, Records({}))
            )
            yield Contrast(
                factor=factor,
                cell_index=row.cell_index,
                cell=row.label,
                baseline_index=baseline.cell_index,
                baseline=baseline.label,
                treatment=cell.factors[factor],
                metric=cell.metric,
                difference=_within(difference, -1.0, 1.0),
            )


def _within(found: ScoreEstimate, least: float, most: float) -> ScoreEstimate:
    """Cuts an interval at the ends of the scale: no truth lies beyond them, so none is lost."""
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(found.low, least), high=min(found.high, most))


def _identity(factors: Mapping[str, Any], *, without: str) -> str:
    kept = {name: value for name, value in factors.items() if name != without}
    compression = kept.get("compression")
    if without == "method" and isinstance(compression, dict):
        # With the method none there is one order of compression and tuning: it is the baseline of both.
        kept["compression"] = {name: value for name, value in compression.items() if name != "order"}
    return json.dumps(kept, sort_keys=True, default=str)


def _is_none(value: Any) -> bool:
    return value == "none" or (isinstance(value, dict) and value.get("kind") == "none")


def _coverage(data: StudyData, grouped: Mapping[int, _CellRows]) -> tuple[CoverageRow, ...]:
    words = {
        "queued": "waiting",
        "leased": "running",
        "cancelled": "cancelled",
        "settled": "settled",
        "done": "no result",
    }
    rows = []
    for cell in data.cells:
        mine = grouped[cell.cell_index]
        by_trial = {row.trial_id: row for row in mine.results}
        entries = []
        for trial in sorted(mine.trials, key=lambda found: (found.seed, found.repeat)):
            result = by_trial.get(trial.trial_id)
            state = words[trial.state]
            if result is not None:
                state = result.failure_class or result.status
            entries.append(
                CoverageEntry(
                    trial.seed, trial.repeat, state, result.attempt_id if result else "", trial.reused
                )
            )
        rows.append(CoverageRow(cell.cell_index, cell.label, tuple(entries)))
    return tuple(rows)


def _exclusion(entry: Mapping[str, Any]) -> dict[str, str]:
    factors = entry.get("factors") or {}
    words = ", ".join(f"{name}: {factor_words(value)}" for name, value in factors.items())
    return {"cell": words, "reason": str(entry.get("reason", "")), "source": str(entry.get("source", ""))}


def _unavailable(cells: Sequence[CellReport]) -> tuple[Unavailable, ...]:
    """Gathers missing figures by reason; reasons that differ only in their numbers are one."""
    groups: dict[str, _Gap] = defaultdict(_Gap)
    for cell in cells:
        for device in cell.devices:
            for figure in device.everything:
                for reason in figure.unavailable:
                    gap = groups[_NUMBER.sub("#", reason)]
                    gap.reasons.add(reason)
                    gap.names.add(figure.name)
                    gap.phases.add(figure.phase or "attempt")
                    gap.cells.add(cell.index)
    found = [
        Unavailable(
            names=tuple(sorted(gap.names)),
            phases=tuple(sorted(gap.phases)),
            reasons=tuple(sorted(gap.reasons)),
            cell_count=len(gap.cells),
        )
        for gap in groups.values()
    ]
    return tuple(sorted(found, key=lambda entry: entry.names))


@dataclass
class _Gap:
    names: set[str] = field(default_factory=set)
    phases: set[str] = field(default_factory=set)
    reasons: set[str] = field(default_factory=set)
    cells: set[int] = field(default_factory=set)


def _workers(results: Sequence[AttemptRow]) -> tuple[WorkerKind, ...]:
    groups: dict[tuple[str, str], list[AttemptRow]] = defaultdict(list)
    for row in results:
        if row.environment_digest:
            groups[(row.device_id, row.environment_digest)].append(row)
    shared = ("device", "python", "torch", "transformers", "peft", "dtype", "threads")
    found = []
    for (device_id, environment_digest), rows in sorted(groups.items()):
        facts: dict[str, str] = {}
        for name in shared:
            values = sorted({str(row.worker[name]) for row in rows if row.worker.get(name)})
            if values:
                facts[name] = ", ".join(values)
        if repeated := _repeated_trainings(rows):
            facts["repeated trainings"] = repeated
        found.append(WorkerKind(device_id, environment_digest, len(rows), facts))
    return tuple(found)


def _repeated_trainings(rows: Sequence[AttemptRow]) -> str:
    """Says how many trainings of a cell and seed had equal losses to the last bit; '' without repeats."""
    paths: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in rows:
        if path := row.worker.get("loss_trajectory_sha256"):
            paths[row.cell_index, row.seed].append(str(path))
    repeated = [found for found in paths.values() if len(found) > 1]
    if not repeated:
        return ""
    alike = sum(len(set(found)) == 1 for found in repeated)
    return f"with equal losses to the last bit: {alike} of {len(repeated)}"
