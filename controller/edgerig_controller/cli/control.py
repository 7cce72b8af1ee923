"""The command line's connection to a controller: ControlService over mTLS.

Every call has a deadline, and every refusal comes back as an error of
edgerig.errors with the next command to type. Knows nothing of printing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import EdgerigError, Problem, StudyProblems, UnreachableError, UsageError
from edgerig.v1 import control_service_pb2 as pb
from edgerig.v1.control_service_pb2_grpc import ControlServiceStub
from edgerig_controller import embedded
from edgerig_controller.cli import remote
from edgerig_controller.home import Endpoint, Home
from edgerig_controller.rpc.interceptors import from_rpc_error, is_answer

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

CALL_S = 20.0
# Resolving models and data, and waiting for a new device's inventory.
SUBMIT_S = 600.0
DELETE_S = 300.0
_TRIES = 3


def error_of(error: grpc.aio.AioRpcError, home: Home) -> EdgerigError:
    """Turns a failed call into the error that a person gets."""
    told = from_rpc_error(error)
    if error.code() is grpc.StatusCode.UNAVAILABLE and not is_answer(error):
        # The connection's own words ("failed to connect to all addresses") help nobody alone.
        message = f"the controller of {home.root} does not answer: {told.message}"
        return UnreachableError(message, hint=f"look at {home.log_path}, then type the command again")
    return type(told)(told.message, hint=told.hint or f"look at {home.log_path}")


class Control:
    """The calls of one connection."""

    def __init__(self, stub: Any, home: Home) -> None:
        self._stub = stub
        self._home = home

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._home) from error

    async def status(self) -> pb.GetStatusResponse:
        """Asks who serves and in which state."""
        return await self._call(self._stub.GetStatus(pb.GetStatusRequest(), timeout=CALL_S))

    async def submit(
        self, yaml: str, path: Path, *, reuse: bool, priority: int = 0
    ) -> pb.SubmitStudyResponse:
        """Registers a study or attaches to the one with the same digest.

        Raises:
            StudyProblems: the controller found problems that this machine could not see.
        """
        request = pb.SubmitStudyRequest(
            yaml=yaml,
            origin=path.name,
            folder=str(path.parent.absolute()),
            reuse=reuse,
            priority=priority,
        )
        response: pb.SubmitStudyResponse = await self._call(
            self._stub.SubmitStudy(request, timeout=SUBMIT_S, wait_for_ready=True)
        )
        if response.problems:
            raise StudyProblems(
                [Problem(found.place, found.message, found.hint) for found in response.problems]
            )
        return response

    async def watch(self, study_id: str) -> AsyncIterator[pb.WatchStudyResponse]:
        """Yields one message at once and one for every change, until the study has ended."""
        stream = self._stub.WatchStudy(pb.WatchStudyRequest(study_id=study_id))
        try:
            async for message in stream:
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._home) from error
        finally:
            stream.cancel()

    async def cancel(self, study_id: str) -> int:
        """Stops leasing trials of a study and cancels the running ones; returns how many."""
        request = pb.CancelStudyRequest(study_id=study_id)
        response = await self._call(self._stub.CancelStudy(request, timeout=CALL_S))
        return int(response.cancelled_count)

    async def resume(self, study_id: str) -> int:
        """Puts trials that died or were cancelled back into the queue; returns how many."""
        request = pb.ResumeStudyRequest(study_id=study_id)
        response = await self._call(self._stub.ResumeStudy(request, timeout=CALL_S))
        return int(response.requeued_count)

    async def delete(self, study_id: str) -> int:
        """Removes a study; returns the bytes that this freed."""
        request = pb.DeleteStudyRequest(study_id=study_id)
        response = await self._call(self._stub.DeleteStudy(request, timeout=DELETE_S))
        return int(response.freed_bytes)

    async def collect_garbage(self, *, dry_run: bool) -> pb.CollectGarbageResponse:
        """Removes what nothing refers to, or only says what that would be."""
        request = pb.CollectGarbageRequest(dry_run=dry_run)
        return await self._call(self._stub.CollectGarbage(request, timeout=DELETE_S))

    async def add_device(
        self, device_id: str, labels: list[str], ttl_s: float, *, replace: bool = False
    ) -> embedded.Invitation:
        """Gets a one-time token for a device; with `replace` also for one that is enrolled."""
        request = pb.AddDeviceRequest(device_id=device_id, labels=labels, ttl_s=ttl_s, replace=replace)
        response = await self._call(self._stub.AddDevice(request, timeout=CALL_S))
        return embedded.Invitation(
            token=response.token,
            ca_spki_sha256=response.ca_spki_sha256,
            enroll_address=response.enroll_address,
            agents_address=response.agents_address,
        )

    async def shutdown(self) -> None:
        """Asks the controller to end in good order."""
        await self._call(self._stub.Shutdown(pb.ShutdownRequest(), timeout=CALL_S))


@asynccontextmanager
async def connect(home: Home, endpoint: Endpoint) -> AsyncIterator[Control]:
    """Opens a connection with the operator's certificate of the data folder.

    Raises:
        UnreachableError: the certificate files cannot be read.
    """
    async with _open(endpoint.control, home.ca_dir, ("ca.pem", "operator.key", "operator.pem")) as opened:
        yield Control(ControlServiceStub(opened), home)


@asynccontextmanager
async def channel(home: Home) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a connection to the controller of a data folder, on this machine or on another one.

    Raises:
        UnreachableError: none runs here, or the certificate files cannot be read.
    """
    joined = remote.load(home)
    if joined is not None:
        names = ("ca.pem", "key.pem", "certificate.pem")
        async with _open(joined.control, remote.folder(home), names) as opened:
            yield opened
        return
    endpoint = embedded.find_controller(home)
    if endpoint is None:
        raise UnreachableError(
            f"no controller runs for the data folder {home.root}",
            hint="edgerig run STUDY.yaml, or edgerig serve",
        )
    async with _open(endpoint.control, home.ca_dir, ("ca.pem", "operator.key", "operator.pem")) as opened:
        yield opened


@asynccontextmanager
async def _open(address: str, folder: Path, names: tuple[str, str, str]) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a channel with the files (CA, key, certificate) of a folder."""
    try:
        ca, key, certificate = ((folder / name).read_bytes() for name in names)
    except OSError as error:
        raise UnreachableError(
            f"the operator's certificate cannot be read: {error}",
            hint=f"check who owns {folder}; the controller makes the files when it starts",
        ) from error
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca, private_key=key, certificate_chain=certificate
    )
    async with grpc.aio.secure_channel(address, credentials, options=CLIENT_OPTIONS) as opened:
        yield opened


@asynccontextmanager
async def session(home: Home) -> AsyncIterator[tuple[Control, embedded.Running]]:
    """Connects to the controller of a data folder, starting an embedded one when none runs.

    An embedded controller may end between being found and being asked; then
    it is waited for and started again.
    """
    joined = remote.load(home)
    if joined is not None:
        raise UsageError(
            f"{home.root} has joined the controller at {joined.control}; studies run on its machine",
            hint="edgerig devices, or another folder with --data DIR",
        )
    failure: UnreachableError | None = None
    for _ in range(_TRIES):
        running = embedded.ensure_controller(home)
        async with connect(home, running.endpoint) as control:
            try:
                await control.status()
            except UnreachableError as error:
                failure = error
                continue
            yield control, running
            return
    assert failure is not None
    raise failure


@asynccontextmanager
async def existing(home: Home) -> AsyncIterator[Control]:
    """Connects to the controller that runs now.

    Raises:
        UnreachableError: none runs.
    """
    async with channel(home) as opened:
        yield Control(ControlServiceStub(opened), home)
