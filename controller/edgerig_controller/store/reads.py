"""Reading studies and their results as plain rows.

Works with a writing and with a read-only session alike; changes nothing.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError
from edgerig.v1.attempt_pb2 import AttemptResult, Boundary, TrainPoint
from edgerig.words import word
from edgerig_controller.fleet.leases import OPEN
from edgerig_controller.store import tables
from edgerig_controller.store.rows import (
    AttemptRow,
    AttemptState,
    CellRow,
    MeasurementRow,
    PointRow,
    ScoreRow,
    StudyRow,
    StudyState,
    TrialRow,
    TrialState,
)

_PREFIX_MIN_CHARS = 4
_NO_WILDCARDS = str.maketrans({"%": None, "_": None})


def studies(session: Session) -> list[StudyRow]:
    """Lists all studies, the newest first."""
    counts = _study_counts(session)
    rows = session.scalars(select(tables.Study).order_by(tables.Study.submission.desc()))
    return [_study_row(row, counts.get(row.study_id, (0, 0, 0, 0))) for row in rows]


def find_study(session: Session, reference: str) -> StudyRow:
    """Finds a study by digest, id, id prefix of at least 4 characters, or name (the newest of it).

    Raises:
        NotFoundError: none, or several, are meant; the hint names those that come close.
    """
    exact = _newest(
        session,
        or_(
            tables.Study.digest == reference,
            tables.Study.study_id == reference,
            tables.Study.name == reference,
        ),
    )
    found = exact[:1]
    prefix = reference.lower().translate(_NO_WILDCARDS)
    if not found and len(prefix) >= _PREFIX_MIN_CHARS and prefix == reference.lower():
        found = _newest(session, tables.Study.digest.startswith(prefix))
    if len(found) == 1:
        study = found[0]
        return _study_row(study, _study_counts(session, study.study_id).get(study.study_id, (0, 0, 0, 0)))
    if found:
        names = ", ".join(f"{study.study_id} ({study.name})" for study in found[:5])
        raise NotFoundError(
            f"{reference} begins the ids of several studies: {names}.", hint="edgerig studies"
        )
    raise NotFoundError(f"There is no study {reference[:80]!r}.", hint=_close_hint(session, reference))


def cells(session: Session, study_id: str) -> list[CellRow]:
    """Lists the cells of a study in the order of its file."""
    rows = session.scalars(
        select(tables.Cell).where(tables.Cell.study_id == study_id).order_by(tables.Cell.cell_index)
    )
    return [
        CellRow(row.cell_index, row.label, row.factors, row.predicted_ram_bytes, row.predicted_duration_s)
        for row in rows
    ]


def trials(session: Session, study_id: str) -> list[TrialRow]:
    """Lists the trials of a study, cell by cell."""
    own = (
        select(func.count())
        .select_from(tables.Attempt)
        .where(tables.Attempt.trial_id == tables.Trial.trial_id, _was_execution())
        .correlate(tables.Trial)
        .scalar_subquery()
    )
    query = (
        select(tables.Trial, own)
        .where(tables.Trial.study_id == study_id)
        .order_by(tables.Trial.cell_index, tables.Trial.seed, tables.Trial.repeat)
    )
    return [
        TrialRow(
            trial_id=row.trial_id,
            study_id=row.study_id,
            cell_index=row.cell_index,
            seed=row.seed,
            repeat=row.repeat,
            digest=row.digest,
            state=cast(TrialState, row.state),
            canonical_attempt_id=row.canonical_attempt_id,
            reused=row.reused,
            attempt_count=count,
        )
        for row, count in session.execute(query)
    ]


def attempts(session: Session, study_id: str) -> list[AttemptRow]:
    """Lists every attempt that answers a trial of this study, reused ones too.

    Offers that no agent took are left out: nothing was executed.
    """
    own: Any = (
        select(tables.Trial, tables.Attempt, tables.Result)
        .join(tables.Attempt, tables.Attempt.trial_id == tables.Trial.trial_id)
        .outerjoin(tables.Result, _primary_result())
        .where(tables.Trial.study_id == study_id, _was_execution())
    )
    reused: Any = (
        select(tables.Trial, tables.Attempt, tables.Result)
        .join(tables.Attempt, tables.Attempt.attempt_id == tables.Trial.canonical_attempt_id)
        .outerjoin(tables.Result, _primary_result())
        .where(tables.Trial.study_id == study_id, tables.Trial.reused)
    )
    found = [
        _attempt_row(trial, attempt, result)
        for query in (own, reused)
        for trial, attempt, result in session.execute(query)
    ]
    return sorted(found, key=lambda row: (row.cell_index, row.seed, row.repeat, row.created_unix_s))


def measurements(session: Session, study_id: str) -> list[MeasurementRow]:
    """Lists the measurements of every canonical result of a study."""
    query: Any = _canonical(
        select(tables.Trial, tables.Result.attempt_id, tables.Measurement), study_id
    ).join(tables.Measurement, tables.Measurement.result_id == tables.Result.result_id)
    ordered = query.order_by(
        tables.Trial.cell_index, tables.Trial.seed, tables.Trial.repeat, tables.Measurement.position
    )
    return [
        MeasurementRow(
            attempt_id=attempt_id,
            cell_index=trial.cell_index,
            seed=trial.seed,
            repeat=trial.repeat,
            name=row.name,
            phase=row.phase,
            statistic=row.statistic,
            value=row.value,
            unavailable_reason=row.unavailable_reason,
            low=row.low,
            high=row.high,
            interval_kind=row.interval_kind,
            boundary=row.boundary,
            source=row.source,
            method=row.method,
            sample_count=row.sample_count,
            effective_rate_hz=row.effective_rate_hz,
            coverage=row.coverage,
            flags=row.flags,
        )
        for trial, attempt_id, row in session.execute(ordered)
    ]


def scores(session: Session, study_id: str) -> list[ScoreRow]:
    """Lists the item scores of every canonical result of a study."""
    query: Any = _canonical(select(tables.Trial, tables.Result.attempt_id, tables.Score), study_id).join(
        tables.Score, tables.Score.result_id == tables.Result.result_id
    )
    ordered = query.order_by(
        tables.Trial.cell_index, tables.Trial.seed, tables.Trial.repeat, tables.Score.position
    )
    return [
        ScoreRow(
            attempt_id=attempt_id,
            cell_index=trial.cell_index,
            seed=trial.seed,
            repeat=trial.repeat,
            item_id=row.item_id,
            user_id=row.user_id,
            score=row.score,
            output=row.output,
            expected=row.expected,
            retrieved_count=row.retrieved_count,
            truncated=row.truncated,
            tokens_in=row.tokens_in,
        )
        for trial, attempt_id, row in session.execute(ordered)
    ]


def points(session: Session, study_id: str) -> list[PointRow]:
    """Lists the points of the training curves of the canonical results."""
    query: Any = _canonical(select(tables.Result.attempt_id, tables.Result.document), study_id)
    ordered = query.order_by(tables.Trial.cell_index, tables.Trial.seed, tables.Trial.repeat)
    return [
        _point_row(attempt_id, point)
        for attempt_id, document in session.execute(ordered)
        for point in AttemptResult.FromString(document).points
    ]


def _point_row(attempt_id: str, point: TrainPoint) -> PointRow:
    found: dict[str, list[float]] = {}
    for energy in point.energy:
        found.setdefault(word(Boundary, energy.boundary), []).append(energy.energy_j)
    return PointRow(
        attempt_id=attempt_id,
        index=point.index,
        budget_share=point.budget_share,
        samples=point.samples,
        duration_s=point.duration_s,
        energy_j={name: values[0] for name, values in found.items() if len(values) == 1},
        score=point.score if point.HasField("score") else None,
    )


def trace_files(session: Session, study_id: str) -> list[tuple[str, str, str]]:
    """Lists (attempt id, path, sha256) of every trace that the canonical results brought."""
    query: Any = _canonical(
        select(tables.Result.attempt_id, tables.Artifact.path, tables.Artifact.sha256), study_id
    ).join(tables.Artifact, tables.Artifact.result_id == tables.Result.result_id)
    files = session.execute(
        query.where(tables.Artifact.path.like("trace/%.trace")).order_by(
            tables.Result.attempt_id, tables.Artifact.path
        )
    )
    return [(attempt_id, path, sha256) for attempt_id, path, sha256 in files]


def trial_durations(session: Session) -> dict[str, float]:
    """Returns the mean seconds from lease to result of every trial digest that ended well."""
    query = (
        select(
            tables.Result.trial_digest,
            func.avg(tables.Attempt.ended_unix_s - tables.Attempt.created_unix_s),
        )
        .join(tables.Attempt, tables.Attempt.attempt_id == tables.Result.attempt_id)
        .where(
            tables.Result.primary,
            tables.Result.kind == "attempt",
            tables.Result.status == "ok",
            tables.Attempt.ended_unix_s.is_not(None),
        )
        .group_by(tables.Result.trial_digest)
    )
    return {digest: float(seconds) for digest, seconds in session.execute(query)}


def _canonical(query: Any, study_id: str) -> Any:
    return (
        query.select_from(tables.Trial)
        .join(
            tables.Result,
            and_(tables.Result.attempt_id == tables.Trial.canonical_attempt_id, tables.Result.primary),
        )
        .where(tables.Trial.study_id == study_id)
    )


def _primary_result() -> Any:
    return and_(tables.Result.attempt_id == tables.Attempt.attempt_id, tables.Result.primary)


def _was_execution() -> Any:
    # A device that did not come back from a restart answers its trial without having begun it.
    answers = tables.Trial.canonical_attempt_id == tables.Attempt.attempt_id
    return or_(
        tables.Attempt.began, tables.Attempt.state.in_(OPEN), tables.Attempt.state == "committed", answers
    )


def _attempt_row(trial: tables.Trial, attempt: tables.Attempt, result: tables.Result | None) -> AttemptRow:
    return AttemptRow(
        attempt_id=attempt.attempt_id,
        trial_id=trial.trial_id,
        cell_index=trial.cell_index,
        seed=trial.seed,
        repeat=trial.repeat,
        device_id=attempt.device_id,
        epoch=attempt.epoch,
        state=cast(AttemptState, attempt.state),
        status=result.status if result else "",
        failure_class=result.failure_class if result else "",
        failure_message=result.failure_message if result else "",
        failure_phase=result.failure_phase if result else "",
        quality=result.quality if result else None,
        item_count=result.item_count if result else 0,
        flags=result.flags if result else [],
        canonical=trial.canonical_attempt_id == attempt.attempt_id,
        reused=trial.reused and trial.canonical_attempt_id == attempt.attempt_id,
        created_unix_s=attempt.created_unix_s,
        ended_unix_s=attempt.ended_unix_s,
        duration_s=result.duration_s if result else None,
        environment_digest=result.environment_digest if result else "",
        worker=result.worker if result else {},
        last_available_bytes=result.last_available_bytes if result else None,
        last_rss_bytes=result.last_rss_bytes if result else None,
    )


def _study_counts(session: Session, study_id: str = "") -> dict[str, tuple[int, int, int, int]]:
    """Counts trials, done, failed and reused ones of every study, or of one."""
    # From an index alone; only trials that have a result are looked at one by one.
    states = select(tables.Trial.study_id, tables.Trial.state, func.count()).group_by(
        tables.Trial.study_id, tables.Trial.state
    )
    results = (
        select(
            tables.Trial.study_id,
            func.sum(case((tables.Result.status != "ok", 1), else_=0)),
            func.sum(case((tables.Trial.reused, 1), else_=0)),
        )
        .join(
            tables.Result,
            and_(tables.Result.attempt_id == tables.Trial.canonical_attempt_id, tables.Result.primary),
        )
        .where(tables.Trial.state == "done")
        .group_by(tables.Trial.study_id)
    )
    if study_id:
        states = states.where(tables.Trial.study_id == study_id)
        results = results.where(tables.Trial.study_id == study_id)
    total: Counter[str] = Counter()
    done: dict[str, int] = {}
    for name, state, count in session.execute(states):
        total[name] += count
        if state == "done":
            done[name] = count
    ended = {name: (int(failed), int(reused)) for name, failed, reused in session.execute(results)}
    return {name: (count, done.get(name, 0), *ended.get(name, (0, 0))) for name, count in total.items()}


def _study_row(study: tables.Study, counts: tuple[int, int, int, int]) -> StudyRow:
    return StudyRow(
        study_id=study.study_id,
        name=study.name,
        digest=study.digest,
        state=cast(StudyState, study.state),
        created_unix_s=study.created_unix_s,
        finished_unix_s=study.finished_unix_s,
        trial_count=counts[0],
        done_count=counts[1],
        failed_count=counts[2],
        reused_count=counts[3],
        resolved=study.resolved,
        source_yaml=study.source_yaml,
        claims=study.claims,
        exclusions=study.exclusions,
    )


def _newest(session: Session, condition: Any) -> Sequence[tables.Study]:
    return session.scalars(
        select(tables.Study).where(condition).order_by(tables.Study.submission.desc())
    ).all()


def _close_hint(session: Session, reference: str) -> str:
    rows = session.execute(select(tables.Study.name, tables.Study.study_id)).all()
    known = [text for row in rows for text in row]
    close = difflib.get_close_matches(reference, known, n=3)
    return f"did you mean {' or '.join(close)}?" if close else "edgerig studies"
