"""What comes next for a held attempt: every combination of facts, checked against the promises."""

from __future__ import annotations

import itertools

import pytest

from edgerig.v1 import agent_service_pb2 as wire
from edgerig_agent.held import MAX_SPAWNS, Action, Observed, after_commit, decide, reported_state

VERDICTS = (
    None,
    wire.VERDICT_CONTINUE,
    wire.VERDICT_CANCEL,
    wire.VERDICT_SEND,
    wire.VERDICT_ALREADY_HAVE,
    wire.VERDICT_DISCARD,
)
ALL = [
    Observed(state, alive, began, manifest, spawn_count, verdict, rebooted)
    for state, alive, began, manifest, spawn_count, verdict, rebooted in itertools.product(
        ("accepted", "rebooting", "starting", "running", "finished"),
        (False, True),
        (False, True),
        (False, True),
        (0, MAX_SPAWNS),
        VERDICTS,
        (False, True),
    )
]


def test_what_lives_or_has_begun_is_never_started_again() -> None:
    for seen in ALL:
        if decide(seen) is Action.SPAWN:
            assert not (seen.alive or seen.began or seen.manifest), seen


def test_a_device_is_restarted_only_for_what_has_not_run_and_on_the_controllers_word() -> None:
    for seen in ALL:
        if decide(seen) is Action.REBOOT:
            assert not (seen.alive or seen.began or seen.manifest or seen.rebooted), seen
            assert (seen.state, seen.verdict) == ("rebooting", wire.VERDICT_CONTINUE), seen


def test_after_the_restart_the_attempt_goes_on() -> None:
    seen = Observed("rebooting", False, False, False, 0, wire.VERDICT_CONTINUE, rebooted=True)
    assert decide(seen) is Action.SPAWN


def test_nothing_is_started_without_the_controllers_word() -> None:
    for seen in ALL:
        if decide(seen) is Action.SPAWN:
            assert seen.verdict == wire.VERDICT_CONTINUE, seen


def test_a_result_is_deleted_only_on_the_controllers_word() -> None:
    for seen in ALL:
        if seen.manifest and decide(seen) is Action.DELETE:
            assert seen.verdict in (wire.VERDICT_ALREADY_HAVE, wire.VERDICT_DISCARD), seen


def test_what_ran_is_deleted_only_on_the_controllers_word() -> None:
    for seen in ALL:
        if seen.began and decide(seen) is Action.DELETE:
            assert seen.verdict in (wire.VERDICT_ALREADY_HAVE, wire.VERDICT_DISCARD), seen


def test_what_lives_is_watched_or_stopped_and_nothing_else() -> None:
    for seen in ALL:
        if seen.alive:
            assert decide(seen) in (Action.ADOPT, Action.STOP), seen


def test_what_began_and_died_without_a_manifest_is_buried_even_offline() -> None:
    dead = [s for s in ALL if s.began and not s.alive and not s.manifest and s.verdict is None]
    assert {decide(seen) for seen in dead} == {Action.BURY}


def test_only_an_unanswered_question_waits() -> None:
    for seen in ALL:
        if decide(seen) is Action.WAIT:
            assert seen.verdict is None, seen


@pytest.mark.parametrize("state", ["accepted", "starting", "running"])
def test_a_start_that_left_no_mark_is_made_once_more(state: str) -> None:
    assert decide(Observed(state, False, False, False, 1, wire.VERDICT_CONTINUE)) is Action.SPAWN


def test_a_start_that_never_leaves_a_mark_is_given_up() -> None:
    seen = Observed("starting", False, False, False, MAX_SPAWNS, wire.VERDICT_CONTINUE)
    assert decide(seen) is Action.GIVE_UP


def test_a_cancelled_attempt_that_finished_still_delivers() -> None:
    assert decide(Observed("running", False, True, True, 1, wire.VERDICT_CANCEL)) is Action.COMMIT


def test_a_cancelled_attempt_that_lives_is_stopped() -> None:
    assert decide(Observed("running", True, True, False, 1, wire.VERDICT_CANCEL)) is Action.STOP


def test_a_finished_row_that_lost_its_files_is_buried_and_not_run() -> None:
    assert decide(Observed("finished", False, False, False, 1, wire.VERDICT_CONTINUE)) is Action.BURY


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (Observed("accepted", False, False, False, 0, None), wire.HELD_STATE_ACCEPTED),
        (Observed("rebooting", False, False, False, 0, None), wire.HELD_STATE_REBOOTING),
        (Observed("rebooting", False, False, False, 0, None, rebooted=True), wire.HELD_STATE_ACCEPTED),
        (Observed("starting", False, False, False, 1, None), wire.HELD_STATE_STARTING),
        (Observed("starting", True, False, False, 1, None), wire.HELD_STATE_RUNNING),
        (Observed("running", True, True, False, 1, None), wire.HELD_STATE_RUNNING),
        (Observed("running", False, True, True, 1, None), wire.HELD_STATE_FINISHED),
    ],
)
def test_the_controller_is_told_where_an_attempt_stands(seen: Observed, state: int) -> None:
    assert reported_state(seen) == state


def test_every_known_commit_outcome_is_answered() -> None:
    answers = {name: after_commit(value) for name, value in wire.CommitOutcome.items()}
    assert answers == {
        "COMMIT_OUTCOME_UNSPECIFIED": Action.WAIT,
        "COMMIT_OUTCOME_CANONICAL": Action.DELETE,
        "COMMIT_OUTCOME_SUPERSEDED": Action.DELETE,
        "COMMIT_OUTCOME_ALREADY_HAVE": Action.DELETE,
        "COMMIT_OUTCOME_CONFLICT": Action.DELETE,
        "COMMIT_OUTCOME_INCOMPLETE": Action.COMMIT,
        "COMMIT_OUTCOME_DISCARDED": Action.DELETE,
    }


def test_an_outcome_of_a_later_protocol_deletes_nothing() -> None:
    assert after_commit(99) is Action.WAIT
