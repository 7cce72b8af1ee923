"""What to do next about an attempt that this device holds: a pure decision.

Facts go in (the stored row, the folder's files, whether the process lives,
what the controller said), one action comes out. Knows nothing of databases,
processes or gRPC, so that every combination can be tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgerig.v1.agent_service_pb2 import (
    COMMIT_OUTCOME_ALREADY_HAVE,
    COMMIT_OUTCOME_CANONICAL,
    COMMIT_OUTCOME_CONFLICT,
    COMMIT_OUTCOME_DISCARDED,
    COMMIT_OUTCOME_INCOMPLETE,
    COMMIT_OUTCOME_SUPERSEDED,
    HELD_STATE_ACCEPTED,
    HELD_STATE_FINISHED,
    HELD_STATE_REBOOTING,
    HELD_STATE_RUNNING,
    HELD_STATE_STARTING,
    VERDICT_ALREADY_HAVE,
    VERDICT_CANCEL,
    VERDICT_CONTINUE,
    VERDICT_DISCARD,
    HeldState,
)
from edgerig_agent.spool import RowState

# An attempt process that ends this often before it begins will not begin.
MAX_SPAWNS = 3
# A device that is restarted this often for an attempt and still is not in its mode will not be.
MAX_REBOOTS = 2


class Action(Enum):
    """The next step for one held attempt."""

    SPAWN = "spawn"  # never ran: confirm the lease, fetch what it needs, start it
    REBOOT = "reboot"  # never ran, and its power mode takes a restart: announce it, have it done
    ADOPT = "adopt"  # runs: watch it until it ends
    STOP = "stop"  # runs and must not: end it, then decide again
    BURY = "bury"  # ran and died: have its result written, then decide again
    GIVE_UP = "give_up"  # never begins: write a result that says so, then decide again
    COMMIT = "commit"  # finished: make it durable at the controller
    DELETE = "delete"  # nothing of it is needed any more
    WAIT = "wait"  # the controller's answer is needed first


@dataclass(frozen=True)
class Observed:
    """One held attempt as it stands now. `verdict` is None while the controller has not answered."""

    state: RowState
    alive: bool
    began: bool
    manifest: bool
    spawn_count: int
    verdict: int | None
    # Of another boot than the row: a restart, declared or not, lies between.
    rebooted: bool = False


def decide(seen: Observed) -> Action:
    """Returns the next action.

    The rules behind it: what runs is never started again; what ran is never
    repeated; a result is deleted only on the controller's word.
    """
    unwanted = seen.verdict in (VERDICT_ALREADY_HAVE, VERDICT_DISCARD)
    if seen.alive:
        return Action.STOP if unwanted or seen.verdict == VERDICT_CANCEL else Action.ADOPT
    if seen.manifest:
        if seen.verdict is None:
            return Action.WAIT
        # A cancelled attempt that has a result still delivers it.
        return Action.DELETE if unwanted else Action.COMMIT
    if unwanted:
        return Action.DELETE
    if seen.began or seen.state == "finished":
        # `finished` without a manifest: files were lost; say so rather than run again.
        return Action.BURY
    return _never_ran(seen)


def _never_ran(seen: Observed) -> Action:
    if seen.verdict is None:
        return Action.WAIT
    if seen.verdict != VERDICT_CONTINUE:
        # Cancelled, or no longer known as leased: nothing ran, so nothing is lost.
        return Action.DELETE
    if seen.state == "rebooting" and not seen.rebooted:
        return Action.REBOOT
    return Action.GIVE_UP if seen.spawn_count >= MAX_SPAWNS else Action.SPAWN


def reported_state(seen: Observed) -> HeldState:
    """Returns the HeldState that the controller is told."""
    if seen.alive:
        return HELD_STATE_RUNNING
    if seen.manifest:
        return HELD_STATE_FINISHED
    if seen.began:
        return HELD_STATE_RUNNING
    if seen.state == "rebooting":
        # After the restart it is what it was before: accepted, and nothing has run.
        return HELD_STATE_ACCEPTED if seen.rebooted else HELD_STATE_REBOOTING
    return HELD_STATE_ACCEPTED if seen.state == "accepted" else HELD_STATE_STARTING


def after_commit(outcome: int) -> Action:
    """Returns what a commit's reply allows: DELETE, COMMIT (after an upload) or WAIT."""
    if outcome == COMMIT_OUTCOME_INCOMPLETE:
        return Action.COMMIT
    durable = (
        COMMIT_OUTCOME_CANONICAL,
        COMMIT_OUTCOME_SUPERSEDED,
        COMMIT_OUTCOME_ALREADY_HAVE,
        COMMIT_OUTCOME_CONFLICT,
        COMMIT_OUTCOME_DISCARDED,
    )
    # An outcome of a later protocol is not a promise of durability.
    return Action.DELETE if outcome in durable else Action.WAIT
