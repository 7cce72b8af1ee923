"""Golden trials in the database: which results wait for a judgement, and what it was.

Works inside the caller's transaction; how a figure is judged is
`fleet.health`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, exists, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from edgerig_controller.fleet import health
from edgerig_controller.fleet.administration import GOLDEN
from edgerig_controller.store import tables
from edgerig_controller.store.administration import set_health
from edgerig_controller.store.chunks import chunks

# Energy and latency: what a change of cooling, power mode, clocks or memory moves first.
FIGURES = frozenset({"energy_j", "power_mean_w", "ttft_s", "tpot_s", "step_s"})
# Of one figure the first of these that it has: a median is not moved by one slow request.
_STATISTICS = ("p50", "sum", "mean")
# Golden studies that are older and were not judged say nothing of today; asking stays cheap.
_JUDGED_WITHIN_S = 30 * 86400.0
# Thirteen years of daily trials; reading stays bounded.
_SERIES_MAX = 5000
_CHUNK = 500


@dataclass(frozen=True)
class Judged:
    """What came of one golden trial."""

    device_id: str
    attempt_id: str
    # good, quarantined, '' while the baseline is learnt, or unjudged
    state: str
    reason: str


@dataclass(frozen=True)
class Point:
    """One point of a control chart."""

    at_unix_s: float
    attempt_id: str
    figure: str
    source: str
    value: float
    verdict: str
    detail: str


def points(session: Session, device_id: str, limit: int = 200) -> list[Point]:
    """Lists the points of a device's charts, the newest first."""
    rows = session.scalars(
        select(tables.HealthPoint)
        .where(tables.HealthPoint.device_id == device_id)
        .order_by(tables.HealthPoint.point_id.desc())
        .limit(limit)
    )
    return [
        Point(row.at_unix_s, row.attempt_id, row.figure, row.source, row.value, row.verdict, row.detail)
        for row in rows
    ]


def last_golden(session: Session, since_unix_s: float) -> dict[str, float]:
    """Returns when a golden study of each device was last submitted after then, by device id."""
    # PostgreSQL does not group by JSON: the newest comes last and stays.
    rows = session.execute(
        select(tables.Study.device_names, tables.Study.created_unix_s)
        .where(tables.Study.purpose == GOLDEN, tables.Study.created_unix_s > since_unix_s)
        .order_by(tables.Study.created_unix_s)
    )
    return {names[0]: created for names, created in rows if names}


def open_golden(session: Session) -> set[str]:
    """Returns the devices whose golden study has not ended."""
    rows = session.scalars(
        select(tables.Study.device_names).where(
            tables.Study.purpose == GOLDEN, tables.Study.state == "active"
        )
    )
    return {names[0] for names in rows if names}


def waiting(session: Session, *, after_result_id: int, now_unix_s: float) -> tuple[int, list[int]]:
    """Finds the golden results that were not judged yet, the oldest first, and the newest result of all.

    Results up to `after_result_id` are known to wait no longer; 0: nothing is known.
    """
    newest = session.scalar(select(func.max(tables.Result.result_id))) or 0
    query = (
        select(tables.Result.result_id)
        .join(tables.Trial, tables.Trial.trial_id == tables.Result.trial_id)
        .join(tables.Study, tables.Study.study_id == tables.Trial.study_id)
        .where(
            tables.Study.purpose == GOLDEN,
            tables.Study.created_unix_s > now_unix_s - _JUDGED_WITHIN_S,
            tables.Result.canonical,
            ~exists().where(
                tables.Event.attempt_id == tables.Result.attempt_id, text(f"event.{tables.GOLDEN_WORDS}")
            ),
        )
        .order_by(tables.Result.result_id)
    )
    if after_result_id == 0:
        return newest, list(session.scalars(query))
    # Few, and named one by one: a database that begins with the golden studies reads all their results.
    new = session.scalars(select(tables.Result.result_id).where(tables.Result.result_id > after_result_id))
    found = [item for piece in chunks(new, _CHUNK) for item in _among(session, query, piece)]
    return newest, found


def _among(session: Session, query: Select[int], result_ids: list[int]) -> list[int]:
    return list(session.scalars(query.where(tables.Result.result_id.in_(result_ids))))


def judge(session: Session, result_ids: Sequence[int], *, now_unix_s: float) -> list[Judged]:
    """Judges golden results, in this order."""
    return [
        _judge_apart(session, session.get_one(tables.Result, result_id), now_unix_s)
        for result_id in result_ids
    ]


def _judge_apart(session: Session, result: tables.Result, now_unix_s: float) -> Judged:
    """Judges one result; what cannot be judged is marked as well, or it would stop all others for ever."""
    attempt_id = result.attempt_id
    device_id = session.get_one(tables.Attempt, attempt_id).device_id
    try:
        with session.begin_nested():
            judged = _judge(session, result, device_id, now_unix_s)
    except (ArithmeticError, ValueError, IntegrityError) as error:
        judged = Judged(device_id, attempt_id, "unjudged", f"it cannot be judged: {error}")
    # The mark by which a result is not judged again.
    session.execute(
        insert(tables.Event).values(
            at_unix_s=now_unix_s,
            kind=GOLDEN,
            study_id="",
            attempt_id=attempt_id,
            device_id=device_id,
            detail=f"{judged.state or 'learning'}: {judged.reason}"[:2000],
        )
    )
    return judged


def _judge(session: Session, result: tables.Result, device_id: str, now_unix_s: float) -> Judged:
    faults: list[str] = []
    points: list[tables.Measurement] = []
    learning = False
    if result.status != "ok":
        ended = result.failure_class or result.status
        faults.append(f"the golden trial ended as {ended}: {result.failure_message[:200]}")
    else:
        points = _points(session, result)
        for point in points:
            judgement = health.judge(
                [*_series(session, device_id, result, point), point.value or 0.0], figure_count=len(points)
            )
            learning |= judgement.verdict == "learning"
            _store_point(session, device_id, result, point, judgement, now_unix_s)
            if judgement.verdict == "drifted":
                faults.append(f"{_figure(point)}: {judgement.detail}")
    known = session.get(tables.Device, device_id) is not None
    if faults:
        state, reason = "quarantined", "; ".join(faults)
    elif learning:
        state, reason = "", "the baseline is being learnt"
    elif not points:
        state, reason = "", "it brought no figure that can be judged"
    else:
        state, reason = "good", "the golden trial is within its limits"
    if known:
        if state == "quarantined":
            set_health(session, device_id, "quarantined", reason, now_unix_s=now_unix_s)
        elif state == "good":
            set_health(session, device_id, "good", reason, now_unix_s=now_unix_s)
    return Judged(device_id, result.attempt_id, state, reason)


def _points(session: Session, result: tables.Result) -> list[tables.Measurement]:
    rows = session.scalars(
        select(tables.Measurement)
        .where(
            tables.Measurement.result_id == result.result_id,
            tables.Measurement.name.in_(FIGURES),
            tables.Measurement.statistic.in_(_STATISTICS),
            tables.Measurement.value.is_not(None),
        )
        .order_by(tables.Measurement.position)
    ).all()
    best: dict[tuple[str, str, str], tables.Measurement] = {}
    for row in rows:
        if row.value is None or not math.isfinite(row.value):
            # Stored by an earlier version; a new one is refused.
            continue
        key = (row.name, row.phase, row.source)
        if key not in best or _rank(row) < _rank(best[key]):
            best[key] = row
    return list(best.values())


def _rank(row: tables.Measurement) -> int:
    return _STATISTICS.index(row.statistic)


def _series(
    session: Session, device_id: str, result: tables.Result, point: tables.Measurement
) -> list[float]:
    """Returns the earlier values of this figure: same device, same sensor, same software."""
    row = session.get(tables.DeviceHealth, device_id)
    after = row.baseline_after_unix_s if row is not None else 0.0
    values = session.scalars(
        select(tables.HealthPoint.value)
        .where(
            tables.HealthPoint.device_id == device_id,
            tables.HealthPoint.figure == _figure(point),
            tables.HealthPoint.source == point.source,
            tables.HealthPoint.environment_digest == result.environment_digest,
            tables.HealthPoint.at_unix_s > after,
            # What has drifted is evidence of a fault, not of what is normal.
            tables.HealthPoint.verdict != "drifted",
        )
        .order_by(tables.HealthPoint.point_id)
        .limit(_SERIES_MAX)
    )
    return list(values)


def _store_point(
    session: Session,
    device_id: str,
    result: tables.Result,
    point: tables.Measurement,
    judgement: health.Judgement,
    now_unix_s: float,
) -> None:
    session.execute(
        insert(tables.HealthPoint).values(
            device_id=device_id,
            attempt_id=result.attempt_id,
            at_unix_s=now_unix_s,
            figure=_figure(point),
            source=point.source,
            environment_digest=result.environment_digest,
            value=point.value,
            verdict=judgement.verdict,
            detail=judgement.detail,
        )
    )


def _figure(point: tables.Measurement) -> str:
    return "/".join((point.name, point.phase or "attempt", point.statistic))
