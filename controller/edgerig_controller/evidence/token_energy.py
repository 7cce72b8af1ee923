"""Runs of studies with different prompt and answer lengths, as a designed regression wants them.

Runs of one device, boundary and sensor belong together when every factor of their
cell is the same; only the lengths of the inference profile differ. Pure; the
arithmetic is in guidelines.phase_energy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from edgerig_controller.guidelines.phase_energy import DesignedRun, PhaseEnergy, fit
from edgerig_controller.report.data import StudyData, factor_words
from edgerig_controller.store.rows import AttemptRow, MeasurementRow

_PHASE = "inference"
Key = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class TokenEnergy:
    """Energy per prompt and output token of one configuration on one device at one boundary."""

    cell: str
    device_id: str
    boundary: str
    source: str
    batch: int
    run_count: int
    fitted: PhaseEnergy

    def document(self) -> dict[str, Any]:
        """Returns the same as JSON."""
        return {
            "cell": self.cell,
            "device": self.device_id,
            "boundary": self.boundary,
            "source": self.source,
            "batch": self.batch,
            "runs": self.run_count,
            "idle_power_w": self.fitted.idle_power_w,
            "coefficients": [
                {
                    "name": s.name,
                    "unit": s.unit,
                    "value": s.estimate,
                    "se": s.se,
                    "low": s.low,
                    "high": s.high,
                }
                for s in self.fitted.slopes
            ],
            "df": self.fitted.df,
            "r_squared": self.fitted.r_squared if self.fitted.slopes else None,
            "note": self.fitted.note,
        }


@dataclass(frozen=True)
class _Found:
    run: DesignedRun
    idle_w: float | None


def token_energies(
    studies: Iterable[StudyData], *, fit_idle: bool = False, interaction: bool = False
) -> list[TokenEnergy]:
    """Fits the energy of tokens for every configuration, device and sensor that studies hold.

    Idle power is taken off as measured (the mean over the runs) where every run
    has it, unless it is to be fitted. A block is one seed and repeat.
    """
    groups: dict[Key, list[_Found]] = defaultdict(list)
    for data in studies:
        for key, one in _runs(data):
            groups[key].append(one)
    made = []
    for (cell, device_id, boundary, source, batch), runs in sorted(groups.items()):
        idles = [one.idle_w for one in runs if one.idle_w is not None]
        idle_w = fmean(idles) if len(idles) == len(runs) and not fit_idle else None
        fitted = fit([one.run for one in runs], idle_power_w=idle_w, interaction=interaction)
        made.append(TokenEnergy(cell, device_id, boundary, source, batch, len(runs), fitted))
    return made


def _runs(data: StudyData) -> Iterable[tuple[Key, _Found]]:
    inference = dict(data.study.resolved.get("inference") or {})
    batch = int(inference.get("batch", 1))
    cells = {cell.cell_index: _words(cell.factors) for cell in data.cells}
    figures: dict[str, list[MeasurementRow]] = defaultdict(list)
    for row in data.measurements:
        figures[row.attempt_id].append(row)
    for attempt in data.results():
        mine = figures[attempt.attempt_id]
        requests = next((r.sample_count for r in mine if r.name == "ttft_s" and r.statistic == "mean"), 0)
        duration_s = next((r.value for r in mine if r.name == "duration_s" and r.phase == _PHASE), None)
        if attempt.status != "ok" or not requests or not duration_s:
            continue
        for row in mine:
            if row.name != "energy_j" or row.phase != _PHASE or row.value is None or row.boundary == "rail":
                continue
            run = DesignedRun(
                energy_j=row.value,
                duration_s=duration_s,
                tokens_in=requests * batch * int(inference.get("prompt_tokens", 0)),
                # The first token of a request is the prefill's.
                tokens_out=requests * batch * (int(inference.get("new_tokens", 1)) - 1),
                block=_block(attempt),
            )
            key = (cells[attempt.cell_index], attempt.device_id, row.boundary, row.source, batch)
            yield key, _Found(run, _idle_w(mine, row.source))


def _idle_w(rows: Sequence[MeasurementRow], source: str) -> float | None:
    return next((row.value for row in rows if row.name == "idle_power_w" and row.source == source), None)


def _block(attempt: AttemptRow) -> int:
    """Numbers the seeds and repeats; no study has a million repeats."""
    return attempt.seed * 1_000_000 + attempt.repeat


def _words(factors: dict[str, Any]) -> str:
    named = {name: factor_words(value) for name, value in sorted(factors.items())}
    return ", ".join(f"{name} {words}" for name, words in named.items())
