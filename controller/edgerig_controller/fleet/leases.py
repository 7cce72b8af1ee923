"""The life of a lease, as pure functions of a lease, an event and the time.

    offered ──accept──▶ accepted ──start──▶ running ──commit──▶ committed
       │                   │  ▲                │  ▲                  ▲
     expires            expires └──held──┐   expires └──held──┐      │
       ▼                   ▼             │     ▼              │      │
    cancelled           unknown ─────────┴── unknown ──lost_after──▶ lost

A device that is restarted for the power mode of a trial says so before. Its lease
stays accepted until it is expected back, and is lost when it is not.

An expired lease is not given to another device: nobody knows whether the old
one still works. It waits as `unknown` until the device says, or until it is
`lost`. Results of unknown and lost attempts are welcome whenever they come.
The epoch is the fencing token: words with another epoch change nothing.

Knows nothing of the database, of messages or of what a trial is. Times are
Unix seconds, given by the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from edgerig_controller.store.rows import AttemptState

TTL_S = 90.0
# Waits for an idle and cool device before and after (ten minutes each), starting and reducing:
# what an attempt may be silent beyond its own budget.
QUIET_MARGIN_S = 1500.0
LOST_MARGIN_S = 600.0
# Longest absence that a device may announce before it is restarted.
REBOOT_MOST_S = 3600.0

# States in which a device counts as taken.
OPEN: frozenset[AttemptState] = frozenset({"offered", "accepted", "running", "unknown"})

HeldState = Literal["accepted", "rebooting", "starting", "running", "finished"]
Verdict = Literal["continue", "cancel", "send", "already_have", "discard"]
# What becomes of the trial: back into the queue, an agent_lost or reboot_failed result, or cancelled.
TrialFate = Literal["keep", "requeue", "record_lost", "record_overdue", "cancel"]


@dataclass(frozen=True)
class Policy:
    """How long leases last."""

    ttl_s: float = TTL_S
    quiet_margin_s: float = QUIET_MARGIN_S
    lost_margin_s: float = LOST_MARGIN_S


@dataclass(frozen=True)
class Retry:
    """What a study says of trials that died: how often each may begin, and after which failure classes."""

    max_attempts: int = 1
    retry_on: frozenset[str] = frozenset()

    def again(self, failure_class: str, began_count: int) -> bool:
        """Tells whether a trial that ended so, after so many beginnings, runs again by itself."""
        return failure_class in self.retry_on and began_count < self.max_attempts


@dataclass(frozen=True)
class Lease:
    """One attempt as the controller knows it."""

    attempt_id: str
    device_id: str
    epoch: int
    state: AttemptState
    # Wall-time budget of the attempt itself.
    budget_s: float
    # The agent said that the attempt begins; from then on it may have run.
    began: bool = False
    # When the present state ends by itself; None in final states.
    deadline_unix_s: float | None = None
    quiet_until_unix_s: float | None = None
    cancel_reason: str = ""

    @property
    def is_rebooting(self) -> bool:
        """Tells whether the device said that it is restarted before the attempt begins.

        Only such a lease is quiet without having begun.
        """
        return self.state == "accepted" and not self.began and self.quiet_until_unix_s is not None


@dataclass(frozen=True)
class Answer:
    """A lease after an event, what the agent is told, and what becomes of the trial."""

    lease: Lease
    verdict: Verdict
    reason: str = ""
    trial: TrialFate = "keep"


def offer(
    attempt_id: str, device_id: str, *, epoch: int, budget_s: float, now_unix_s: float, policy: Policy
) -> Lease:
    """Makes a new lease; it is nothing until the agent has accepted it."""
    return Lease(attempt_id, device_id, epoch, "offered", budget_s, deadline_unix_s=now_unix_s + policy.ttl_s)


def batch(attempt_id: str, device_id: str, *, epoch: int, budget_s: float) -> Lease:
    """Makes a lease that is carried to a device without a network: it lasts until it is withdrawn."""
    return Lease(attempt_id, device_id, epoch, "batch", budget_s)


def withdraw(lease: Lease) -> Answer:
    """Gives the trial of a batch back to the queue; a result that comes all the same is welcome."""
    if lease.state != "batch":
        return Answer(lease, "continue")
    return Answer(replace(lease, state="cancelled"), "discard", "the batch was withdrawn", "requeue")


def offer_again(lease: Lease, now_unix_s: float, policy: Policy) -> Lease:
    """Renews an offer whose message may have been lost."""
    assert lease.state == "offered"
    return replace(lease, deadline_unix_s=now_unix_s + policy.ttl_s)


def accept(lease: Lease, device_id: str, epoch: int, now_unix_s: float, policy: Policy) -> Answer:
    """Grants an offered lease to the device it was offered to; `continue` means granted."""
    if refusal := _stranger(lease, device_id, epoch):
        return refusal
    if lease.cancel_reason:
        return Answer(lease, "discard", lease.cancel_reason)
    if lease.state in ("accepted", "running"):
        return Answer(lease, "continue")
    if lease.state == "offered" and not _passed(lease, now_unix_s):
        granted = replace(lease, state="accepted", deadline_unix_s=now_unix_s + policy.ttl_s)
        return Answer(granted, "continue")
    if lease.state == "unknown" and not lease.began:
        back = replace(lease, state="accepted", deadline_unix_s=now_unix_s + policy.ttl_s)
        return Answer(back, "continue")
    return Answer(lease, "discard", f"the lease is {lease.state} and no longer to be had")


def start(
    lease: Lease, device_id: str, epoch: int, quiet_s: float, now_unix_s: float, policy: Policy
) -> Answer:
    """Notes that the attempt runs and for how long silence is expected.

    A window longer than the attempt's budget and a margin is cut to that: the
    price of being wrong is only that the lease turns unknown.
    """
    if refusal := _stranger(lease, device_id, epoch):
        return refusal
    if lease.cancel_reason:
        return Answer(lease, "cancel", lease.cancel_reason)
    if lease.state not in ("accepted", "running", "unknown"):
        return Answer(lease, "cancel", f"the lease is {lease.state}")
    quiet_until = now_unix_s + quiet_window_s(lease, quiet_s, policy)
    return Answer(_running(lease, quiet_until, now_unix_s, policy), "continue")


def renew(lease: Lease, device_id: str, epoch: int, now_unix_s: float, policy: Policy) -> Lease:
    """Keeps a lease alive; words of strangers and about closed leases change nothing."""
    if _stranger(lease, device_id, epoch) or lease.state not in ("accepted", "running"):
        return lease
    assert lease.deadline_unix_s is not None
    return replace(lease, deadline_unix_s=max(lease.deadline_unix_s, now_unix_s + policy.ttl_s))


def expire(lease: Lease, now_unix_s: float, policy: Policy) -> Answer:
    """Lets a lease whose deadline has passed go on to its next state; else changes nothing."""
    if not _passed(lease, now_unix_s):
        return Answer(lease, "continue")
    if lease.state == "offered":
        closed = replace(lease, state="cancelled", deadline_unix_s=None)
        return Answer(closed, "discard", "the offer was not accepted", _unless_cancelled(lease, "requeue"))
    if lease.is_rebooting:
        overdue = replace(lease, state="lost", deadline_unix_s=None)
        reason = "it did not come back in time from the restart that the trial's power mode takes"
        return Answer(overdue, "continue", reason, _unless_cancelled(lease, "record_overdue"))
    if lease.state in ("accepted", "running"):
        assert lease.deadline_unix_s is not None
        # Counted from the deadline, not from now: a controller that was off
        # for a day must not wait for another whole budget.
        lost_at = lease.deadline_unix_s + lease.budget_s + policy.lost_margin_s
        return Answer(replace(lease, state="unknown", deadline_unix_s=lost_at), "continue")
    lost = replace(lease, state="lost", deadline_unix_s=None)
    return Answer(lost, "continue", "the device was silent for too long", _fate(lease))


def held(
    lease: Lease,
    device_id: str,
    epoch: int,
    state: HeldState,
    now_unix_s: float,
    policy: Policy,
    *,
    back_s: float = 0.0,
) -> Answer:
    """Answers what the agent shall do with an attempt that it reports in Sync.

    `back_s`: with `rebooting`, by when the device says that it is back.
    """
    if refusal := _stranger(lease, device_id, epoch):
        return refusal
    if lease.state == "committed":
        if state == "finished":
            return Answer(lease, "already_have")
        return Answer(lease, "discard", "a result of this attempt is stored")
    if state == "finished":
        return Answer(lease, "send")
    if lease.cancel_reason or lease.state == "cancelled":
        return Answer(lease, "cancel", lease.cancel_reason or "the lease was withdrawn")
    if lease.state == "lost" and state != "running":
        # Nothing has run there, and nothing is to: the trial has gone on without it.
        return Answer(lease, "cancel", "the lease is lost")
    if lease.state in ("offered", "lost", "batch"):
        # offered: AcceptLease decides. lost, batch: it may still bring a result.
        return Answer(lease, "continue")
    if state == "running" or lease.began:
        return Answer(_running(lease, lease.quiet_until_unix_s, now_unix_s, policy), "continue")
    silent_until = None
    if state == "rebooting":
        wanted_s = back_s if math.isfinite(back_s) else 0.0
        silent_until = now_unix_s + min(max(wanted_s, 0.0), REBOOT_MOST_S)
    back = replace(
        lease,
        state="accepted",
        deadline_unix_s=(silent_until or now_unix_s) + policy.ttl_s,
        quiet_until_unix_s=silent_until,
    )
    return Answer(back, "continue")


def gone(lease: Lease) -> Answer:
    """Concludes from a Sync that the device does not hold an attempt that is open here.

    One that never began goes back to the queue; one that began may have run,
    and is recorded as lost, not silently repeated. Offers are kept: the agent
    may not have heard of them.
    """
    if lease.state not in ("accepted", "running", "unknown"):
        return Answer(lease, "continue")
    if lease.began:
        lost = replace(lease, state="lost", deadline_unix_s=None)
        return Answer(lost, "discard", "the device no longer holds the attempt", _fate(lease))
    closed = replace(lease, state="cancelled", deadline_unix_s=None)
    return Answer(closed, "discard", "the device never started the attempt", _fate(lease))


def cancel(lease: Lease, reason: str) -> Answer:
    """Withdraws a lease; one that a device may hold stays open until the device has answered."""
    if lease.state == "offered":
        closed = replace(lease, state="cancelled", deadline_unix_s=None, cancel_reason=reason)
        return Answer(closed, "cancel", reason, "cancel")
    if lease.state == "batch":
        # Nobody can be told; what comes back all the same is kept.
        return Answer(replace(lease, state="cancelled"), "cancel", reason, "cancel")
    if lease.state in OPEN:
        return Answer(replace(lease, cancel_reason=reason), "cancel", reason)
    return Answer(lease, "discard")


def commit(lease: Lease) -> Lease:
    """Closes a lease by its result, in whichever state the result finds it."""
    return replace(lease, state="committed", began=True, deadline_unix_s=None)


def quiet_window_s(lease: Lease, quiet_s: float, policy: Policy) -> float:
    """Bounds the silence that an agent asks for."""
    if not math.isfinite(quiet_s):
        return 0.0
    return min(max(quiet_s, 0.0), lease.budget_s + policy.quiet_margin_s)


def _running(lease: Lease, quiet_until: float | None, now_unix_s: float, policy: Policy) -> Lease:
    until = max(now_unix_s, quiet_until or now_unix_s)
    return replace(
        lease,
        state="running",
        began=True,
        deadline_unix_s=until + policy.ttl_s,
        quiet_until_unix_s=quiet_until,
    )


def _fate(lease: Lease) -> TrialFate:
    return _unless_cancelled(lease, "record_lost" if lease.began else "requeue")


def _unless_cancelled(lease: Lease, fate: TrialFate) -> TrialFate:
    return "cancel" if lease.cancel_reason else fate


def _passed(lease: Lease, now_unix_s: float) -> bool:
    return lease.deadline_unix_s is not None and now_unix_s >= lease.deadline_unix_s


def _stranger(lease: Lease, device_id: str, epoch: int) -> Answer | None:
    if lease.device_id != device_id:
        return Answer(lease, "discard", "the lease belongs to another device")
    if lease.epoch != epoch:
        return Answer(lease, "discard", f"epoch {epoch} is not the lease's epoch {lease.epoch}")
    return None
