"""The wire between agents and controller: what is sent may be lost, doubled, late, or met by silence.

Messages travel as bytes. Stands where gRPC's channel stands in an agent and
its server in a controller; the stub and the handlers are those of production.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import grpc.aio

from edgerig.v1 import agent_service_pb2 as pb
from edgerig.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from tests.sim.loop import OWNER, Process, SimulatedLoop

UNAVAILABLE, DEADLINE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
# A silent peer is noticed by keepalive after 30 + 10 s.
_KEEPALIVE_S = 40.0


@dataclass
class Rates:
    """How often what befalls a message; all 0 on a sound wire."""

    request_lost: float = 0.0
    reply_lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    hint_lost: float = 0.0


@dataclass
class Wire:
    """The way between one device and the controller."""

    device_id: str
    rates: Rates = field(default_factory=Rates)
    cut: bool = False
    streams: set[Stream] = field(default_factory=set)


class Context:
    """What a handler sees of a call."""

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.error: grpc.aio.AioRpcError | None = None

    async def abort(self, code: grpc.StatusCode, details: str = "", metadata: Any = ()) -> None:
        self.error = _error(code, details, metadata)
        raise grpc.aio.AbortError(details)


class Server:
    """The handlers of one life of a controller."""

    def __init__(self, process: Process, service: Any) -> None:
        self.process = process
        self.handlers: dict[str, Any] = {}
        # In the order in which they came; a set would have another order in each run.
        self.waiting: dict[asyncio.Future[bytes], None] = {}
        add_AgentServiceServicer_to_server(service, cast(grpc.aio.Server, self))

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        pass

    def add_registered_method_handlers(self, _service: str, handlers: dict[str, Any]) -> None:
        self.handlers = dict(handlers)

    async def guard(self, interceptor: Any) -> None:
        """Wraps every handler, as a server with this interceptor does."""
        for name, handler in list(self.handlers.items()):

            async def found(_details: Any, handler: Any = handler) -> Any:
                return handler

            details = _Details(f"/edgerig.v1.AgentService/{name}")
            self.handlers[name] = await interceptor.intercept_service(found, details)


@dataclass(frozen=True)
class _Details:
    method: str
    invocation_metadata: tuple[Any, ...] = ()


class Net:
    """All wires, and the controller that listens, if any."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.server: Server | None = None
        self.wires: dict[str, Wire] = {}

    def delay_s(self, rates: Rates) -> float:
        """Draws how long a message is under way."""
        if rates.late and self.rng.random() < rates.late:
            return self.rng.choice([0.5, 5.0, 29.0, 45.0])
        return self.rng.uniform(0.001, 0.02)

    def close_server(self) -> None:
        """The controller's process is gone: the kernel closes its connections."""
        server, self.server = self.server, None
        if server is None:
            return
        for future in list(server.waiting):
            self._fail(future, _error(UNAVAILABLE, "Socket closed"))
        for wire in self.wires.values():
            for stream in sorted(wire.streams, key=lambda one: one.number):
                if not wire.cut:
                    self.loop.call_later(self.delay_s(wire.rates), stream.break_client)

    def cut(self, device_id: str) -> None:
        """Lets nothing through; a silence that lasts breaks connections on both sides."""
        wire = self.wires[device_id]
        wire.cut = True
        for stream in sorted(wire.streams, key=lambda one: one.number):
            self.loop.call_later(_KEEPALIVE_S, self._break_if_cut, wire, stream)

    def heal(self, device_id: str) -> None:
        self.wires[device_id].cut = False

    def _break_if_cut(self, wire: Wire, stream: Stream) -> None:
        if wire.cut:
            stream.break_client()
            stream.break_server()

    def call(self, wire: Wire, method: str, data: bytes) -> asyncio.Future[bytes]:
        """Sends a request; the future gets the reply's bytes or an error, or nothing ever."""
        future: asyncio.Future[bytes] = self.loop.create_future()
        delay_s = self.delay_s(wire.rates)
        if wire.cut:
            return future
        if self.server is None:
            self.loop.call_later(delay_s, self._fail, future, _error(UNAVAILABLE, "Connection refused"))
            return future
        if self.rng.random() < wire.rates.request_lost:
            if self.rng.random() < 0.5:
                self.loop.call_later(delay_s, self._fail, future, _error(UNAVAILABLE, "Connection reset"))
            return future
        self.loop.call_later(delay_s, self._arrive, wire, method, data, future)
        if self.rng.random() < wire.rates.doubled:
            ignored: asyncio.Future[bytes] = self.loop.create_future()
            self.loop.call_later(
                delay_s + self.rng.choice([0.0, 1.0, 30.0]), self._arrive, wire, method, data, ignored
            )
        return future

    def _arrive(self, wire: Wire, method: str, data: bytes, future: asyncio.Future[bytes]) -> None:
        server = self.server
        if server is None or wire.cut:
            return
        server.waiting[future] = None
        future.add_done_callback(lambda done: server.waiting.pop(done, None))
        server.process.run(self._answer(server, wire, method, data, future))

    async def _answer(
        self, server: Server, wire: Wire, method: str, data: bytes, future: asyncio.Future[bytes]
    ) -> None:
        handler = server.handlers[method]
        context = Context(wire.device_id)
        try:
            reply = await handler.unary_unary(handler.request_deserializer(data), context)
            answer: bytes | grpc.aio.AioRpcError = handler.response_serializer(reply)
        except grpc.aio.AbortError:
            assert context.error is not None
            answer = context.error
        server.process.point(f"reply {method}")
        delay_s = self.delay_s(wire.rates)
        if wire.cut or self.rng.random() < wire.rates.reply_lost:
            if self.rng.random() < 0.5:
                self.loop.call_later(delay_s, self._fail, future, _error(UNAVAILABLE, "Connection reset"))
            return
        if isinstance(answer, bytes):
            self.loop.call_later(delay_s, _resolve, future, answer)
        else:
            self.loop.call_later(delay_s, self._fail, future, answer)

    def _fail(self, future: asyncio.Future[bytes], error: Exception) -> None:
        if not future.done():
            future.set_exception(error)
            # Nobody may be there any more to look at it.
            future.exception()


def _resolve(future: asyncio.Future[bytes], value: bytes) -> None:
    if not future.done():
        future.set_result(value)


def _error(code: grpc.StatusCode, details: str, metadata: Any = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details)


class SimChannel:
    """Stands where an agent has its channel."""

    def __init__(self, net: Net, wire: Wire) -> None:
        self._net = net
        self._wire = wire
        self._streams: list[Stream] = []

    @property
    def stub(self) -> Any:
        return self

    async def close(self) -> None:
        for stream in self._streams:
            stream.cancel()

    def Session(self) -> Stream:
        stream = Stream(self._net, self._wire)
        self._streams.append(stream)
        return stream

    def __getattr__(self, method: str) -> Callable[..., Any]:
        response = getattr(pb, f"{method}Response")

        async def call(request: Any, timeout: float) -> Any:
            owner = OWNER.get()
            assert owner is not None
            owner.point(f"send {method}")
            future = self._net.call(self._wire, method, request.SerializeToString())
            await asyncio.wait({future}, timeout=timeout)
            owner.point(f"heard {method}")
            if not future.done():
                future.cancel()
                raise _error(DEADLINE, "Deadline Exceeded")
            return response.FromString(future.result())

        return call


class Stream:
    """One Session, both ends of it."""

    _made = 0

    def __init__(self, net: Net, wire: Wire) -> None:
        Stream._made += 1
        self.number = Stream._made
        self._net = net
        self._wire = wire
        self._to_client: asyncio.Queue[Any] = asyncio.Queue()
        self._to_server: asyncio.Queue[Any] = asyncio.Queue()
        self._broken = False
        self._task: asyncio.Task[Any] | None = None
        wire.streams.add(self)
        net.loop.call_later(net.delay_s(wire.rates), self._open)

    # The client's end

    async def write(self, message: pb.SessionRequest) -> None:
        owner = OWNER.get()
        assert owner is not None
        owner.point("send a signal")
        if self._broken:
            raise asyncio.InvalidStateError("the stream has ended")
        self._send(self._to_server, message.SerializeToString(), first=message.HasField("hello"))

    async def read(self) -> Any:
        item = await self._to_client.get()
        if isinstance(item, Exception):
            raise item
        return pb.SessionResponse.FromString(item) if isinstance(item, bytes) else item

    def cancel(self) -> None:
        """The client goes; the server hears of it, or finds out."""
        self._broken = True
        self._wire.streams.discard(self)
        delay_s = _KEEPALIVE_S if self._wire.cut else self._net.delay_s(self._wire.rates)
        self._net.loop.call_later(delay_s, self.break_server)

    # The wire

    def break_client(self) -> None:
        self._broken = True
        self._wire.streams.discard(self)
        self._to_client.put_nowait(_error(UNAVAILABLE, "Socket closed"))

    def break_server(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _open(self) -> None:
        server = self._net.server
        if server is None or self._wire.cut:
            self._net.loop.call_later(0.0 if server is None else 20.0, self.break_client)
            return
        self._task = server.process.run(self._serve(server))

    def _send(self, queue: asyncio.Queue[Any], data: Any, *, first: bool = False) -> None:
        if self._wire.cut or (not first and self._net.rng.random() < self._wire.rates.hint_lost):
            return
        delay_s = 0.002 if first else self._net.delay_s(self._wire.rates)
        self._net.loop.call_later(delay_s, queue.put_nowait, data)

    # The server's end

    async def _serve(self, server: Server) -> None:
        handler = server.handlers["Session"]
        context = Context(self._wire.device_id)
        try:
            async for message in handler.stream_stream(self._requests(), context):
                server.process.point("send a hint")
                welcome = message.HasField("welcome")
                self._send(self._to_client, message.SerializeToString(), first=welcome)
            self._send(self._to_client, grpc.aio.EOF, first=True)
        except grpc.aio.AbortError:
            self._send(self._to_client, context.error, first=True)

    async def _requests(self) -> AsyncIterator[pb.SessionRequest]:
        while True:
            yield pb.SessionRequest.FromString(await self._to_server.get())
