"""What must hold in a schedule at every moment, and what when all is settled.

Reads the controller's database and the agents' disks; changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.sim.nodes import AgentNode, ControllerNode

_OPEN_LEASES = """
    SELECT attempt_id, state FROM attempt WHERE state IN ('offered', 'accepted', 'running', 'unknown')
"""
# But for one after which the study wanted the trial run again: the next attempt may be lost.
_RESULTS_THAT_CAME = """
    SELECT 1 FROM result AS came
    JOIN result AS lost ON lost.trial_id = came.trial_id AND lost.canonical
    WHERE came.trial_id = ? AND came.kind = 'attempt' AND came.outcome != 'conflict'
    AND NOT (came.result_id < lost.result_id
        AND came.failure_class IN (
            SELECT value FROM trial JOIN study USING (study_id), json_each(study.retry_on)
            WHERE trial.trial_id = came.trial_id))
"""


@dataclass(frozen=True)
class Sight:
    """What an observer from outside sees of a schedule."""

    ask: Callable[..., list[tuple[Any, ...]]]
    agents: Mapping[str, AgentNode]
    controller: ControllerNode
    # Whether a disk was ever full: an attempt may then have failed for it.
    disk_was_full: bool
    # Whether the controller's clock was: it may have given a device up that was on time.
    clock_was_wrong: bool


def of_deletion(sight: Sight, node: AgentNode, attempt_id: str) -> Iterator[str]:
    """A result is deleted only when the controller has it."""
    if not (node.home / "attempts" / attempt_id / "manifest.json").exists():
        return
    if not sight.ask("SELECT 1 FROM result WHERE attempt_id = ? AND kind = 'attempt'", attempt_id):
        yield f"{node.name} deletes the result of {attempt_id}, which the controller does not have"


def of_beginning(node: AgentNode) -> Iterator[str]:
    """No attempt runs twice."""
    ran = node.ran
    if len(ran) != len(set(ran)):
        yield f"{node.name} ran an attempt twice: {ran}"


def at_the_end(sight: Sight) -> Iterator[str]:
    """No result is lost, none counts twice, no trial is stuck, nothing is left over."""
    yield from _trials(sight)
    yield from _results(sight)
    yield from _reasons(sight)
    yield from _files(sight)
    yield from _leftovers(sight)


def _trials(sight: Sight) -> Iterator[str]:
    ask = sight.ask
    for trial_id, state, epoch in ask("SELECT trial_id, state, epoch FROM trial"):
        kinds = [
            kind for (kind,) in ask("SELECT kind FROM result WHERE trial_id = ? AND canonical", trial_id)
        ]
        if state != "done" or len(kinds) != 1:
            yield f"trial {trial_id} is stuck: {state}, epoch {epoch}, {len(kinds)} results that count"
        elif kinds == ["lost"] and ask(_RESULTS_THAT_CAME, trial_id):
            yield f"trial {trial_id} counts as lost although a result came"
        (began,) = ask("SELECT count(*) FROM attempt WHERE trial_id = ? AND began", trial_id)[0]
        (most,) = ask("SELECT max_attempts FROM study")[0]
        if began > most:
            yield f"{trial_id} began {began} times, {most} are allowed"
        epochs = [row[0] for row in ask("SELECT epoch FROM attempt WHERE trial_id = ?", trial_id)]
        if len(epochs) != len(set(epochs)):
            yield f"two attempts of {trial_id} have the same epoch"


def _results(sight: Sight) -> Iterator[str]:
    """Whatever ran has brought its result, once."""
    for agent in sight.agents.values():
        for attempt_id in agent.ran:
            ((count,),) = sight.ask(
                "SELECT count(*) FROM result WHERE attempt_id = ? AND kind = 'attempt'", attempt_id
            )
            if count != 1 and not (count == 0 and attempt_id in agent.forgotten):
                yield f"{attempt_id} ran on {agent.name} and has {count} stored results"


def _reasons(sight: Sight) -> Iterator[str]:
    """Nothing fails but what was killed, was restarted, was lost, or had no disk."""
    allowed = {"", "killed", "rebooted", "agent_lost"}
    if sight.disk_was_full:
        allowed.add("precondition")
    if sight.clock_was_wrong:
        allowed.add("reboot_failed")
    for attempt_id, failure, message in sight.ask(
        "SELECT attempt_id, failure_class, failure_message FROM result"
    ):
        if failure not in allowed:
            yield f"{attempt_id} failed as {failure}: {message}"


def _files(sight: Sight) -> Iterator[str]:
    blobs = sight.controller.home.blobs_dir
    for (sha256,) in sight.ask("SELECT DISTINCT sha256 FROM artifact"):
        path = blobs / sha256[:2] / sha256
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            yield f"file {sha256[:12]} of a stored result is missing or damaged"


def _leftovers(sight: Sight) -> Iterator[str]:
    still_open = sight.ask(_OPEN_LEASES)
    if still_open:
        yield f"leases stay open: {still_open}"
    for agent in sight.agents.values():
        left = agent.folders() + [path.name for path in sorted(agent.home.glob("refused/*"))]
        if left:
            yield f"{agent.name} keeps {left}"
