"""One schedule from beginning to end, and what must hold in it and after it.

    outcome = run(seed)

The real agents and the real controller do the trials of a small study while
things go wrong; afterwards nothing does, and within a bounded simulated time
everything must have come right.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import logging
import os
import random
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from edgerig import documents
from edgerig.v1.trial_pb2 import FileRef, Trial
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet.leases import Policy
from edgerig_controller.store.tables import Base
from edgerig_controller.study.prepared import (
    Cell,
    DeviceSelector,
    PlannedTrial,
    Prediction,
    PreparedStudy,
    RetryRule,
)
from tests.controller.store.building import add_device
from tests.sim import disk as disks
from tests.sim.disk import Disk
from tests.sim.faults import Event, Plan, draw
from tests.sim.loop import Process, SimulatedLoop, StandstillError
from tests.sim.network import Net
from tests.sim.nodes import AgentNode, ControllerNode, Database, Node, _engine

DEVICES = ("orin", "nano")
_MAX_TRIALS = 2
# Budget, quiet window, lost_after and a night of a wrong clock: by then all is settled.
_PATIENCE_S = 4 * 3600.0
_LOOK_S = 5.0
_REPLACED: dict[str, Any] = {
    # Small pieces, so that even the files of a simulated attempt travel in several.
    "edgerig_agent.transfer.CHUNK_BYTES": 400,
    "edgerig_controller.rpc.agents.CHUNK_BYTES": 400,
    # The certificate that `tests.controller.store.building` has stored.
    "edgerig_controller.rpc.agents.certificate_serial": lambda context: f"{context.device_id}-1",
}
_MODEL, _DATA = b"model" * 100, b"data" * 50
_RESULTS_THAT_CAME = "SELECT 1 FROM result WHERE trial_id = ? AND kind = 'attempt' AND outcome != 'conflict'"
_OPEN_LEASES = """
    SELECT attempt_id, state FROM attempt WHERE state IN ('offered', 'accepted', 'running', 'unknown')
"""
_RETRY_ON = ("agent_lost", "rebooted", "killed")
_UNKNOWN = Prediction(None, "unknown")


# Whoever wants to see what happens gets every line.
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What came of one schedule. `digest` is of everything that happened, in order."""

    seed: int
    violations: list[str] = field(default_factory=list)
    digest: int = 0
    points: int = 0
    simulated_s: float = 0.0
    # Points per node, for those who want to place a death at each.
    points_of: dict[str, int] = field(default_factory=dict)


class World:
    """All nodes of one schedule."""

    def __init__(
        self, seed: int, plan: Plan, loop: SimulatedLoop, root: Path, say: Callable[[str], None] | None
    ) -> None:
        self.outcome = Outcome(seed)
        self._plan = plan
        self._loop = loop
        self._say = say
        rng = random.Random(f"{seed}/world")
        self._rng = rng
        self.net = Net(loop, random.Random(f"{seed}/net"))
        self.database = Database(":memory:", isolation_level=None, check_same_thread=False)
        _template().backup(self.database)
        disk = Disk(root / "controller")
        self.controller = ControllerNode(
            loop, random.Random(f"{seed}/controller"), disk, self.net, self.database, Policy()
        )
        self.agents = {
            name: AgentNode(name, loop, random.Random(f"{seed}/{name}"), Disk(root / name), self.net)
            for name in DEVICES
        }
        self.nodes: dict[str, Node] = {**self.agents, "controller": self.controller}
        deaths = {name: list(points) for name, points in plan.deaths.items()}
        for name, node in self.nodes.items():
            node.on_point = self._on_point
            node.fault = self._violate
            node.points_left = deaths[name].pop(0) if deaths.get(name) else None
        self._deaths = deaths
        for name, wire in self.net.wires.items():
            wire.rates = plan.rates.get(name, wire.rates)
        self._submitted = False
        if plan.submitted_s:
            loop.call_later(plan.submitted_s, self._submit)
        else:
            self._submit()

    # The run

    async def run(self) -> None:
        """Lets everything happen, heals it, and waits until it is settled."""
        self.controller.start()
        for agent in self.agents.values():
            agent.start()
        for event in self._plan.events:
            self._loop.call_later(event.at_s, self._happen, event)
        healed = False
        while self._loop.time() < _PATIENCE_S and not self.outcome.violations:
            await asyncio.sleep(_LOOK_S if self._loop.time() < 200.0 else 10 * _LOOK_S)
            over = self._loop.time() > self._plan.ends_s
            if over and not healed and self._loop.time() > 60.0:
                self._heal()
                healed = True
            if self._settled() and (healed or not self._plan.events):
                break
        self._check_end()

    def kill_everybody(self) -> None:
        """Ends every process, so that nothing outlives the schedule."""
        for node in self.nodes.values():
            if node.process is not None:
                node.process.kill()
        for agent in self.agents.values():
            for program in list(agent.machine.programs.values()):
                agent.machine.kill(program)

    def clear(self) -> None:
        """Lets disks and databases go."""
        for agent in self.agents.values():
            agent.database.close()
        for node in self.nodes.values():
            node.disk.forget()
        self.database.really_close()

    def _happen(self, event: Event) -> None:
        self._note(f"{event.kind} {event.node} {event.lasts_s:g} {event.step_s:g}")
        node = self.nodes[event.node]
        later = self._loop.call_later
        if event.kind in ("kill_agent", "kill_controller"):
            if node.process is not None:
                node.die(node.process)
        elif event.kind == "kill_attempt":
            machine = self.agents[event.node].machine
            for program in list(machine.programs.values()):
                machine.kill(program)
        elif event.kind == "cut":
            self.net.cut(event.node)
            later(event.lasts_s, self.net.heal, event.node)
        elif event.kind == "clock":
            node.clock_offset_s += event.step_s
            later(event.lasts_s, self._put_clock_right, node)
        elif event.kind == "full":
            node.disk.full = True
            later(event.lasts_s, self._empty, node)
        elif event.kind == "new_disk":
            self.agents[event.node].replace_disk()
        elif isinstance(node, AgentNode | ControllerNode):
            node.reboot(power_cut=event.kind == "power_cut")

    def _put_clock_right(self, node: Node) -> None:
        node.clock_offset_s = 0.0

    def _empty(self, node: Node) -> None:
        node.disk.full = False

    def _heal(self) -> None:
        self._note("healed")
        for name, node in self.nodes.items():
            node.points_left = None
            node.disk.full = False
            node.clock_offset_s = 0.0
            self._deaths[name] = []
        for wire in self.net.wires.values():
            wire.cut = False
            # Hints may go on being lost: they are hints.
            hint_lost = wire.rates.hint_lost
            wire.rates = type(wire.rates)(hint_lost=hint_lost)

    def _settled(self) -> bool:
        (unfinished,) = self._ask("SELECT count(*) FROM trial WHERE state != 'done'")[0]
        return (
            self._submitted
            and not unfinished
            and all(node.process is not None for node in self.nodes.values())
            and not any(agent.held() or agent.folders() for agent in self.agents.values())
        )

    def _on_point(self, node: Node, process: Process, label: str) -> None:
        outcome = self.outcome
        outcome.points += 1
        outcome.points_of[node.name] = outcome.points_of.get(node.name, 0) + 1
        self._note(f"{process.name}: {label}")
        if node.points_left is None and self._deaths.get(node.name) and process is node.process:
            node.points_left = self._deaths[node.name].pop(0)
        if isinstance(node, AgentNode) and label.startswith("shutil.rmtree") and "attempts/" in label:
            self._check_deletion(node, label.rpartition("/")[2])
        if isinstance(node, AgentNode) and label.startswith("after fsync"):
            self._check_began(node)

    def _note(self, line: str) -> None:
        text = f"{self._loop.time():9.3f} {line}"
        self.outcome.digest = zlib.crc32(text.encode(), self.outcome.digest)
        if self._say is not None:
            self._say(text)

    def _violate(self, text: str) -> None:
        self._note(f"VIOLATION {text}")
        self.outcome.violations.append(text)

    # What must hold at every moment

    def _check_deletion(self, node: AgentNode, attempt_id: str) -> None:
        """A result is deleted only when the controller has it."""
        if not (node.home / "attempts" / attempt_id / "manifest.json").exists():
            return
        if not self._ask("SELECT 1 FROM result WHERE attempt_id = ? AND kind = 'attempt'", attempt_id):
            self._violate(
                f"{node.name} deletes the result of {attempt_id}, which the controller does not have"
            )

    def _check_began(self, node: AgentNode) -> None:
        ran = node.ran
        if len(ran) != len(set(ran)):
            self._violate(f"{node.name} ran an attempt twice: {ran}")

    # What must hold when all is settled

    def _check_end(self) -> None:
        if self.outcome.violations:
            return
        self._check_trials()
        self._check_results()
        self._check_leftovers()

    def _check_trials(self) -> None:
        for trial_id, state, epoch in self._ask("SELECT trial_id, state, epoch FROM trial"):
            kinds = [
                kind
                for (kind,) in self._ask("SELECT kind FROM result WHERE trial_id = ? AND canonical", trial_id)
            ]
            if state != "done" or len(kinds) != 1:
                self._violate(
                    f"trial {trial_id} is stuck: {state}, epoch {epoch}, {len(kinds)} results that count"
                )
            elif kinds == ["lost"] and self._ask(
                "SELECT 1 FROM result WHERE trial_id = ? AND kind = 'attempt' AND outcome != 'conflict'",
                trial_id,
            ):
                self._violate(f"trial {trial_id} counts as lost although a result came")
            (began,) = self._ask("SELECT count(*) FROM attempt WHERE trial_id = ? AND began", trial_id)[0]
            (most,) = self._ask("SELECT max_attempts FROM study")[0]
            if began > most:
                self._violate(f"{trial_id} began {began} times, {most} are allowed")
            epochs = [row[0] for row in self._ask("SELECT epoch FROM attempt WHERE trial_id = ?", trial_id)]
            if len(epochs) != len(set(epochs)):
                self._violate(f"two attempts of {trial_id} have the same epoch")

    def _check_results(self) -> None:
        """Whatever ran has brought its result, once."""
        for agent in self.agents.values():
            for attempt_id in agent.ran:
                count = self._ask(
                    "SELECT count(*) FROM result WHERE attempt_id = ? AND kind = 'attempt'", attempt_id
                )[0][0]
                if count != 1 and not (count == 0 and attempt_id in agent.forgotten):
                    self._violate(f"{attempt_id} ran on {agent.name} and has {count} stored results")
        self._check_reasons()
        blobs = self.controller.home.blobs_dir
        for (sha256,) in self._ask("SELECT DISTINCT sha256 FROM artifact"):
            path = blobs / sha256[:2] / sha256
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                self._violate(f"file {sha256[:12]} of a stored result is missing or damaged")

    def _check_reasons(self) -> None:
        """Nothing fails but what was killed, was restarted, was lost, or had no disk."""
        allowed = {"", "killed", "rebooted", "agent_lost"}
        if any(event.kind == "full" for event in self._plan.events):
            allowed.add("precondition")
        for attempt_id, failure, message in self._ask(
            "SELECT attempt_id, failure_class, failure_message FROM result"
        ):
            if failure not in allowed:
                self._violate(f"{attempt_id} failed as {failure}: {message}")

    def _check_leftovers(self) -> None:
        still_open = self._ask(_OPEN_LEASES)
        if still_open:
            self._violate(f"leases stay open: {still_open}")
        for agent in self.agents.values():
            left = agent.folders() + [path.name for path in sorted(agent.home.glob("refused/*"))]
            if left:
                self._violate(f"{agent.name} keeps {left}")

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return sqlite3.Connection.execute(self.database, query, values).fetchall()

    def _submit(self) -> None:
        """Registers a study whose trials need a model and data, and tells the agents."""
        if self.controller.disk.full:
            # A person is told so, and tries again.
            self._loop.call_later(30.0, self._submit)
            return
        self._submitted = True
        self._note("submit")
        trials = self._rng.randint(1, _MAX_TRIALS)
        blobs = BlobStore(self.controller.home.blobs_dir)
        references = [
            FileRef(path=path, sha256=blobs.put_bytes(content), size_bytes=len(content))
            for content, path in ((_MODEL, "model.safetensors"), (_DATA, "data.jsonl"))
        ]
        self.controller.repository().create_study(
            _prepared(references, trials, RetryRule(self._rng.randint(1, 2), _RETRY_ON)),
            reuse=False,
            now_unix_s=self.controller.clock(),
        )
        self.controller.announce_study()


def run(seed: int, *, plan: Plan | None = None, say: Say | None = None, root: Path | None = None) -> Outcome:
    """Runs the schedule of a seed; `plan` replaces what the seed would draw."""
    disks.watch()
    folder = _make_folder(seed, root or _fast_folder())
    loop = SimulatedLoop()
    incidents: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(_collected_between())
        stack.enter_context(_quiet(incidents))
        for name, value in _REPLACED.items():
            stack.enter_context(mock.patch(name, value))
        world = World(seed, plan if plan is not None else draw(seed, DEVICES), loop, folder, say)
        try:
            loop.run_until_complete(world.run())
        except StandstillError as error:
            world.outcome.violations.append(f"standstill: {error}")
        finally:
            world.kill_everybody()
            _drain(loop)
            world.clear()
            shutil.rmtree(folder, ignore_errors=True)
    world.outcome.violations += incidents
    world.outcome.simulated_s = loop.time()
    loop.close()
    return world.outcome


def _drain(loop: SimulatedLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=1000.0))


@contextmanager
def _collected_between() -> Iterator[None]:
    """Keeps the collector from ending generators in the middle of a schedule, at moments of its own."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _collect()
        if was_on:
            gc.enable()


_schedules = itertools.count(1)


def _collect() -> None:
    if next(_schedules) % 20 == 0:
        gc.collect()


class _quiet:  # noqa: N801 - used as a statement
    """Keeps the programs' logs away, but for the controller's faults of its own."""

    def __init__(self, incidents: list[str]) -> None:
        self._handler = _Incidents(incidents)
        self._before: list[tuple[logging.Logger, int, bool]] = []

    def __enter__(self) -> None:
        for name in ("edgerig_agent", "edgerig_controller"):
            logger = logging.getLogger(name)
            self._before.append((logger, logger.level, logger.propagate))
            logger.setLevel(logging.ERROR)
            logger.propagate = False
            logger.addHandler(self._handler)

    def __exit__(self, *_error: object) -> None:
        for logger, level, propagate in self._before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(self._handler)


class _Incidents(logging.Handler):
    def __init__(self, incidents: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._incidents = incidents

    def emit(self, record: logging.LogRecord) -> None:
        if "incident" in record.msg and record.exc_info and isinstance(record.exc_info[1], Exception):
            self._incidents.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


_templates: list[sqlite3.Connection] = []


def _template() -> sqlite3.Connection:
    """Makes the tables and devices that every schedule begins with, once."""
    if not _templates:
        from edgerig_controller.store.repository import Repository
        from tests.sim import nodes

        database = Database(":memory:", isolation_level=None, check_same_thread=False)
        nodes._present[:] = [database]
        _engine.dispose()
        Base.metadata.create_all(_engine)
        repository = Repository(_engine, Path("memory"))
        for name in DEVICES:
            add_device(repository, name)
        _templates.append(database)
    return _templates[0]


def _prepared(references: list[FileRef], count: int, retry: RetryRule) -> PreparedStudy:
    trials = []
    for seed in range(1, count + 1):
        trial = Trial(schema_version=1, seed=seed, repeat=1)
        trial.budgets.attempt.duration_s = 120
        trial.model.files.append(references[0])
        trial.task.data.CopyFrom(references[1])
        trial.digest = documents.digest(documents.to_json(trial))
        trials.append(PlannedTrial(0, trial))
    return PreparedStudy(
        name="simulated",
        digest="d" * 64,
        resolved={},
        source_yaml="",
        cells=(Cell(0, {}, "cell", _UNKNOWN, _UNKNOWN),),
        trials=tuple(trials),
        exclusions=(),
        devices=DeviceSelector(),
        blobs=frozenset(reference.sha256 for reference in references),
        retry=retry,
    )


def _make_folder(seed: int, root: Path) -> Path:
    """Makes a folder whose name follows from the seed: it stands in messages, and those in results."""
    folder = root / f"edgerig-sim-{os.getuid()}-{seed}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        # Somebody runs the same seed at this moment, or was killed in it.
        return Path(tempfile.mkdtemp(prefix="edgerig-sim-", dir=root))
    return folder


def _fast_folder() -> Path:
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
