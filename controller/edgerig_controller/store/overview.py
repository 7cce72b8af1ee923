"""Everything that lists of devices and followers of attempts are shown, read in one go.

Knows nothing of connections: which devices are there is the caller's to add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError, UsageError
from edgerig_controller.fleet.schedule import Backlog, matches
from edgerig_controller.store import tables, watch
from edgerig_controller.store.administration import Standing, standings
from edgerig_controller.store.devices import DeviceRow, list_devices
from edgerig_controller.store.units import of_study

_EVENTS_MAX = 1000


@dataclass(frozen=True)
class Overview:
    """The fleet as the store knows it."""

    devices: tuple[DeviceRow, ...]
    standings: dict[str, Standing]
    running: tuple[watch.Running, ...]
    # Seconds since the running attempt of a device began, and how long such a trial takes.
    running_s: dict[str, tuple[float, float | None]]
    backlogs: tuple[Backlog, ...]
    # When the last live certificate of a device ends.
    certificate_ends: dict[str, float]


@dataclass(frozen=True)
class EventRow:
    """One event of an attempt."""

    event_id: int
    at_unix_s: float
    kind: str
    detail: str


@dataclass(frozen=True)
class AttemptPlace:
    """Where an attempt stands, and where its log is once it is committed."""

    attempt_id: str
    device_id: str
    study_id: str
    state: str
    status: str
    failure: str
    log_sha256: str
    log_bytes: int


def read(session: Session, now_unix_s: float) -> Overview:
    """Reads the fleet."""
    devices = tuple(list_devices(session))
    durations = _durations_s(session)
    running = tuple(watch.running(session))
    began = {
        row.device_id: row.began_unix_s
        for row in session.scalars(select(tables.Attempt).where(tables.Attempt.state == "running"))
    }
    ends = session.execute(
        select(tables.Certificate.device_id, func.max(tables.Certificate.not_after_unix_s))
        .where(tables.Certificate.revoked_unix_s.is_(None))
        .group_by(tables.Certificate.device_id)
    )
    return Overview(
        devices,
        standings(session, now_unix_s),
        running,
        {
            item.device_id: (
                max(now_unix_s - (began.get(item.device_id) or now_unix_s), 0.0),
                durations.get(item.study_id),
            )
            for item in running
        },
        tuple(_backlogs(session, devices, durations)),
        {row[0]: row[1] for row in ends},
    )


def attempt_events(session: Session, attempt_id: str, after_event_id: int) -> list[EventRow]:
    """Lists the events of an attempt after one, the oldest first."""
    rows = session.scalars(
        select(tables.Event)
        .where(tables.Event.attempt_id == attempt_id, tables.Event.event_id > after_event_id)
        .order_by(tables.Event.event_id)
        .limit(_EVENTS_MAX)
    )
    return [EventRow(row.event_id, row.at_unix_s, row.kind, row.detail) for row in rows]


def attempt_place(session: Session, reference: str) -> AttemptPlace:
    """Finds an attempt by id or by the beginning of one.

    Raises:
        NotFoundError: there is no such attempt.
        UsageError: several begin so.
    """
    # No wildcard of the caller's may reach LIKE.
    prefix = reference.replace("\\", "").replace("%", "").replace("_", "")
    rows = session.scalars(
        select(tables.Attempt).where(tables.Attempt.attempt_id.like(f"{prefix}%")).limit(2)
    ).all()
    if not prefix or not rows:
        raise NotFoundError(f"There is no attempt {reference[:80]!r}.", hint="edgerig results STUDY --json")
    if len(rows) > 1:
        raise UsageError(f"Several attempts begin with {reference[:80]!r}.", hint="give more of the id")
    row = rows[0]
    result = session.scalars(
        select(tables.Result).where(tables.Result.attempt_id == row.attempt_id, tables.Result.primary)
    ).first()
    log = None
    if result is not None:
        log = session.get(tables.Artifact, (result.result_id, "worker.log"))
    trial = session.get(tables.Trial, row.trial_id) if row.trial_id else None
    return AttemptPlace(
        row.attempt_id,
        row.device_id,
        trial.study_id if trial else "",
        row.state,
        result.status if result else "",
        f"{result.failure_class}: {result.failure_message}" if result and result.failure_class else "",
        log.sha256 if log else "",
        log.size_bytes if log else 0,
    )


def _durations_s(session: Session) -> dict[str, float]:
    """Returns the mean seconds of a trial by active study: what was measured, else what was predicted."""
    found = {
        study_id: predicted
        for study_id, predicted in session.execute(
            select(tables.Cell.study_id, func.avg(tables.Cell.predicted_duration_s))
            .join(tables.Study, tables.Study.study_id == tables.Cell.study_id)
            .where(tables.Study.state == "active")
            .group_by(tables.Cell.study_id)
        )
        if predicted is not None
    }
    measured = session.execute(
        select(tables.Trial.study_id, func.avg(tables.Attempt.ended_unix_s - tables.Attempt.created_unix_s))
        .join(tables.Attempt, tables.Attempt.trial_id == tables.Trial.trial_id)
        .join(tables.Study, tables.Study.study_id == tables.Trial.study_id)
        .where(
            tables.Study.state == "active",
            tables.Attempt.state == "committed",
            tables.Attempt.device_id != "",
        )
        .group_by(tables.Trial.study_id)
    )
    found.update({study_id: mean for study_id, mean in measured if mean is not None})
    return found


def _backlogs(session: Session, devices: tuple[DeviceRow, ...], durations: dict[str, float]) -> list[Backlog]:
    queued = session.execute(
        select(tables.Trial.study_id, func.count())
        .where(tables.Trial.state == "queued")
        .group_by(tables.Trial.study_id)
    )
    counts = {row[0]: row[1] for row in queued}
    studies = session.scalars(
        select(tables.Study)
        .where(tables.Study.state == "active")
        .order_by(tables.Study.priority.desc(), tables.Study.submission)
    )
    return [
        Backlog(
            counts.get(study.study_id, 0),
            durations.get(study.study_id),
            tuple(row.device_id for row in devices if takes(row)),
        )
        for study in studies
        for takes in (_takers(session, study),)
    ]


def _takers(session: Session, study: tables.Study) -> Callable[[DeviceRow], bool]:
    """Tells which devices may get something of a study; once all its units are devices, no other does."""
    taken: set[str] | None = None
    if study.units > 1:
        units = of_study(session, study.study_id, study.units)
        taken = set(units.devices.values()) if len(units.devices) == units.count else None

    def takes(row: DeviceRow) -> bool:
        asked_for = matches(study.device_names, study.device_labels, row.device_id, row.labels)
        return asked_for and (taken is None or row.device_id in taken)

    return takes
