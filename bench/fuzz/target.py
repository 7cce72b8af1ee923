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

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from sqlalchemy import text

from edgerig import documents
from edgerig.joining import new_key, signing_request
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import attempt_pb2
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig.v1.device_pb2 import DeviceFacts, Sensor
from edgerig.v1.trial_pb2 import FileRef, Trial
from edgerig_controller import home as homes
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import identity, tokens
from edgerig_controller.home import Home
from edgerig_controller.rpc.agents import AgentService
from edgerig_controller.rpc.control import ControlService
from edgerig_controller.rpc.enroll import EnrollService
from edgerig_controller.rpc.fleet import FleetService
from edgerig_controller.rpc.frame import LOCAL_DEVICE, Frame
from edgerig_controller.rpc.gate import PeopleGate
from edgerig_controller.rpc.interceptors import Guard
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper
from edgerig_controller.study.prepared import Cell, DeviceSelector, PlannedTrial, Prediction, PreparedStudy

INTRUDER, VICTIM = "intruder", "victim"
# Asks for planning, which takes milliseconds to seconds: thrown more seldom.
SLOW = frozenset({"SubmitStudy", "RunGolden"})
# Ends the process, or never answers.
LEFT_OUT = frozenset({"Shutdown", "WatchStudy", "FollowAttempt", "Session"})
_HANGS_S = 120.0
_TOO_LONG_CPU_S = 5.0


class Refused(Exception):  # noqa: N818 - an answer
    """A call ended with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class Context:
    """What handlers see of a connection: the certificate that TLS would have verified."""

    def __init__(self, uri: str, certificate_pem: bytes) -> None:
        self._auth = {"peer_uri": [uri.encode()], "x509_pem_cert": [certificate_pem]} if uri else {}

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._auth

    def peer(self) -> str:
        return "ipv4:192.0.2.1:1"

    async def abort(self, code: grpc.StatusCode, details: str = "", _metadata: Any = ()) -> None:
        raise Refused(code, details)


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
        self.words: list[str] = ["", INTRUDER, VICTIM, self.frame.authority.fleet_id]
        self._people()
        self._devices()
        self.study_id = self._study()
        self.own, self.others = self._lease(INTRUDER), self._lease(VICTIM)
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
            request = method.request.FromString(data)
        except DecodeError:
            # gRPC answers INTERNAL by itself and never calls the handler.
            return "undecodable"
        begin_s = time.process_time()
        try:
            await asyncio.wait_for(method.call(request, context), _HANGS_S)
            outcome = "OK"
        except Refused as refused:
            outcome = refused.code.name
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
            f"SELECT * FROM result WHERE attempt_id = '{self.others.attempt_id}'",
        )
        with self.repository._engine.connect() as connection:
            rows = [connection.execute(text(query)).all() for query in queries]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def _people(self) -> None:
        store, now = self.repository, self.now_unix_s
        self._person: dict[str, Context] = {}
        for name in ("viewer", "operator"):
            role = tokens.check_role(name)
            store.fleet.add_person(
                name,
                role,
                token_sha256=f"{name:0<64}",
                expires_unix_s=now + 1e6,
                now_unix_s=now,
                replace=False,
            )
            issued = self.frame.authority.sign_person(
                signing_request(new_key(), name), role, name, identity.utc_now()
            )
            token = next(item for item in store.fleet.person_tokens() if item.subject == name)
            store.fleet.record_person(name, role, token_id=token.token_id, issued=issued, now_unix_s=now)
            uri = f"edgerig://{self.frame.authority.fleet_id}/{role}/{name}"
            self._person[name] = Context(uri, issued.certificate_pem)

    def _devices(self) -> None:
        store, now = self.repository, self.now_unix_s
        self._device: dict[str, Context] = {}
        # Submitting waits for what the local device is; an operator's input may have added one.
        store.add_device(LOCAL_DEVICE, [], token_sha256="2" * 64, expires_unix_s=now + 1e6, now_unix_s=now)
        store.store_facts(LOCAL_DEVICE, DeviceFacts(memory_bytes=2**33), now_unix_s=now)
        for name in (INTRUDER, VICTIM):
            store.add_device(
                name, ["lab"], token_sha256=f"{name:1<64}", expires_unix_s=now + 1e6, now_unix_s=now
            )
            issued = self.frame.authority.sign_agent(
                signing_request(new_key(), name), name, identity.utc_now()
            )
            token = next(item for item in store.stored_tokens() if item.subject == name)
            store.record_certificate(
                name,
                token_id=token.token_id,
                serial=issued.serial,
                not_after_unix_s=issued.not_after_unix_s,
                now_unix_s=now,
            )
            store.store_facts(
                name, DeviceFacts(environment_digest="e" * 64, memory_bytes=2**33), now_unix_s=now
            )
            uri = f"edgerig://{self.frame.authority.fleet_id}/agent/{name}"
            self._device[name] = Context(uri, issued.certificate_pem)
            self.words.append(issued.serial)

    def _study(self) -> str:
        trials = []
        for seed in range(1, 9):
            trial = Trial(schema_version=1, seed=seed, repeat=1)
            trial.budgets.attempt.duration_s = 60
            trial.digest = documents.digest(documents.to_json(trial))
            trials.append(PlannedTrial(0, trial))
        unknown = Prediction(None, "unknown")
        blob = self.frame.blobs.put_bytes(b"a model's file")
        self.words.append(blob)
        prepared = PreparedStudy(
            name="fuzzed",
            digest="d" * 64,
            resolved={},
            source_yaml="",
            cells=(Cell(0, {"method": {"kind": "none"}}, "cell", unknown, unknown),),
            trials=tuple(trials),
            exclusions=(),
            devices=DeviceSelector(labels=("lab",)),
            blobs=frozenset({blob}),
        )
        row, _, _ = self.repository.create_study(prepared, reuse=False, now_unix_s=self.now_unix_s)
        self.words += [row.study_id, "fuzzed"]
        return row.study_id

    def _lease(self, device_id: str) -> agents.Lease:
        store, now = self.repository, self.now_unix_s
        offer = store.sync(device_id, [], wants_work=True, now_unix_s=now).offer
        assert offer is not None
        lease = offer.lease
        store.accept_lease(device_id, lease.attempt_id, lease.epoch, now_unix_s=now)
        store.start_attempt(
            device_id, lease.attempt_id, lease.epoch, boot_id="b", quiet_s=60.0, now_unix_s=now
        )
        self.words.append(lease.attempt_id)
        return agents.Lease(attempt_id=lease.attempt_id, epoch=lease.epoch, ttl_s=90, trial=offer.trial)

    def _methods(self) -> list[Method]:
        found: list[Method] = []
        plain = Guard()
        guarded = Guard(gate=PeopleGate(self.frame))
        viewer, device = self._person["viewer"], self._device[INTRUDER]
        people = [self._person["operator"]] if self.operator else [viewer, device]

        def addresses() -> tuple[str, str]:
            return "h:1", "h:2"

        control_service = ControlService(self.frame, addresses=addresses, stop=lambda: None)
        services: list[tuple[Any, str, Any, Guard, list[Context]]] = [
            (
                agents,
                "AgentService",
                AgentService(self.frame),
                plain,
                [self._device[INTRUDER], Context("", b"")],
            ),
            (enrolling, "EnrollService", EnrollService(self.frame), plain, [Context("", b"")]),
            (control, "ControlService", control_service, guarded, people),
            (fleet, "FleetService", FleetService(self.frame, addresses=addresses), guarded, people),
        ]
        corpus = self._corpus()
        for module, name, service, guard, contexts in services:
            for method in module.DESCRIPTOR.services_by_name[name].methods:
                if method.name in LEFT_OUT:
                    continue
                request = getattr(module, method.input_type.name)
                call = guard._unary(getattr(service, method.name), f"/edgerig.v1.{name}/{method.name}")
                honest = [item for item in corpus if type(item) is request]
                found.append(Method(name, method.name, request, call, contexts, honest or [request()]))
        return found

    def _corpus(self) -> list[Message]:
        """Honest messages, of the intruder's own attempt and of the victim's."""
        own, other = self.own, self.others
        messages: list[Message] = []
        request_pem = signing_request(new_key(), INTRUDER)
        for lease in (own, other):
            attempt_id, epoch = lease.attempt_id, lease.epoch
            held = agents.HeldAttempt(attempt_id=attempt_id, epoch=epoch, state=agents.HELD_STATE_RUNNING)
            content = b"line\n"
            sha256 = hashlib.sha256(content).hexdigest()
            self.words.append(sha256)
            messages += [
                agents.SyncRequest(request_id="r", boot_id="b", held=[held], wants_work=True),
                agents.AcceptLeaseRequest(attempt_id=attempt_id, epoch=epoch),
                agents.StartAttemptRequest(attempt_id=attempt_id, epoch=epoch, boot_id="b", quiet_s=60),
                agents.PutChunkRequest(
                    attempt_id=attempt_id, sha256=sha256, size_bytes=len(content), data=content
                ),
                self._commit(lease),
                fleet.FollowAttemptRequest(attempt_id=attempt_id),
            ]
        sensor = Sensor(source="rapl:package-0", quantity="energy_j", boundary=attempt_pb2.BOUNDARY_CPU_PKG)
        facts = DeviceFacts(hostname="h", memory_bytes=2**33, sensors=[sensor], environment_digest="e" * 64)
        declared = fleet.DeclaredDevice(device_id="declared", labels=["lab"], memory_bytes=2**33)
        hold = fleet.DEVICE_MODE_HOLD
        messages += [
            agents.GetChunkRequest(sha256=self.words[-1]),
            agents.ReportInventoryRequest(facts=facts),
            agents.RenewCertificateRequest(certificate_request_pem=request_pem),
            enrolling.EnrollRequest(
                device_id=INTRUDER, token=tokens.new_token(), certificate_request_pem=request_pem
            ),
            enrolling.EnrollPersonRequest(
                name="viewer", token=tokens.new_token(), certificate_request_pem=request_pem
            ),
            control.SubmitStudyRequest(yaml="edgerig: 1\nname: x\n", origin="s.yaml", folder="/tmp"),
            control.CancelStudyRequest(study_id="other"),
            control.ResumeStudyRequest(study_id="other"),
            control.DeleteStudyRequest(study_id="other"),
            control.AddDeviceRequest(device_id="fresh", labels=["lab"], ttl_s=60),
            fleet.SetDeviceModeRequest(device_id=INTRUDER, mode=hold, reason="r", for_s=60),
            fleet.RevokeDeviceRequest(device_id="fresh", reason="r"),
            fleet.ResetHealthRequest(device_id=INTRUDER),
            fleet.GetHealthRequest(device_id=INTRUDER),
            fleet.ApplyInventoryRequest(devices=[declared]),
            fleet.AddPersonRequest(name="guest", role="viewer", ttl_s=60),
            fleet.RevokePersonRequest(name="guest"),
            fleet.ListAuditRequest(limit=10),
        ]
        return messages

    def _commit(self, lease: agents.Lease) -> agents.CommitResultRequest:
        result = attempt_pb2.AttemptResult(
            attempt_id=lease.attempt_id,
            trial_digest=lease.trial.digest,
            status=attempt_pb2.STATUS_OK,
            quality=0.5,
            measurements=[attempt_pb2.Measurement(name="ttft_s", statistic="p50", value=0.1)],
        )
        files = {
            "result.json": documents.canonical_bytes(documents.to_json(result)),
            "scores.jsonl": b'{"item_id":"i","score":0.5}\n',
        }
        manifest = attempt_pb2.Manifest(
            attempt_id=lease.attempt_id,
            files=[
                FileRef(path=path, sha256=self.frame.blobs.put_bytes(data), size_bytes=len(data))
                for path, data in files.items()
            ],
        )
        return agents.CommitResultRequest(
            attempt_id=lease.attempt_id,
            epoch=lease.epoch,
            kind="attempt",
            sha256=documents.digest(documents.to_json(manifest)),
            manifest=manifest,
            result=result,
        )

    def intruder(self) -> Context:
        """Returns the connection of the device that misbehaves."""
        return self._device[INTRUDER]
