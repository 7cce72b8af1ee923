"""What is fuzzed: the real services on a real store and blob folder, called in this process.

TLS and HTTP/2 are left out, because they are gRPC's own; everything behind
them runs as in the controller: parsing, the guard with its statuses, the gate
with its roles and audit, the handlers, the database, the blobs. The caller is
an enrolled device, a viewer or an operator; a second device, the victim, does
honest work that nobody else may change.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import DecodeError, Message
from sqlalchemy import text

from bench.fuzz.corpus import honest
from bench.fuzz.population import INTRUDER, VICTIM, Context, Refused, populate
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig_controller import home as homes
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import identity
from edgerig_controller.home import Home
from edgerig_controller.rpc.agents import AgentService
from edgerig_controller.rpc.control import ControlService
from edgerig_controller.rpc.enroll import EnrollService
from edgerig_controller.rpc.fleet import FleetService
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.gate import PeopleGate
from edgerig_controller.rpc.interceptors import Guard, Unreadable
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper

# Asks for planning, which takes milliseconds to seconds: thrown more seldom.
SLOW = frozenset({"SubmitStudy", "RunGolden"})
# Ends the process, or never answers.
LEFT_OUT = frozenset({"Shutdown", "WatchStudy", "FollowAttempt", "Session"})
_HANGS_S = 120.0
_TOO_LONG_CPU_S = 5.0


class DirectStore:
    """Asks the repository at once; the fuzzer has one caller at a time."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    async def ask(self, question: Callable[[Repository], Any]) -> Any:
        return question(self.repository)

    look = ask

    def close(self) -> None:
        self.repository.close()


@dataclass
class Method:
    """One method of a service, with honest requests to begin from."""

    service: str
    name: str
    request: type[Message]
    call: Callable[[Any, Any], Any]
    contexts: list[Context]
    corpus: list[Message] = field(default_factory=list)


class Target:
    """A controller without listeners in a folder of its own.

    With `operator` the inputs come from an operator, who may change everything;
    without, from a device, a viewer and nobody, who must not touch the victim.
    """

    def __init__(self, folder: Path, now_unix_s: float, *, operator: bool) -> None:
        self.operator = operator
        self.now_unix_s = now_unix_s
        self.root = folder
        home = Home(folder / "data")
        homes.prepare(home)
        self.repository = Repository.open(home)
        blobs = BlobStore(home.blobs_dir)
        self.frame = Frame(
            home=home,
            authority=identity.open_authority(home.ca_dir, identity.utc_now()),
            store=cast(StoreThread, DirectStore(self.repository)),
            blobs=blobs,
            traces=TraceKeeper(home, blobs),
            clock=lambda: self.now_unix_s,
        )
        self._population = populate(self.frame, self.repository, now_unix_s)
        self.words = self._population.words
        self.methods = self._methods()

    def close(self) -> None:
        """Lets the database go."""
        self.repository.close()

    async def throw(self, method: Method, data: bytes, context: Context) -> str:
        """Sends bytes to a method as gRPC would; returns `undecodable`, `OK` or the name of the status.

        Raises:
            Exception: what no status stands for, which is a fault.
        """
        try:
            request: Message | Unreadable = method.request.FromString(data)
        except DecodeError as error:
            request = Unreadable(str(error))
        begin_s = time.process_time()
        try:
            await asyncio.wait_for(method.call(request, context), _HANGS_S)
            outcome = "OK"
        except Refused as refused:
            outcome = "undecodable" if isinstance(request, Unreadable) else refused.code.name
        # Processor time: on a busy machine a wall clock would find faults that are the machine's.
        used_s = time.process_time() - begin_s
        if used_s > _TOO_LONG_CPU_S:
            raise RuntimeError(f"{method.name} took {used_s:.1f} s of processor time")
        return outcome

    async def greet(self, data: bytes, context: Context) -> str:
        """Opens a session with these bytes as its first message, and ends it."""
        try:
            first = agents.SessionRequest.FromString(data)
        except DecodeError:
            return "undecodable"

        async def requests() -> AsyncIterator[agents.SessionRequest]:
            yield first

        service = Guard()._stream(AgentService(self.frame).Session, "Session")
        try:
            async for _ in service(requests(), context):
                pass
        except Refused as refused:
            return refused.code.name
        return "OK"

    def harm(self) -> list[str]:
        """Says what should never have happened, of all that was thrown so far."""
        found = []
        with self.repository._engine.connect() as connection:
            for pragma in ("integrity_check", "foreign_key_check"):
                rows = connection.execute(text(f"PRAGMA {pragma}")).all()
                if rows not in ([("ok",)], []):
                    found.append(f"PRAGMA {pragma}: {rows[:3]}")
        if not self.operator and self._victims_state() != self._before:
            found.append("rows of the victim have changed")
        beside = {path.name for path in self.root.iterdir()} - {"data"}
        if beside:
            found.append(f"files beside the data folder: {sorted(beside)}")
        strange = {path.name for path in self.frame.home.root.iterdir()} - {
            *("store.db", "store.db-wal", "store.db-shm", "ca", "blobs", "traces", "reports", "logs"),
        }
        if strange:
            found.append(f"files in the data folder: {sorted(strange)}")
        return found

    def remember(self) -> None:
        """Notes the state of the victim, which nothing may change from now on."""
        self._before = self._victims_state()

    def _victims_state(self) -> str:
        queries = (
            f"SELECT * FROM attempt WHERE device_id = '{VICTIM}'",
            f"SELECT * FROM certificate WHERE device_id = '{VICTIM}'",
            f"SELECT environment_digest FROM device WHERE device_id = '{VICTIM}'",
            f"SELECT * FROM result WHERE attempt_id = '{self._population.leases[1].attempt_id}'",
        )
        with self.repository._engine.connect() as connection:
            rows = [connection.execute(text(query)).all() for query in queries]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def _methods(self) -> list[Method]:
        found: list[Method] = []
        plain = Guard()
        guarded = Guard(gate=PeopleGate(self.frame))
        viewer, device = self._population.people["viewer"], self._population.devices[INTRUDER]
        people = [self._population.people["operator"]] if self.operator else [viewer, device]

        def addresses() -> tuple[str, str]:
            return "h:1", "h:2"

        control_service = ControlService(self.frame, addresses=addresses, stop=lambda: None)
        services: list[tuple[Any, str, Any, Guard, list[Context]]] = [
            (
                agents,
                "AgentService",
                AgentService(self.frame),
                plain,
                [self._population.devices[INTRUDER], Context("", b"")],
            ),
            (enrolling, "EnrollService", EnrollService(self.frame), plain, [Context("", b"")]),
            (control, "ControlService", control_service, guarded, people),
            (fleet, "FleetService", FleetService(self.frame, addresses=addresses), guarded, people),
        ]
        corpus = honest(self._population, self.frame.blobs)
        for module, name, service, guard, contexts in services:
            for method in module.DESCRIPTOR.services_by_name[name].methods:
                if method.name in LEFT_OUT:
                    continue
                request = getattr(module, method.input_type.name)
                call = guard._unary(getattr(service, method.name), f"/edgerig.v1.{name}/{method.name}")
                fitting = [item for item in corpus if type(item) is request]
                found.append(Method(name, method.name, request, call, contexts, fitting or [request()]))
        return found

    def intruder(self) -> Context:
        """Returns the connection of the device that misbehaves."""
        return self._population.devices[INTRUDER]
