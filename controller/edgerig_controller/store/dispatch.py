"""Which trial a device gets next: its standing, whose turn it is, the order within a study.

Works inside the caller's transaction; the rules are those of `fleet.schedule`.
"""

from __future__ import annotations

import math

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from edgerig_controller.fleet.leases import OPEN
from edgerig_controller.fleet.schedule import Candidate, by_turn, matches
from edgerig_controller.store import tables
from edgerig_controller.store.administration import standing
from edgerig_controller.store.units import unit_for

# Device time that was used longer ago no longer counts against its user.
_SHARE_WINDOW_S = 86400.0
# What ended longer ago than the first is summed once, and that sum kept as long as the second.
_SETTLED_S = 60.0
_KEPT_S = 600.0

# Made once, and of columns where nothing is changed: a mapped row costs three times as much.
_LABELS = select(tables.Device.labels).where(tables.Device.device_id == bindparam("device_id"))
_NEXT = (
    select(tables.Trial)
    .where(tables.Trial.study_id == bindparam("study_id"), tables.Trial.state == "queued")
    .order_by(tables.Trial.position)
    .limit(1)
)
_NEXT_OF_UNIT = (
    select(tables.Trial)
    .where(
        tables.Trial.study_id == bindparam("study_id"),
        tables.Trial.state == "queued",
        tables.Trial.unit == bindparam("unit"),
    )
    .order_by(tables.Trial.position)
    .limit(1)
)
_ACTIVE = select(
    tables.Study.study_id,
    tables.Study.submission,
    tables.Study.priority,
    tables.Study.owner,
    tables.Study.device_names,
    tables.Study.device_labels,
    tables.Study.units,
).where(tables.Study.state == "active")
_GOLDEN = _ACTIVE.where(tables.Study.purpose == "golden")
# From the index on when attempts ended; a database that begins with the studies reads every attempt.
_ENDED = (
    select(
        tables.Attempt.trial_id, (tables.Attempt.ended_unix_s - tables.Attempt.began_unix_s).label("used_s")
    )
    .where(
        tables.Attempt.ended_unix_s > bindparam("after_unix_s"),
        tables.Attempt.ended_unix_s <= bindparam("upto_unix_s"),
    )
    .cte("ended")
)
_USED = (
    select(tables.Study.owner, func.sum(_ENDED.c.used_s))
    .select_from(_ENDED)
    .join(tables.Trial, tables.Trial.trial_id == _ENDED.c.trial_id)
    .join(tables.Study, tables.Study.study_id == tables.Trial.study_id)
    .group_by(tables.Study.owner)
)


def next_trial(
    session: Session, device_id: str, now_unix_s: float, device_time: DeviceTime
) -> tables.Trial | None:
    """Returns the queued trial that this device runs next; None when there is none or it may not work."""
    device = session.execute(_LABELS, {"device_id": device_id}).first()
    if device is None:
        return None
    place = standing(session, device_id, now_unix_s)
    if place.refusal() and place.refusal("golden"):
        return None
    studies = _GOLDEN if place.refusal() else _ACTIVE
    for candidate in _candidates(session, studies, device_id, device.labels, now_unix_s, device_time):
        trial = _next_of(session, candidate, device_id)
        if trial is not None:
            return trial
    return None


def _next_of(session: Session, candidate: Candidate, device_id: str) -> tables.Trial | None:
    if candidate.units == 1:
        return session.scalars(_NEXT, {"study_id": candidate.study_id}).first()
    unit = unit_for(session, candidate.study_id, candidate.units, device_id)
    if unit is None:
        return None
    return session.scalars(_NEXT_OF_UNIT, {"study_id": candidate.study_id, "unit": unit}).first()


def _candidates(
    session: Session,
    studies: Select[str, int, int, str, list[str], list[str], int],
    device_id: str,
    device_labels: list[str],
    now_unix_s: float,
    device_time: DeviceTime,
) -> list[Candidate]:
    found = [
        Candidate(study_id, submission, priority, owner, units)
        for study_id, submission, priority, owner, names, labels, units in session.execute(studies)
        if matches(names, labels, device_id, device_labels)
    ]
    if len({item.owner for item in found}) < 2:
        return by_turn(found, {}, dict)
    return by_turn(found, _open_counts(session), lambda: device_time.used_s(session, now_unix_s))


def _open_counts(session: Session) -> dict[str, int]:
    """Counts the devices that work for each person now."""
    rows = session.execute(
        select(tables.Study.owner, func.count())
        .join(tables.Trial, tables.Trial.study_id == tables.Study.study_id)
        .join(tables.Attempt, tables.Attempt.trial_id == tables.Trial.trial_id)
        .where(tables.Attempt.state.in_(OPEN))
        .group_by(tables.Study.owner)
    )
    return {row[0]: row[1] for row in rows}


class DeviceTime:
    """Device seconds that each person used lately.

    Asked with every Sync while people have an equal share: what ended a while ago is summed once and
    kept, and only the rest is read each time.
    """

    def __init__(self) -> None:
        self._upto_unix_s: float | None = None
        self._settled_s: dict[str, float] = {}

    def used_s(self, session: Session, now_unix_s: float) -> dict[str, float]:
        """Sums the device seconds of each person's attempts that ended within the window."""
        upto = self._upto_unix_s
        if upto is None or not _SETTLED_S <= now_unix_s - upto <= _KEPT_S:
            upto = now_unix_s - _SETTLED_S
            self._settled_s = _sum_s(session, now_unix_s - _SHARE_WINDOW_S, upto)
            self._upto_unix_s = upto
        recent_s = _sum_s(session, upto, math.inf)
        return {
            owner: self._settled_s.get(owner, 0.0) + recent_s.get(owner, 0.0)
            for owner in {*self._settled_s, *recent_s}
        }


def _sum_s(session: Session, after_unix_s: float, upto_unix_s: float) -> dict[str, float]:
    rows = session.execute(_USED, {"after_unix_s": after_unix_s, "upto_unix_s": upto_unix_s})
    return {owner: used or 0.0 for owner, used in rows}
