"""All nodes of one schedule, and what happens to them.

The real agents and the real controller do the trials of a small study while
things go wrong; afterwards nothing does, and within a bounded simulated time
everything must have come right.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet.leases import Policy
from tests.sim import invariants, studies
from tests.sim.disk import Disk
from tests.sim.faults import Event, Plan
from tests.sim.invariants import Sight
from tests.sim.loop import Process, SimulatedLoop
from tests.sim.network import Net
from tests.sim.nodes import AgentNode, ControllerNode, Database, Node

# Budget, quiet window, lost_after and a night of a wrong clock: by then all is settled.
_PATIENCE_S = 4 * 3600.0
_LOOK_S = 5.0
# In every such schedule a trial has its device restarted.
_RESTARTS_EVERY = 4


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
        studies.template().backup(self.database)
        disk = Disk(root / "controller")
        self.controller = ControllerNode(
            loop, random.Random(f"{seed}/controller"), disk, self.net, self.database, Policy()
        )
        self.agents = {
            name: AgentNode(name, loop, random.Random(f"{seed}/{name}"), Disk(root / name), self.net)
            for name in studies.DEVICES
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
        was_full = any(event.kind == "full" for event in plan.events)
        was_wrong = any(event.kind == "clock" and event.node == "controller" for event in plan.events)
        self._sight = Sight(self._ask, self.agents, self.controller, was_full, was_wrong)
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
        if not self.outcome.violations:
            self._expect(invariants.at_the_end(self._sight))

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
            self._expect(invariants.of_deletion(self._sight, node, label.rpartition("/")[2]))
        if isinstance(node, AgentNode) and label.startswith("after fsync"):
            self._expect(invariants.of_beginning(node))

    def _note(self, line: str) -> None:
        text = f"{self._loop.time():9.3f} {line}"
        self.outcome.digest = zlib.crc32(text.encode(), self.outcome.digest)
        if self._say is not None:
            self._say(text)

    def _violate(self, text: str) -> None:
        self._note(f"VIOLATION {text}")
        self.outcome.violations.append(text)

    def _expect(self, violations: Iterable[str]) -> None:
        for text in violations:
            self._violate(text)

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
        trials, attempts = self._rng.randint(1, studies.MAX_TRIALS), self._rng.randint(1, 2)
        studies.put_blobs(BlobStore(self.controller.home.blobs_dir))
        restarts = self.outcome.seed % _RESTARTS_EVERY == 0
        studies.register(
            self.database, trials, attempts, now_unix_s=self.controller.clock(), restarts=restarts
        )
        self.controller.announce_study()
