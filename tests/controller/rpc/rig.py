"""A real controller on loopback with real mTLS, a real database and a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgerig import documents
from edgerig.channel import CLIENT_OPTIONS
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig.v1.attempt_pb2 import ItemScore, Manifest
from edgerig.v1.control_service_pb2_grpc import ControlServiceStub
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceStub
from edgerig.v1.fleet_service_pb2_grpc import FleetServiceStub
from edgerig.v1.trial_pb2 import FileRef
from edgerig_controller import home as homes
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import Authority, KeyPair
from edgerig_controller.home import Home
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.linger import Linger
from edgerig_controller.rpc.listeners import Listeners, Ports, open_listeners
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper
from edgerig_controller.study.prepared import PreparedStudy
from tests.controller.store.building import ENVIRONMENT, result_of

PATIENCE_S = 20.0


@dataclass
class Clock:
    """Unix seconds that pass when the test says so. Certificates need a time that is about now."""

    now: float = field(default_factory=lambda: identity.utc_now().timestamp())

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """A running controller and the ways to talk to it."""

    home: Home
    frame: Frame
    listeners: Listeners
    clock: Clock
    stopped: asyncio.Event

    def operator(self) -> KeyPair:
        return identity.ensure_operator(self.home.ca_dir, self.frame.authority, "local", identity.utc_now())

    @asynccontextmanager
    async def control(self, pair: KeyPair | None = None) -> AsyncIterator[Any]:
        async with self.channel(self.listeners.control_port, pair or self.operator()) as channel:
            yield ControlServiceStub(channel)

    @asynccontextmanager
    async def fleet(self, pair: KeyPair | None = None) -> AsyncIterator[Any]:
        async with self.channel(self.listeners.control_port, pair or self.operator()) as channel:
            yield FleetServiceStub(channel)

    @asynccontextmanager
    async def agent(self, pair: KeyPair) -> AsyncIterator[Any]:
        async with self.channel(self.listeners.agents_port, pair) as channel:
            yield AgentServiceStub(channel)

    @asynccontextmanager
    async def enroll(self) -> AsyncIterator[Any]:
        async with self.channel(self.listeners.enroll_port, None) as channel:
            yield EnrollServiceStub(channel)

    def channel(self, port: int, pair: KeyPair | None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            self.frame.authority.ca_pem,
            pair.key_pem if pair else None,
            pair.certificate_pem if pair else None,
        )
        return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=CLIENT_OPTIONS)

    async def add_device(
        self, device_id: str = "local", labels: tuple[str, ...] = ("local",), *, replace: bool = False
    ) -> str:
        """Asks for a token."""
        async with self.control() as stub:
            request = control.AddDeviceRequest(device_id=device_id, labels=labels, replace=replace)
            response: control.AddDeviceResponse = await stub.AddDevice(request, timeout=PATIENCE_S)
        return response.token

    async def enrolled(
        self, device_id: str = "local", labels: tuple[str, ...] = ("local",), *, replace: bool = False
    ) -> KeyPair:
        """Enrolls a device and lets it report what it is."""
        token = await self.add_device(device_id, labels, replace=replace)
        pair = await self.enroll_with(token, device_id)
        async with self.agent(pair) as stub:
            facts = DeviceFacts(environment_digest=ENVIRONMENT, memory_bytes=8 * 2**30)
            await stub.ReportInventory(agents.ReportInventoryRequest(facts=facts), timeout=PATIENCE_S)
        return pair

    async def enroll_with(self, token: str, device_id: str) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        async with self.enroll() as stub:
            request = enrolling.EnrollRequest(
                device_id=device_id, token=token, certificate_request_pem=signing_request(key)
            )
            response: enrolling.EnrollResponse = await stub.Enroll(request, timeout=PATIENCE_S)
        return KeyPair(response.certificate_pem.encode(), key_pem(key))

    async def store_study(self, prepared: PreparedStudy) -> str:
        """Registers a prepared study, as SubmitStudy does after planning."""
        row, _, _ = await self.frame.store.ask(
            lambda store: store.create_study(prepared, reuse=True, now_unix_s=self.clock())
        )
        await self.frame.announce([row.study_id])
        await self.frame.wake_idle()
        return row.study_id


@asynccontextmanager
async def running(folder: Path, clock: Clock | None = None) -> AsyncIterator[Rig]:
    """Runs a controller's listeners on a data folder."""
    home = Home(folder)
    homes.prepare(home)
    authority = identity.open_authority(home.ca_dir, identity.utc_now())
    identity.ensure_operator(home.ca_dir, authority, "local", identity.utc_now())
    blobs = BlobStore(home.blobs_dir)
    clock = clock or Clock()
    frame = Frame(
        home=home,
        authority=authority,
        store=StoreThread(Repository.open(home)),
        blobs=blobs,
        traces=TraceKeeper(home, blobs),
        clock=clock,
    )
    stopped = asyncio.Event()

    async def never_idle() -> bool:
        return False

    listeners = await open_listeners(
        frame,
        authority.server(["localhost", "127.0.0.1"], identity.utc_now()),
        host="127.0.0.1",
        advertise="127.0.0.1",
        ports=Ports(),
        activity=Linger(is_idle=never_idle, end=stopped.set),
        stop=stopped.set,
        insecure_loopback=True,
    )
    try:
        yield Rig(home, frame, listeners, clock, stopped)
    finally:
        frame.hub.goodbye(agent_may_exit=False)
        await listeners.stop(0)
        frame.store.close()


async def take(stub: Any, quiet_s: float = 60) -> agents.Lease:
    """Syncs, accepts and starts, as an agent does."""
    synced = await stub.Sync(agents.SyncRequest(request_id="r", wants_work=True), timeout=PATIENCE_S)
    lease: agents.Lease = synced.offer
    granted = await stub.AcceptLease(
        agents.AcceptLeaseRequest(attempt_id=lease.attempt_id, epoch=lease.epoch), timeout=PATIENCE_S
    )
    assert granted.granted
    started = await stub.StartAttempt(
        agents.StartAttemptRequest(
            attempt_id=lease.attempt_id, epoch=lease.epoch, boot_id="boot", quiet_s=quiet_s
        ),
        timeout=PATIENCE_S,
    )
    assert started.verdict == agents.VERDICT_CONTINUE
    return lease


@dataclass
class Outcome:
    """The files and the message of a finished attempt."""

    request: agents.CommitResultRequest
    contents: dict[str, bytes]


def outcome_of(lease: agents.Lease, *, failure: str = "", scores: int = 2, extra: bytes = b"") -> Outcome:
    """Makes what an attempt leaves behind."""

    @dataclass(frozen=True)
    class _Offer:
        lease: agents.Lease
        trial: Any

    result = result_of(_Offer(lease, lease.trial), failure=failure)  # type: ignore[arg-type]
    lines = [
        documents.canonical_bytes(documents.to_json(ItemScore(item_id=f"i{index}", user_id="u", score=0.5)))
        for index in range(scores)
    ]
    files = {
        "result.json": documents.canonical_bytes(documents.to_json(result)),
        "scores.jsonl": b"".join(line + b"\n" for line in lines),
        "worker.log": extra,
    }
    return committed(lease, files, result)


def committed(lease: agents.Lease, files: dict[str, bytes], result: Any) -> Outcome:
    contents = {sha256_of(data): data for data in files.values()}
    manifest = Manifest(
        attempt_id=lease.attempt_id,
        files=[
            FileRef(path=path, sha256=sha256_of(data), size_bytes=len(data)) for path, data in files.items()
        ],
    )
    request = agents.CommitResultRequest(
        attempt_id=lease.attempt_id,
        epoch=lease.epoch,
        kind="attempt",
        sha256=documents.digest(documents.to_json(manifest)),
        manifest=manifest,
        result=result,
    )
    return Outcome(request, contents)


async def upload(stub: Any, outcome: Outcome) -> None:
    for sha256, data in outcome.contents.items():
        request = agents.PutChunkRequest(
            attempt_id=outcome.request.attempt_id, sha256=sha256, size_bytes=len(data), data=data
        )
        response = await stub.PutChunk(request, timeout=PATIENCE_S)
        assert response.complete


async def deliver(stub: Any, outcome: Outcome) -> agents.CommitResultResponse:
    await upload(stub, outcome)
    response: agents.CommitResultResponse = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
    return response


def sha256_of(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def signing_request(key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def foreign_agent(authority: Authority, device_id: str = "local") -> KeyPair:
    """Makes a certificate that an authority never recorded for anybody."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.sign_agent(signing_request(key), device_id, identity.utc_now())
    return KeyPair(issued.certificate_pem, key_pem(key))
