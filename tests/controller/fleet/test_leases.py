"""The life of a lease: every edge by itself, then any order of events at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig_controller.fleet import leases
from edgerig_controller.fleet.leases import OPEN, Answer, HeldState, Lease, Policy, Retry

POLICY = Policy()
BUDGET_S = 120.0
T0 = 1_000_000.0


def offered() -> Lease:
    return leases.offer("a1", "orin", epoch=3, budget_s=BUDGET_S, now_unix_s=T0, policy=POLICY)


def accepted() -> Lease:
    return leases.accept(offered(), "orin", 3, T0, POLICY).lease


def running(quiet_s: float = 60.0) -> Lease:
    return leases.start(accepted(), "orin", 3, quiet_s, T0, POLICY).lease


def unknown() -> Lease:
    lease = running()
    assert lease.deadline_unix_s is not None
    return leases.expire(lease, lease.deadline_unix_s, POLICY).lease


def lost() -> Lease:
    lease = unknown()
    assert lease.deadline_unix_s is not None
    return leases.expire(lease, lease.deadline_unix_s, POLICY).lease


def test_an_offer_is_granted_to_its_device() -> None:
    answer = leases.accept(offered(), "orin", 3, T0 + 89, POLICY)
    assert (answer.verdict, answer.lease.state) == ("continue", "accepted")


def test_an_offer_is_not_granted_after_its_time() -> None:
    answer = leases.accept(offered(), "orin", 3, T0 + 90, POLICY)
    assert (answer.verdict, answer.lease) == ("discard", offered())


@pytest.mark.parametrize(("device", "epoch"), [("nano", 3), ("orin", 2), ("orin", 4)])
def test_strangers_and_other_epochs_get_nothing(device: str, epoch: int) -> None:
    for lease in (offered(), accepted(), running(), unknown(), lost()):
        assert leases.accept(lease, device, epoch, T0, POLICY).lease == lease
        assert leases.accept(lease, device, epoch, T0, POLICY).verdict == "discard"
        assert leases.start(lease, device, epoch, 1, T0, POLICY).lease == lease
        assert leases.renew(lease, device, epoch, T0 + 50, POLICY) == lease
        assert leases.held(lease, device, epoch, "running", T0, POLICY).verdict == "discard"


def test_accepting_twice_is_granted_twice() -> None:
    assert leases.accept(accepted(), "orin", 3, T0 + 1, POLICY).verdict == "continue"


def test_an_offer_that_nobody_takes_goes_back_to_the_queue() -> None:
    answer = leases.expire(offered(), T0 + 90, POLICY)
    assert (answer.lease.state, answer.trial) == ("cancelled", "requeue")


def test_a_running_lease_lasts_through_its_quiet_window() -> None:
    assert running(quiet_s=60).deadline_unix_s == T0 + 60 + 90


def test_a_quiet_window_is_cut_to_the_budget_and_a_margin() -> None:
    assert running(quiet_s=1e9).quiet_until_unix_s == T0 + BUDGET_S + POLICY.quiet_margin_s


@pytest.mark.parametrize("quiet_s", [math.nan, math.inf, -5.0])
def test_a_quiet_window_that_is_no_time_is_none(quiet_s: float) -> None:
    assert leases.quiet_window_s(accepted(), quiet_s, POLICY) == 0


def test_an_expired_lease_is_unknown_and_not_given_away() -> None:
    answer = leases.expire(running(), T0 + 150, POLICY)
    assert (answer.lease.state, answer.trial) == ("unknown", "keep")


def test_an_unknown_lease_is_lost_after_budget_and_margin() -> None:
    assert unknown().deadline_unix_s == T0 + 150 + BUDGET_S + 600
    answer = leases.expire(unknown(), T0 + 150 + BUDGET_S + 600, POLICY)
    assert (answer.lease.state, answer.trial) == ("lost", "record_lost")


def test_a_lost_lease_that_never_began_is_queued_again() -> None:
    first = leases.expire(accepted(), T0 + 90, POLICY).lease
    assert leases.expire(first, T0 + 90 + BUDGET_S + 600, POLICY).trial == "requeue"


def test_an_agent_that_comes_back_goes_on() -> None:
    answer = leases.held(unknown(), "orin", 3, "running", T0 + 500, POLICY)
    assert (answer.verdict, answer.lease.state) == ("continue", "running")
    assert answer.lease.deadline_unix_s == T0 + 590


def test_reconnecting_inside_the_quiet_window_does_not_shorten_it() -> None:
    assert leases.held(running(), "orin", 3, "running", T0 + 10, POLICY).lease == running()


@pytest.mark.parametrize("lease", [running(), unknown(), lost()])
def test_a_finished_attempt_is_asked_for_however_late(lease: Lease) -> None:
    assert leases.held(lease, "orin", 3, "finished", T0 + 1e6, POLICY).verdict == "send"


def test_a_committed_attempt_may_be_deleted_on_the_device() -> None:
    done = leases.commit(running())
    assert leases.held(done, "orin", 3, "finished", T0, POLICY).verdict == "already_have"
    assert leases.held(done, "orin", 3, "running", T0, POLICY).verdict == "discard"


def test_what_began_and_is_gone_is_recorded_as_lost() -> None:
    answer = leases.gone(running())
    assert (answer.lease.state, answer.trial) == ("lost", "record_lost")


def test_what_never_began_and_is_gone_is_queued_again() -> None:
    answer = leases.gone(accepted())
    assert (answer.lease.state, answer.trial) == ("cancelled", "requeue")


def test_an_offer_the_agent_has_not_heard_of_is_kept() -> None:
    assert leases.gone(offered()) == Answer(offered(), "continue")


def test_cancelling_an_offer_ends_it_at_once() -> None:
    answer = leases.cancel(offered(), "why")
    assert (answer.lease.state, answer.trial) == ("cancelled", "cancel")


def test_cancelling_a_running_attempt_waits_for_the_device() -> None:
    withdrawn = leases.cancel(running(), "why").lease
    assert withdrawn.state == "running"
    assert leases.held(withdrawn, "orin", 3, "running", T0, POLICY).verdict == "cancel"
    assert leases.held(withdrawn, "orin", 3, "finished", T0, POLICY).verdict == "send"
    assert leases.start(withdrawn, "orin", 3, 1, T0, POLICY).verdict == "cancel"
    assert leases.gone(withdrawn).trial == "cancel"


def test_a_cancelled_lease_that_is_accepted_late_is_refused() -> None:
    withdrawn = leases.cancel(accepted(), "why").lease
    assert leases.accept(withdrawn, "orin", 3, T0, POLICY).verdict == "discard"


def test_a_trial_runs_again_by_itself_only_when_the_policy_says_so() -> None:
    lost = frozenset({"agent_lost"})
    assert not Retry(1, lost).again("agent_lost", 1)
    assert Retry(2, lost).again("agent_lost", 1)
    assert not Retry(2, lost).again("timeout", 1)


HELD: list[HeldState] = ["accepted", "rebooting", "starting", "running", "finished"]
EVENTS = st.one_of(
    st.tuples(st.just("accept")),
    st.tuples(st.just("start"), st.floats(allow_nan=True, allow_infinity=True)),
    st.tuples(st.just("renew")),
    st.tuples(st.just("expire")),
    st.tuples(st.just("held"), st.sampled_from(HELD)),
    st.tuples(st.just("gone")),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("commit")),
)
STEPS = st.lists(st.tuples(st.floats(0, 2000), EVENTS), max_size=25)
NEXT = {
    "offered": {"offered", "accepted", "cancelled", "committed"},
    "accepted": {"accepted", "running", "unknown", "cancelled", "committed"},
    "running": {"running", "unknown", "lost", "committed"},
    "unknown": {"unknown", "accepted", "running", "lost", "cancelled", "committed"},
    "lost": {"lost", "committed"},
    "cancelled": {"cancelled", "committed"},
    "committed": {"committed"},
}


def step(lease: Lease, event: tuple[object, ...], now: float) -> Answer:
    kind = event[0]
    if kind == "accept":
        return leases.accept(lease, "orin", 3, now, POLICY)
    if kind == "start":
        return leases.start(lease, "orin", 3, event[1], now, POLICY)  # type: ignore[arg-type]
    if kind == "renew":
        return Answer(leases.renew(lease, "orin", 3, now, POLICY), "continue")
    if kind == "expire":
        return leases.expire(lease, now, POLICY)
    if kind == "held":
        return leases.held(lease, "orin", 3, event[1], now, POLICY, back_s=300.0)  # type: ignore[arg-type]
    if kind == "gone":
        return leases.gone(lease)
    if kind == "cancel":
        return leases.cancel(lease, "why")
    return Answer(leases.commit(lease), "already_have")


@given(STEPS)
def test_any_order_of_events_keeps_the_promises(steps: list[tuple[float, tuple[object, ...]]]) -> None:
    lease, now, ends = offered(), T0, 0
    for pause, event in steps:
        now += pause
        answer = step(lease, event, now)
        after = answer.lease
        assert after.state in NEXT[lease.state]
        assert (after.deadline_unix_s is not None) == (after.state in OPEN)
        # What may have run is never repeated silently.
        assert not (answer.trial == "requeue" and lease.began)
        # The trial is decided about once: when the lease closes without a result.
        if answer.trial != "keep":
            ends += 1
            assert lease.state in OPEN
            assert after.state in ("cancelled", "lost")
        assert lease.began <= after.began
        assert replace(after, state="offered").epoch == 3
        if after.state == "running":
            assert after.deadline_unix_s is not None
            assert after.deadline_unix_s <= now + BUDGET_S + POLICY.quiet_margin_s + POLICY.ttl_s
        lease = after
    assert ends <= 1


@given(STEPS)
def test_time_alone_ends_every_lease(steps: list[tuple[float, tuple[object, ...]]]) -> None:
    lease, now = offered(), T0
    for pause, event in steps:
        now += pause
        lease = step(lease, event, now).lease
    for _ in range(3):
        if lease.deadline_unix_s is not None:
            lease = leases.expire(lease, lease.deadline_unix_s, POLICY).lease
    assert lease.state not in OPEN


def rebooting(back_s: float = 900.0) -> Lease:
    return leases.held(accepted(), "orin", 3, "rebooting", T0, POLICY, back_s=back_s).lease


def test_a_device_that_announced_its_restart_is_waited_for() -> None:
    lease = rebooting()
    assert (lease.state, lease.is_rebooting, lease.deadline_unix_s) == ("accepted", True, T0 + 900 + 90)
    assert leases.expire(lease, T0 + 900, POLICY).lease == lease


def test_back_from_its_restart_the_lease_is_as_before() -> None:
    answer = leases.held(rebooting(), "orin", 3, "accepted", T0 + 200, POLICY)
    assert answer.verdict == "continue"
    assert (answer.lease.is_rebooting, answer.lease.deadline_unix_s) == (False, T0 + 200 + 90)
    assert leases.accept(answer.lease, "orin", 3, T0 + 201, POLICY).verdict == "continue"


def test_a_device_that_does_not_come_back_is_a_failure_of_its_own_and_no_other_device_tries() -> None:
    answer = leases.expire(rebooting(), T0 + 900 + 90, POLICY)
    assert (answer.lease.state, answer.trial) == ("lost", "record_overdue")
    # Back too late: nothing has run there, and nothing will.
    assert leases.accept(answer.lease, "orin", 3, T0 + 2000, POLICY).verdict == "discard"


def test_a_cancelled_trial_is_not_restarted_for() -> None:
    withdrawn = leases.cancel(accepted(), "enough").lease
    assert leases.held(withdrawn, "orin", 3, "rebooting", T0, POLICY, back_s=900).verdict == "cancel"


@pytest.mark.parametrize("back_s", [1e9, math.inf, math.nan, -1.0])
def test_an_absence_has_its_limit(back_s: float) -> None:
    deadline = rebooting(back_s).deadline_unix_s
    assert deadline is not None
    assert T0 + 90 <= deadline <= T0 + leases.REBOOT_MOST_S + 90


def in_batch() -> Lease:
    return leases.batch("b1-0000", "orin", epoch=3, budget_s=BUDGET_S)


def test_a_batch_does_not_expire_and_is_no_open_lease() -> None:
    lease = in_batch()
    assert lease.state not in OPEN
    assert leases.expire(lease, T0 + 1e9, POLICY).lease == lease


def test_a_result_of_a_batch_is_taken_from_its_device_over_the_network_too() -> None:
    assert leases.held(in_batch(), "orin", 3, "finished", T0, POLICY).verdict == "send"
    assert leases.held(in_batch(), "nano", 3, "finished", T0, POLICY).verdict == "discard"
    assert leases.held(in_batch(), "orin", 3, "running", T0, POLICY).lease == in_batch()
    assert leases.commit(in_batch()).state == "committed"


def test_a_batch_ends_by_hand() -> None:
    answer = leases.withdraw(in_batch())
    assert (answer.lease.state, answer.trial) == ("cancelled", "requeue")
    assert leases.withdraw(running()).lease == running()
    cancelled = leases.cancel(in_batch(), "enough")
    assert (cancelled.lease.state, cancelled.trial) == ("cancelled", "cancel")


def test_what_never_ran_under_a_lost_lease_never_runs() -> None:
    # It was accepted, and its files were on their way when a clock made the controller give it up.
    for state in ("accepted", "rebooting", "starting"):
        assert leases.held(lost(), "orin", 3, state, T0, POLICY).verdict == "cancel"
    assert leases.held(lost(), "orin", 3, "running", T0, POLICY).verdict == "continue"
    assert leases.held(lost(), "orin", 3, "finished", T0, POLICY).verdict == "send"
