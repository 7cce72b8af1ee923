"""An agent and a controller put together from their production parts, on a simulated machine each.

Each can be killed at any moment and started again on what it left: files, and
the databases, which live in memory with the same transactions as on a disk.
"""

from __future__ import annotations

import functools
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from edgerig.errors import EdgerigError, StorageError
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_agent import rounds, spool
from edgerig_agent.conductor import Conductor, Limits
from edgerig_agent.runner import Programs, Runner
from edgerig_agent.session import Link
from edgerig_agent.signals import Signals
from edgerig_controller import home as homes
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet.identity import Authority
from edgerig_controller.fleet.leases import Policy
from edgerig_controller.home import Home
from edgerig_controller.rpc.agents import AgentService
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.interceptors import Guard
from edgerig_controller.store.engine import configure
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper
from tests.sim.disk import Disk
from tests.sim.loop import OWNER, Killed, Process, SimulatedLoop
from tests.sim.machine import SimMachine
from tests.sim.network import Net, Server, SimChannel, Wire

T0 = 1_750_000_000.0
FREE_BYTES = 10**12
_PROGRAMS = Programs(("attempt",), ("bury",), ("facts",), restart=("restart",))
_FULL = "database or disk is full"


class Node:
    """What agents and controllers have in common: a disk, a clock, and deaths."""

    def __init__(self, name: str, loop: SimulatedLoop, rng: random.Random, disk: Disk) -> None:
        self.name = name
        self.loop = loop
        self.rng = rng
        self.disk = disk
        self.clock_offset_s = 0.0
        self.process: Process | None = None
        self.lives = 0
        # The process dies at this many points from now; None = not by itself.
        self.points_left: int | None = None
        self.on_point: Callable[[Node, Process, str], None] = lambda _n, _p, _l: None
        self.fault: Callable[[str], None] = lambda _text: None

    def clock(self) -> float:
        """Unix seconds as this machine believes them."""
        return T0 + self.loop.time() + self.clock_offset_s

    def new_process(self, name: str) -> Process:
        return Process(name, self.loop, self._at_point)

    def _at_point(self, process: Process, label: str) -> None:
        self.on_point(self, process, label)
        if self.points_left is None:
            return
        self.points_left -= 1
        if self.points_left <= 0:
            self.points_left = None
            self.die(process)

    def die(self, process: Process) -> None:
        """Kills a process of this node where it stands; a daemon is started again by its supervisor."""
        if not process.alive:
            return
        process.kill()
        if process is self.process:
            self.process = None
            self.after_death()
            self.loop.call_later(self.rng.choice([0.0, 0.5, 5.0, 60.0]), self.start)

    def after_death(self) -> None:
        """Cleans up what a kernel cleans up."""

    def start(self) -> None:
        """Starts a life of the daemon, unless one lives."""


class AgentNode(Node):
    """One device with its agent."""

    def __init__(self, name: str, loop: SimulatedLoop, rng: random.Random, disk: Disk, net: Net) -> None:
        super().__init__(name, loop, rng, disk)
        self._net = net
        self.wire = net.wires.setdefault(name, Wire(name))
        self.home = disk.root / "home"
        self.home.mkdir()
        (self.home / "attempts").mkdir()
        disk.all_durable()
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        _empty_spool().backup(self.database)
        # Attempts of which a process began here, in order.
        self.ran: list[str] = []
        # Of these, the ones that a disk may have taken along.
        self.forgotten: set[str] = set()
        boot_path = disk.root.parent / f"{name}.boot"
        self.machine = SimMachine(
            loop,
            rng,
            boot_path,
            new_process=self.new_process,
            began=self.ran.append,
            go_down=lambda: self.reboot(power_cut=False),
            fault=lambda text: self.fault(text),
        )

    def held(self) -> list[str]:
        return [row[0] for row in self.database.execute("SELECT attempt_id FROM attempt")]

    def folders(self) -> list[str]:
        return sorted(path.name for path in (self.home / "attempts").glob("*"))

    def reboot(self, *, power_cut: bool) -> None:
        """Everything on the machine dies at once; a power cut also takes what was not synced."""
        if self.process is not None:
            self.die(self.process)
        self.machine.boot()
        if power_cut:
            self.disk.cut_power()

    def replace_disk(self) -> None:
        """Somebody puts a new card in: nothing of what this device knew is left."""
        self.machine.modes.forget()
        self.reboot(power_cut=False)
        self.database.execute("DELETE FROM attempt")
        self.database.execute("DELETE FROM counter")
        shutil.rmtree(self.home)
        (self.home / "attempts").mkdir(parents=True)
        self.disk.all_durable()
        self.forgotten.update(self.ran)

    def after_death(self) -> None:
        self.machine.drop_locks()

    def start(self) -> None:
        if self.process is not None:
            return
        self.lives += 1
        process = self.process = self.new_process(f"{self.name}#{self.lives}")
        process.run(self._live(process))

    async def _live(self, process: Process) -> None:
        try:
            await self._daemon(process)
        except Killed:
            return
        except EdgerigError as error:
            # systemd starts it again.
            if process.alive:
                self.on_point(self, process, f"ends: {error.message}")
                self.die(process)
        except Exception as error:  # noqa: BLE001 - the finding
            if process.alive:
                self.fault(f"the agent has a fault of its own: {error!r}")
                self.die(process)

    async def _daemon(self, process: Process) -> None:
        """What `Daemon.run` does, with this world's channel, processes, facts and disk."""
        store = spool.wrap(self.database, self.home / "spool.db", clock=self.clock, fault=self._spool_point)
        signals = Signals()
        runner = Runner(self.home, store, _PROGRAMS, self.machine.boot_id, self.machine)
        link = Link(
            lambda _address: SimChannel(self._net, self.wire),
            address=lambda: "controller",
            listener=signals,
            boot_id=self.machine.boot_id,
            session_epoch=store.next_session_epoch,
            rng=random.Random(f"{self.name}/{self.lives}/{self.rng.random()}"),
            clock=self.loop.time,
        )
        conductor = Conductor(
            self.home,
            controller=link,
            signals=signals,
            spool=store,
            runner=runner,
            limits=Limits(10**9, 10**6),
            worker_python="python",
            collect_facts=_facts,
            own_pids=tuple,
            free_bytes=lambda _folder: 0 if self.disk.full else FREE_BYTES,
        )
        keeping = self.loop.create_task(self._keep(link, process))
        try:
            await rounds.serve(conductor, signals, link, embedded=False, rng=self.rng)
        finally:
            keeping.cancel()

    async def _keep(self, link: Link, process: Process) -> None:
        try:
            await link.keep()
        except Killed:
            return
        except EdgerigError as error:
            if process.alive:
                self.on_point(self, process, f"ends: {error.message}")
                self.die(process)
        except Exception as error:  # noqa: BLE001 - the finding
            if process.alive:
                self.fault(f"the agent's link has a fault of its own: {error!r}")
                self.die(process)

    def _spool_point(self, label: str) -> None:
        owner = OWNER.get()
        assert owner is not None
        owner.point(f"spool {label}")
        if self.disk.full and label.startswith("before"):
            raise StorageError("the disk is full, the spool cannot be written")


@functools.cache
def _empty_spool() -> sqlite3.Connection:
    """Makes the spool of an agent that never held anything, once."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    spool.wrap(database, Path("memory"))
    return database


async def _facts() -> DeviceFacts:
    return DeviceFacts(environment_digest="e" * 64, memory_bytes=8 * 2**30)


class Database(sqlite3.Connection):
    """A database in memory that outlives the controller's lives; a commit is a place to die."""

    disk_full: Callable[[], bool] = staticmethod(lambda: False)
    _changes = 0

    def commit(self) -> None:
        owner = OWNER.get()
        if owner is None or self.total_changes == self._changes:
            super().commit()
            self._changes = self.total_changes
            return
        try:
            owner.point("before commit")
            if self.disk_full():
                raise sqlite3.OperationalError(_FULL)
        except BaseException:
            super().rollback()
            raise
        super().commit()
        self._changes = self.total_changes
        owner.point("after commit")

    def rollback(self) -> None:
        super().rollback()
        self._changes = self.total_changes

    def close(self) -> None:
        """Kept: it stands for the file, not for a handle."""

    def really_close(self) -> None:
        super().close()


def engine_on(database: Callable[[], Database]) -> Engine:
    """Makes an engine on a database in memory, set up as the production code sets up its file."""
    engine = create_engine("sqlite://", creator=database, poolclass=StaticPool)
    configure(engine, begin="BEGIN IMMEDIATE", pragmas=())
    return engine


_present: list[Database] = []
# One engine for all seeds: what it has compiled it need not compile again.
_engine = engine_on(lambda: _present[-1])


class Known(AgentService):
    """Takes the caller's word for who it is: certificates have tests of their own."""

    async def _device(self, context: Any) -> str:
        name: str = context.device_id
        return name


class ControllerNode(Node):
    """The controller."""

    def __init__(
        self,
        loop: SimulatedLoop,
        rng: random.Random,
        disk: Disk,
        net: Net,
        database: Database,
        policy: Policy,
    ) -> None:
        super().__init__("controller", loop, rng, disk)
        self._net = net
        self._policy = policy
        self.database = database
        database.disk_full = lambda: self.disk.full
        _present[:] = [database]
        _engine.dispose()
        self.home = Home(disk.root / "data")
        homes.prepare(self.home)
        disk.all_durable()
        self._ids = 0
        self._frame: Frame | None = None

    def announce_study(self) -> None:
        """Wakes the agents, as SubmitStudy does; a controller that is down will be asked by them."""
        if self.process is not None and self._frame is not None:
            self.process.run(self._frame.wake_idle())

    def repository(self) -> Repository:
        return Repository(_engine, self.home.store_path, policy=self._policy, new_id=self._new_id)

    def reboot(self, *, power_cut: bool) -> None:
        if self.process is not None:
            self.die(self.process)
        if power_cut:
            self.disk.cut_power()

    def after_death(self) -> None:
        self._frame = None
        self._net.close_server()

    def start(self) -> None:
        if self.process is not None:
            return
        self.lives += 1
        process = self.process = self.new_process(f"controller#{self.lives}")
        process.run(self._live(process))

    async def _live(self, process: Process) -> None:
        try:
            await self._serve(process)
        except Killed:
            return
        except EdgerigError as error:
            if process.alive:
                self.on_point(self, process, f"ends: {error.message}")
                self.die(process)
        except Exception as error:  # noqa: BLE001 - the finding
            if process.alive:
                self.fault(f"the controller has a fault of its own: {error!r}")
                self.die(process)

    async def _serve(self, process: Process) -> None:
        """What `serve` does, without sockets and certificates."""
        homes.prepare(self.home)
        blobs = BlobStore(self.home.blobs_dir)
        blobs.recover()
        frame = Frame(
            home=self.home,
            authority=cast(Authority, SimpleNamespace(fleet_id="simulated")),
            store=StoreThread(self.repository()),
            blobs=blobs,
            traces=TraceKeeper(self.home, blobs),
            clock=self.clock,
        )
        timer = frame.lease_timer()
        frame.on_leases, frame.on_moved = timer.poke, timer.replan
        server = Server(process, Known(frame))
        await server.guard(Guard())
        self._net.server = server
        self._frame = frame
        await timer.run()

    def _new_id(self) -> str:
        self._ids += 1
        return f"a{self._ids:03d}"
