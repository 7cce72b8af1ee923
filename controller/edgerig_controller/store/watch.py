"""What a watcher of a study is shown, read in one go.

Knows nothing of connections: which devices are there is the caller's to add.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from edgerig_controller.fleet.leases import OPEN
from edgerig_controller.store import reads, tables
from edgerig_controller.store.rows import StudyRow
from edgerig_controller.store.studies import require
from edgerig_controller.store.tables import OPEN_WORDS
from edgerig_controller.store.units import Units, of_study


@dataclass(frozen=True)
class Running:
    """An attempt that runs, in words."""

    attempt_id: str
    device_id: str
    study_id: str
    cell_label: str
    seed: int
    repeat: int


@dataclass(frozen=True)
class Progress:
    """Where a study stands."""

    study: StudyRow
    queued_count: int
    leased_count: int
    running: tuple[Running, ...]
    # Mean of lease to result, of the study's own finished attempts; None before the first.
    finished_mean_s: float | None
    # Sum over the trials that are still to run; None unless each has a prediction, or where that is
    # not asked for because some have finished.
    predicted_s: float | None
    device_names: tuple[str, ...]
    device_labels: tuple[str, ...]
    # One for each trial that was carried away in a batch and is not back: the device.
    batch_devices: tuple[str, ...] = ()
    # Set where it runs on several devices of one type.
    units: Units | None = None

    @property
    def finished(self) -> bool:
        return self.queued_count == 0 and self.leased_count == 0


@dataclass(frozen=True)
class Load:
    """How much there is to do in the whole fleet, and what runs now."""

    active_study_ids: tuple[str, ...]
    open_trial_count: int
    open_attempt_count: int
    running: tuple[Running, ...]


def progress(session: Session, study_id: str) -> Progress:
    """Reads where a study stands.

    Raises:
        NotFoundError: there is no such study.
    """
    study = require(session, study_id)
    finished_mean_s = _finished_mean_s(session, study_id)
    states = _states(session, study_id)
    return Progress(
        study=reads.find_study(session, study.digest),
        queued_count=states.get("queued", 0),
        leased_count=states.get("leased", 0),
        running=tuple(item for item in running(session) if item.study_id == study_id),
        finished_mean_s=finished_mean_s,
        predicted_s=_predicted_s(session, study_id) if finished_mean_s is None else None,
        device_names=tuple(study.device_names),
        device_labels=tuple(study.device_labels),
        units=of_study(session, study_id, study.units) if study.units > 1 else None,
        batch_devices=_in_batches(session, study_id) if states.get("leased") else (),
    )


def load(session: Session) -> Load:
    """Reads how much is active."""
    active = session.scalars(select(tables.Study.study_id).where(tables.Study.state == "active")).all()
    open_trials = session.scalar(
        select(func.count()).select_from(tables.Trial).where(tables.Trial.state.in_(("queued", "leased")))
    )
    open_attempts = session.scalar(
        select(func.count()).select_from(tables.Attempt).where(tables.Attempt.state.in_(OPEN))
    )
    return Load(tuple(active), open_trials or 0, open_attempts or 0, tuple(running(session)))


@dataclass(frozen=True)
class Activity:
    """What is active, and which devices measure: cheap to read, however large the fleet."""

    active_study_ids: tuple[str, ...]
    measuring: frozenset[str]


_ACTIVE = select(tables.Study.study_id).where(tables.Study.state == "active")
_MEASURING = select(tables.Attempt.device_id).where(text(OPEN_WORDS), tables.Attempt.state == "running")


def activity(session: Session) -> Activity:
    """Reads what is active and who measures."""
    return Activity(tuple(session.scalars(_ACTIVE)), frozenset(session.scalars(_MEASURING)))


def running(session: Session) -> list[Running]:
    """Lists the attempts that devices said they run."""
    query = (
        select(
            tables.Attempt.attempt_id,
            tables.Attempt.device_id,
            tables.Trial.study_id,
            tables.Cell.label,
            tables.Trial.seed,
            tables.Trial.repeat,
        )
        .join(tables.Trial, tables.Trial.trial_id == tables.Attempt.trial_id)
        .join(
            tables.Cell,
            (tables.Cell.study_id == tables.Trial.study_id)
            & (tables.Cell.cell_index == tables.Trial.cell_index),
        )
        .where(text(f"attempt.{OPEN_WORDS}"), tables.Attempt.state == "running")
        .order_by(tables.Attempt.device_id)
    )
    return [Running(*row) for row in session.execute(query)]


def _in_batches(session: Session, study_id: str) -> tuple[str, ...]:
    query = (
        select(tables.Attempt.device_id)
        .join(tables.Trial, tables.Trial.trial_id == tables.Attempt.trial_id)
        .where(tables.Trial.study_id == study_id, tables.Attempt.state == "batch")
    )
    return tuple(session.scalars(query))


def _states(session: Session, study_id: str) -> dict[str, int]:
    query = (
        select(tables.Trial.state, func.count())
        .where(tables.Trial.study_id == study_id)
        .group_by(tables.Trial.state)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _finished_mean_s(session: Session, study_id: str) -> float | None:
    return session.scalar(
        select(func.avg(tables.Attempt.ended_unix_s - tables.Attempt.created_unix_s))
        .join(tables.Trial, tables.Trial.trial_id == tables.Attempt.trial_id)
        .where(
            tables.Trial.study_id == study_id,
            tables.Attempt.state == "committed",
            tables.Attempt.device_id != "",
        )
    )


def _predicted_s(session: Session, study_id: str) -> float | None:
    open_count, known_count, total_s = session.execute(
        select(
            func.count(),
            func.count(tables.Cell.predicted_duration_s),
            func.sum(tables.Cell.predicted_duration_s),
        )
        .select_from(tables.Trial)
        .join(
            tables.Cell,
            (tables.Cell.study_id == tables.Trial.study_id)
            & (tables.Cell.cell_index == tables.Trial.cell_index),
        )
        .where(tables.Trial.study_id == study_id, tables.Trial.state.in_(("queued", "leased")))
    ).one()
    return total_s if known_count == open_count else None
