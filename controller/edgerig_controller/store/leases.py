"""Leases in the database: the pure state machine of `fleet.leases` applied to rows.

Every function works inside the caller's transaction. What a transition means
for the trial (queue again, record as lost, cancel) is carried out here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, bindparam, func, insert, select, text
from sqlalchemy.orm import Session

from edgerig.v1.trial_pb2 import Trial
from edgerig_controller.fleet import leases
from edgerig_controller.fleet.leases import OPEN, Answer, HeldState, Lease, Policy, Retry, Verdict
from edgerig_controller.store import tables
from edgerig_controller.store.dispatch import DeviceTime, next_trial
from edgerig_controller.store.events import record_event
from edgerig_controller.store.progress import release_trial, settle, written_result
from edgerig_controller.store.rows import AttemptState
from edgerig_controller.store.tables import OPEN_WORDS

# Statements are made once: making one costs as much as running it.
_BY_ID = select(tables.Attempt).where(tables.Attempt.attempt_id == bindparam("attempt_id"))
_OPEN_OF = select(tables.Attempt).where(tables.Attempt.device_id == bindparam("device_id"), text(OPEN_WORDS))
_PASSED = select(tables.Attempt).where(
    text(OPEN_WORDS), tables.Attempt.deadline_unix_s <= bindparam("now_unix_s")
)
# What was written here because nobody heard of the attempt again is not a result that it brought.
_BROUGHT = select(func.count()).where(
    tables.Result.attempt_id == bindparam("attempt_id"), tables.Result.kind == "attempt"
)
_NEXT_DEADLINE = select(func.min(tables.Attempt.deadline_unix_s)).where(text(OPEN_WORDS))


@dataclass(frozen=True)
class Held:
    """An attempt as an agent reports it."""

    attempt_id: str
    epoch: int
    state: HeldState
    # With `rebooting`: seconds by which the device is expected back.
    back_s: float = 0.0


@dataclass(frozen=True)
class Order:
    """What an agent shall do with an attempt that it holds."""

    attempt_id: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Offer:
    """A lease with its trial, ready to be sent."""

    lease: Lease
    trial: Trial


@dataclass(frozen=True)
class Synced:
    """The answer to a Sync. `touched` are studies whose progress changed.

    `freed` says that a trial went back into the queue, where others may take it.
    """

    orders: tuple[Order, ...]
    offer: Offer | None
    touched: frozenset[str]
    freed: bool = False


@dataclass(frozen=True)
class Expired:
    """What became of leases whose time was up: studies concerned, and whether a trial is free again."""

    touched: frozenset[str]
    freed: bool


def sync(
    session: Session,
    device_id: str,
    held: Sequence[Held],
    *,
    wants_work: bool,
    now_unix_s: float,
    policy: Policy,
    new_id: Callable[[], str],
    device_time: DeviceTime,
) -> Synced:
    """Reconciles what a device holds with what is open here, then offers a trial if it is free.

    `new_id` names a new attempt; no two attempts ever have the same name.
    """
    touched: set[str] = set()
    freed = False
    orders = [_order(session, device_id, item, now_unix_s, policy, touched) for item in held]
    named = {item.attempt_id for item in held}
    open_rows = _open_of(session, device_id)
    for row in open_rows:
        if row.attempt_id not in named:
            answer = leases.gone(load(row))
            freed |= apply(session, row, answer, now_unix_s=now_unix_s, touched=touched)
    session.flush()
    busy = any(order.verdict in ("continue", "cancel", "send") for order in orders)
    offer = None
    if wants_work and not busy:
        still_open = [row for row in open_rows if row.state in OPEN]
        offer = next_offer(session, device_id, still_open, now_unix_s, policy, new_id, device_time)
    return Synced(tuple(orders), offer, frozenset(touched), freed)


def accept(
    session: Session, device_id: str, attempt_id: str, epoch: int, *, now_unix_s: float, policy: Policy
) -> Order:
    """Grants an offered lease (`continue`) or says why it is not to be had (`discard`)."""
    row = find(session, attempt_id)
    if row is None:
        return Order(attempt_id, "discard", "the attempt is unknown here")
    answer = leases.accept(load(row), device_id, epoch, now_unix_s, policy)
    apply(session, row, answer, now_unix_s=now_unix_s)
    return Order(attempt_id, answer.verdict, answer.reason)


def start(
    session: Session,
    device_id: str,
    attempt_id: str,
    epoch: int,
    *,
    boot_id: str,
    quiet_s: float,
    now_unix_s: float,
    policy: Policy,
) -> tuple[Order, str]:
    """Notes that an attempt runs; returns the order and the study concerned ('' if none)."""
    row = find(session, attempt_id)
    if row is None:
        return Order(attempt_id, "cancel", "the attempt is unknown here"), ""
    answer = leases.start(load(row), device_id, epoch, quiet_s, now_unix_s, policy)
    if answer.verdict == "continue":
        row.boot_id = boot_id
    touched: set[str] = set()
    apply(session, row, answer, now_unix_s=now_unix_s, touched=touched)
    return Order(attempt_id, answer.verdict, answer.reason), "".join(touched)


def renew(
    session: Session, device_id: str, attempt_id: str, epoch: int, *, now_unix_s: float, policy: Policy
) -> None:
    """Keeps a lease alive."""
    row = find(session, attempt_id)
    if row is not None:
        _store(row, leases.renew(load(row), device_id, epoch, now_unix_s, policy))


def expire(session: Session, *, now_unix_s: float, policy: Policy) -> Expired:
    """Moves every lease whose deadline has passed."""
    touched: set[str] = set()
    freed = False
    for row in session.scalars(_PASSED, {"now_unix_s": now_unix_s}).all():
        answer = leases.expire(load(row), now_unix_s, policy)
        freed |= apply(session, row, answer, now_unix_s=now_unix_s, touched=touched)
    return Expired(frozenset(touched), freed)


def next_deadline(session: Session | Connection) -> float | None:
    """Returns when the next lease ends by itself; None when none is open."""
    return session.scalar(_NEXT_DEADLINE)


def next_offer(
    session: Session,
    device_id: str,
    open_rows: Sequence[tables.Attempt],
    now_unix_s: float,
    policy: Policy,
    new_id: Callable[[], str],
    device_time: DeviceTime,
) -> Offer | None:
    """Leases the next trial to a device that has none, or repeats an offer that it did not answer."""
    if open_rows:
        row = open_rows[0]
        if row.state != "offered" or row.trial_id is None:
            return None
        lease = leases.offer_again(load(row), now_unix_s, policy)
        _store(row, lease)
        return Offer(lease, document(session.get_one(tables.Trial, row.trial_id)))
    trial = next_trial(session, device_id, now_unix_s, device_time)
    if trial is None:
        return None
    trial.epoch += 1
    trial.state = "leased"
    lease = leases.offer(
        new_id(),
        device_id,
        epoch=trial.epoch,
        budget_s=trial.budget_s,
        now_unix_s=now_unix_s,
        policy=policy,
    )
    session.add(new_row(lease, trial.trial_id, now_unix_s))
    session.flush()
    return Offer(lease, document(trial))


def retry_of(session: Session, trial: tables.Trial) -> Retry:
    """Returns what the trial's study says of trials that died."""
    study = session.get_one(tables.Study, trial.study_id)
    return Retry(study.max_attempts, frozenset(study.retry_on))


def expected(session: Session, device_id: str, attempt_id: str) -> bool:
    """Tells whether files of this attempt may still come from this device.

    None are taken once it has brought a result and another one that contradicts it.
    """
    row = find(session, attempt_id)
    if row is None or row.device_id != device_id or row.trial_id is None:
        return False
    return (session.scalar(_BROUGHT, {"attempt_id": attempt_id}) or 0) < 2


def find(session: Session, attempt_id: str) -> tables.Attempt | None:
    """Reads an attempt; None when it is unknown here."""
    return session.scalars(_BY_ID, {"attempt_id": attempt_id}).first()


def load(row: tables.Attempt) -> Lease:
    """Reads a row as the state machine's value."""
    return Lease(
        row.attempt_id,
        row.device_id,
        row.epoch,
        cast(AttemptState, row.state),
        row.budget_s,
        began=row.began,
        deadline_unix_s=row.deadline_unix_s,
        quiet_until_unix_s=row.quiet_until_unix_s,
        cancel_reason=row.cancel_reason,
    )


def apply(
    session: Session,
    row: tables.Attempt,
    answer: Answer,
    *,
    now_unix_s: float,
    touched: set[str] | None = None,
) -> bool:
    """Writes a transition and carries out what it means for the trial; tells whether that is free again."""
    before, after = load(row), answer.lease
    _store(row, after)
    if after == before:
        return False
    trial = session.get(tables.Trial, row.trial_id) if row.trial_id else None
    if after.began and not before.began:
        row.began_unix_s = now_unix_s
        if trial is not None:
            trial.ran_count += 1
    if after.state not in OPEN:
        row.ended_unix_s = now_unix_s
    if before.state != after.state:
        detail = f"{before.state} to {after.state}" + (f": {answer.reason}" if answer.reason else "")
        record_event(
            session,
            now_unix_s,
            "lease",
            study_id=trial.study_id if trial else "",
            attempt_id=row.attempt_id,
            device_id=row.device_id,
            detail=detail,
        )
        if trial is not None and touched is not None:
            touched.add(trial.study_id)
    if trial is None or answer.trial == "keep":
        return False
    return _decide(session, row, trial, answer, now_unix_s)


def _decide(
    session: Session,
    row: tables.Attempt,
    trial: tables.Trial,
    answer: Answer,
    now_unix_s: float,
) -> bool:
    # A newer attempt, or a result of one, has taken the trial over.
    if trial.epoch != row.epoch or trial.state != "leased":
        return False
    again = retry_of(session, trial).again("agent_lost", trial.ran_count)
    if answer.trial == "record_overdue":
        _record_lost(session, row, trial, "reboot_failed", answer.reason, now_unix_s)
    elif answer.trial == "record_lost" and not again:
        _record_lost(session, row, trial, "agent_lost", answer.reason, now_unix_s)
    else:
        release_trial(session, trial)
    settle(session, trial.study_id, now_unix_s)
    return trial.state == "queued"


def _record_lost(
    session: Session,
    row: tables.Attempt,
    trial: tables.Trial,
    failure_class: str,
    reason: str,
    now_unix_s: float,
) -> None:
    values = written_result(
        row.attempt_id,
        trial.trial_id,
        trial.digest,
        kind="lost",
        failure_class=failure_class,
        message=f"device {row.device_id}: {reason}",
        now_unix_s=now_unix_s,
        boot_id=row.boot_id,
    )
    session.execute(insert(tables.Result).values(**values))
    trial.state = "done"
    trial.canonical_attempt_id = row.attempt_id


def _order(
    session: Session, device_id: str, item: Held, now_unix_s: float, policy: Policy, touched: set[str]
) -> Order:
    row = find(session, item.attempt_id)
    if row is None or row.trial_id is None:
        return Order(item.attempt_id, "discard", "the attempt is unknown here")
    answer = leases.held(load(row), device_id, item.epoch, item.state, now_unix_s, policy, back_s=item.back_s)
    apply(session, row, answer, now_unix_s=now_unix_s, touched=touched)
    return Order(item.attempt_id, answer.verdict, answer.reason)


def _open_of(session: Session, device_id: str) -> Sequence[tables.Attempt]:
    return session.scalars(_OPEN_OF, {"device_id": device_id}).all()


def new_row(lease: Lease, trial_id: str, now_unix_s: float) -> tables.Attempt:
    """Returns the row of a new lease."""
    return tables.Attempt(
        attempt_id=lease.attempt_id,
        trial_id=trial_id,
        device_id=lease.device_id,
        epoch=lease.epoch,
        state=lease.state,
        budget_s=lease.budget_s,
        began=lease.began,
        deadline_unix_s=lease.deadline_unix_s,
        quiet_until_unix_s=lease.quiet_until_unix_s,
        cancel_reason=lease.cancel_reason,
        boot_id="",
        created_unix_s=now_unix_s,
        began_unix_s=None,
        ended_unix_s=None,
    )


def _store(row: tables.Attempt, lease: Lease) -> None:
    row.state = lease.state
    row.began = lease.began
    row.deadline_unix_s = lease.deadline_unix_s
    row.quiet_until_unix_s = lease.quiet_until_unix_s
    row.cancel_reason = lease.cancel_reason


def document(trial: tables.Trial) -> Trial:
    """Returns the trial as it is sent."""
    return Trial.FromString(trial.document)
