"""The agent's side of the wire: one channel over mTLS, one stream that wakes, unary calls for facts.

The stream is reopened for ever with growing, jittered pauses; losing any of
its messages is harmless. Knows nothing of attempts on disk or of processes:
a `Listener` hears the signals, whoever calls the unary methods decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import grpc
import grpc.aio

from edgerig.channel import CLIENT_OPTIONS
from edgerig.deadlines import within
from edgerig.errors import EdgerigError, ProtocolError, UnreachableError
from edgerig.v1.agent_service_pb2 import (
    AcceptLeaseRequest,
    AcceptLeaseResponse,
    CommitResultRequest,
    CommitResultResponse,
    GetChunkRequest,
    GetChunkResponse,
    Hello,
    PutChunkRequest,
    PutChunkResponse,
    Renew,
    ReportInventoryRequest,
    ReportInventoryResponse,
    SessionRequest,
    SessionResponse,
    StartAttemptRequest,
    StartAttemptResponse,
    SyncRequest,
    SyncResponse,
)
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig.version import AGENT_CAPABILITIES, PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION
from edgerig_agent.identity import Identity
from edgerig_agent.reachability import in_words, leader_in

if TYPE_CHECKING:
    from edgerig.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

_log = logging.getLogger(__name__)

_WELCOME_S = 10.0
_CALL_S = 30.0
_BACKOFF_FIRST_S = 0.5
_BACKOFF_CAP_S = 10.0
# While an attempt is measured a lost controller is dialled as seldom as this: a dial that
# fails costs 3 ms of processor time, and the agent is to be back within 15 s of its controller.
_QUIET_PAUSE_S = (6.0, 12.0)

Answer = TypeVar("Answer")


class Listener(Protocol):
    """Hears what the stream says. Calls come on the event loop and must not block."""

    def on_welcome(self) -> None: ...

    def on_wake(self) -> None: ...

    def on_cancel(self, attempt_id: str, reason: str) -> None: ...

    def on_goodbye(self, agent_may_exit: bool) -> None: ...

    def on_lost(self) -> None: ...


class Backoff:
    """Pauses with full jitter: each is drawn between nothing and a bound that doubles up to a cap.

    A fleet that lost its controller in one instant dials spread evenly over the
    bound. Whoever waits at the cap when the controller comes back has dialled
    within 7.8 s in 95 of 100 cases (the residual of a uniform pause: cap times
    1 - sqrt(0.05)). Source: M. Brooker, "Exponential Backoff And Jitter", 2015.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_s = _BACKOFF_FIRST_S

    def pause_s(self) -> float:
        """Returns the next pause in seconds."""
        pause_s = self._rng.uniform(0.0, self._next_s)
        self._next_s = min(2 * self._next_s, _BACKOFF_CAP_S)
        return pause_s

    def reset(self) -> None:
        """Begins again with the shortest pause."""
        self._next_s = _BACKOFF_FIRST_S


class Channel(Protocol):
    """One channel to a controller, dialled."""

    @property
    def stub(self) -> AgentServiceAsyncStub: ...

    async def close(self) -> None: ...


class GrpcChannel:
    """A channel over mTLS with this agent's identity; gRPC connects it when it is used."""

    def __init__(self, identity: Identity, address: str) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.ca_pem,
            private_key=identity.key_pem,
            certificate_chain=identity.certificate_pem,
        )
        self._channel = grpc.aio.secure_channel(address, credentials, options=CLIENT_OPTIONS)
        self.stub = cast("AgentServiceAsyncStub", AgentServiceStub(self._channel))

    async def close(self) -> None:
        """Closes it, and with it every call."""
        await self._channel.close(None)


class Link:
    """The connection of one agent to its controller.

    `address` is asked before every dial, because the controller of an
    embedded run has a new port each time it starts, and of several controllers
    another one may lead. `on_failed` hears that the address did not take the
    agent, and which one leads if that was said; `on_controllers` where
    controllers listen. `dial` makes a channel for an address,
    `lambda address: GrpcChannel(identity, address)` in a daemon.
    """

    def __init__(
        self,
        dial: Callable[[str], Channel],
        *,
        address: Callable[[], str],
        on_failed: Callable[[str], None] = lambda _leader: None,
        on_controllers: Callable[[Sequence[str]], None] = lambda _addresses: None,
        listener: Listener,
        boot_id: str,
        session_epoch: Callable[[], int],
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = dial
        self._address = address
        self._on_failed = on_failed
        self._on_controllers = on_controllers
        self._listener = listener
        self._boot_id = boot_id
        self._session_epoch = session_epoch
        self._rng = rng or random.Random()
        self._backoff = Backoff(self._rng)
        self._clock = clock
        self._channel: Channel | None = None
        self._dialled = ""
        # The channel is to be replaced before the next stream.
        self._stale = False
        self._stream: Any = None
        # Unary calls and the replacement of the channel exclude each other:
        # closing a channel cancels its calls, and with them their callers.
        self._channel_use = asyncio.Lock()
        self._lost_at_s: float | None = clock()
        self._last_trouble = ""
        self._quiet = False
        self._hurry = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the stream stands."""
        return self._lost_at_s is None

    def unreachable_s(self) -> float:
        """Returns for how long neither the stream stood nor a call succeeded, 0 while connected."""
        return 0.0 if self._lost_at_s is None else self._clock() - self._lost_at_s

    async def keep(self) -> None:
        """Keeps the stream open for ever; ends only by cancellation."""
        while True:
            try:
                await self._converse()
            except EdgerigError as error:
                self._note_trouble(error)
            except grpc.RpcError as error:
                self._note_trouble(in_words(error, self._dialled), leader_in(error))
            await self._pause()

    def set_quiet(self, quiet: bool) -> None:
        """Says whether an attempt is measured; when it ends a lost controller is dialled at once."""
        self._quiet = quiet
        if not quiet:
            self._hurry.set()

    async def close(self) -> None:
        """Closes the channel; call it after `keep` was cancelled."""
        async with self._channel_use:
            await self._drop_channel()

    async def redial(self) -> None:
        """Lets the stream end in good order and opens the next one over a new channel."""
        self._stale = True
        if self._stream is None:
            return
        try:
            await self._stream.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            _log.debug("the stream has just ended by itself")

    async def renew(self, attempt_id: str, epoch: int) -> None:
        """Sends a sign of life for a lease that is being prepared; lost without harm."""
        if self._stream is None:
            return
        try:
            await self._stream.write(SessionRequest(renew=Renew(attempt_id=attempt_id, epoch=epoch)))
        except (grpc.RpcError, asyncio.InvalidStateError):
            _log.debug("a renewal was not sent: the stream has just ended")

    async def sync(self, request: SyncRequest) -> SyncResponse:
        answer = await self._call(lambda stub: stub.Sync(request, timeout=_CALL_S))
        self._on_controllers(answer.controllers)
        return answer

    async def accept_lease(self, request: AcceptLeaseRequest) -> AcceptLeaseResponse:
        return await self._call(lambda stub: stub.AcceptLease(request, timeout=_CALL_S))

    async def start_attempt(self, request: StartAttemptRequest) -> StartAttemptResponse:
        return await self._call(lambda stub: stub.StartAttempt(request, timeout=_CALL_S))

    async def commit_result(self, request: CommitResultRequest) -> CommitResultResponse:
        return await self._call(lambda stub: stub.CommitResult(request, timeout=_CALL_S))

    async def put_chunk(self, request: PutChunkRequest) -> PutChunkResponse:
        return await self._call(lambda stub: stub.PutChunk(request, timeout=_CALL_S))

    async def get_chunk(self, request: GetChunkRequest) -> GetChunkResponse:
        return await self._call(lambda stub: stub.GetChunk(request, timeout=_CALL_S))

    async def report_inventory(self, request: ReportInventoryRequest) -> ReportInventoryResponse:
        return await self._call(lambda stub: stub.ReportInventory(request, timeout=_CALL_S))

    async def _call(self, method: Callable[[AgentServiceAsyncStub], Awaitable[Answer]]) -> Answer:
        """Makes one unary call.

        Raises:
            UnreachableError: it did not get through; repeat it after a reconnect.
            ProtocolError: the controller refused it.
            RejectedError: it found the request itself wrong; repeating it is no use.
        """
        async with self._channel_use:
            stub = self._dial()
            try:
                answer = await method(stub)
            except grpc.RpcError as error:
                raise in_words(error, self._dialled) from error
        if self._lost_at_s is not None:
            # A proxy may refuse streams and let calls through: that is not unreachable.
            self._lost_at_s = self._clock()
        return answer

    def _dial(self) -> AgentServiceAsyncStub:
        """Returns the stub, and makes the channel when there is none. The caller holds `_channel_use`."""
        if self._channel is None:
            self._dialled = self._address()
            self._channel = self._open(self._dialled)
        return self._channel.stub

    async def _pause(self) -> None:
        self._hurry.clear()
        pause_s = self._rng.uniform(*_QUIET_PAUSE_S) if self._quiet else self._backoff.pause_s()
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._hurry.wait(), pause_s)

    async def _drop_channel(self) -> None:
        if self._channel is not None:
            await self._channel.close()
        self._channel = None

    async def _converse(self) -> None:
        """Opens the stream, greets, and listens until it breaks."""
        async with self._channel_use:
            # Only here, where no stream stands, may the channel be replaced.
            if self._stale or self._dialled != self._address():
                await self._drop_channel()
                self._stale = False
            open_stream: Any = self._dial().Session
            stream = open_stream()
        try:
            # One limit for connecting, greeting and being greeted: into a network that swallows
            # everything gRPC alone would connect for 20 s.
            self._welcome(await within(self._greet(stream), _WELCOME_S))
            self._stream = stream
            self._lost_at_s = None
            self._backoff.reset()
            self._listener.on_welcome()
            while isinstance(signal := await stream.read(), SessionResponse):
                self._pass_on(signal)
            raise UnreachableError(f"the controller at {self._dialled} ended the stream")
        except asyncio.TimeoutError as error:
            raise UnreachableError(
                f"{self._dialled} did not greet within {_WELCOME_S:.0f} s", hint="edgerig-agent doctor"
            ) from error
        except asyncio.InvalidStateError as error:
            raise UnreachableError(f"the stream to {self._dialled} ended while it was opened") from error
        finally:
            self._stream = None
            stream.cancel()
            if self._lost_at_s is None:
                self._lost_at_s = self._clock()
                self._listener.on_lost()

    async def _greet(self, stream: Any) -> Any:
        """Says who this is; returns the first answer."""
        await stream.write(SessionRequest(hello=self._hello()))
        return await stream.read()

    def _hello(self) -> Hello:
        return Hello(
            protocol_major=PROTOCOL_MAJOR,
            protocol_minor=PROTOCOL_MINOR,
            agent_version=VERSION,
            boot_id=self._boot_id,
            session_epoch=self._session_epoch(),
            capabilities=AGENT_CAPABILITIES,
        )

    def _welcome(self, first: Any) -> None:
        if not isinstance(first, SessionResponse) or first.WhichOneof("signal") != "welcome":
            raise ProtocolError(f"{self._dialled} did not greet; it may be of another version")
        if first.welcome.protocol_major != PROTOCOL_MAJOR:
            raise ProtocolError(
                f"the controller speaks protocol {first.welcome.protocol_major}, this agent {PROTOCOL_MAJOR}",
                hint="pip install --upgrade 'edgerig[agent]'",
            )
        # While an attempt is measured nothing is written, and an eventless connect can wait.
        if not self._quiet:
            _log.info("connected to %s, controller %s", self._dialled, first.welcome.controller_version)
        self._last_trouble = ""

    def _pass_on(self, signal: SessionResponse) -> None:
        kind = signal.WhichOneof("signal")
        if kind == "wake":
            self._listener.on_wake()
        elif kind == "cancel":
            self._listener.on_cancel(signal.cancel.attempt_id, signal.cancel.reason)
        elif kind == "goodbye":
            self._listener.on_goodbye(signal.goodbye.agent_may_exit)

    def _note_trouble(self, error: EdgerigError, leader: str = "") -> None:
        # A channel that has failed waits by itself before it connects again:
        # with our own pause it would be two of them.
        if not self._stale:
            # Not ended on purpose, to be dialled again at the same place.
            self._on_failed(leader)
        self._stale = True
        # The same trouble is written once, however often it is met.
        if error.message != self._last_trouble:
            _log.warning("%s", error)
            self._last_trouble = error.message
