"""What holds for every call: errors become statuses, surprises are logged with an id.

A status carries the error's words and its next step as EdgerigError prints
them ("...\\nNext: ..."), and the class in the trailing metadata.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from edgerig.channel import MAX_MESSAGE_BYTES, TRANSPORT_MOST_BYTES
from edgerig.errors import (
    BugError,
    DataError,
    DeviceError,
    EdgerigError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    StorageError,
    TimeoutExceededError,
    UnreachableError,
    UsageError,
)

_log = logging.getLogger(__name__)

CLASS_KEY = "edgerig-error"
# Statuses travel in HTTP/2 headers, which peers bound at 8 KiB.
_DETAILS_MAX_CHARS = 3000

_STATUS: tuple[tuple[type[EdgerigError], grpc.StatusCode], ...] = (
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (DataError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnreachableError, grpc.StatusCode.UNAVAILABLE),
    (DeviceError, grpc.StatusCode.FAILED_PRECONDITION),
    (TimeoutExceededError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (RejectedError, grpc.StatusCode.ABORTED),
    (StorageError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ProtocolError, grpc.StatusCode.INVALID_ARGUMENT),
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
    (BugError, grpc.StatusCode.INTERNAL),
)
_CLASSES: dict[str, type[EdgerigError]] = {kind.__name__: kind for kind, _ in _STATUS}


class Denied(Exception):  # noqa: N818 - it is an answer, not an accident
    """The caller is not who may ask this. Becomes PERMISSION_DENIED."""

    def __init__(self, message: str, *, hint: str = "", who: str = "", role: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        # Who was refused, where that is known.
        self.who = who
        self.role = role


@dataclass(frozen=True)
class Unreadable:
    """Stands where a request would: its bytes are too many, or no message of the method's type."""

    reason: str

    def error(self) -> ProtocolError:
        return ProtocolError(f"The message cannot be read: {self.reason}.")


class Activity(Protocol):
    """Counts calls that keep an embedded controller alive."""

    def enter(self) -> None: ...

    def leave(self) -> None: ...


class Gate(Protocol):
    """Decides who is let in, and keeps the record of it."""

    async def admit(self, method: str, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None: ...

    async def note_failure(self, method: str, request: Any, error: Exception) -> None: ...


def to_status(error: EdgerigError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Returns the status code, details and trailing metadata that stand for an error."""
    code = next((code for kind, code in _STATUS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
    name = next((kind.__name__ for kind, _ in _STATUS if isinstance(error, kind)), BugError.__name__)
    return code, str(error)[:_DETAILS_MAX_CHARS], ((CLASS_KEY, name),)


def is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Tells whether a status was sent by a controller, and not made up by the connection."""
    metadata: Any = error.trailing_metadata() or ()
    return any(key == CLASS_KEY for key, _ in metadata)


def from_rpc_error(error: grpc.aio.AioRpcError) -> EdgerigError:
    """Returns the error that a status stands for; statuses of other origin by their code."""
    metadata: Any = error.trailing_metadata() or ()
    named = next((value for key, value in metadata if key == CLASS_KEY), "")
    by_code = next((kind for kind, code in _STATUS if code is error.code()), UnreachableError)
    kind = _CLASSES.get(str(named), by_code)
    message, _, hint = (error.details() or error.code().name).partition("\nNext: ")
    return kind(message, hint=hint)


class Guard(grpc.aio.ServerInterceptor):  # generic in the stubs only
    """Wraps every method of a server."""

    def __init__(self, activity: Activity | None = None, gate: Gate | None = None) -> None:
        self._activity = activity
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        arrival = _Arrival(method)
        codecs = {
            "request_deserializer": _reader(handler.request_deserializer, arrival),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            wrapped = self._unary(handler.unary_unary, method)
            return grpc.unary_unary_rpc_method_handler(wrapped, **codecs)
        if handler.unary_stream is not None:
            wrapped = self._stream(handler.unary_stream, method)
            return grpc.unary_stream_rpc_method_handler(wrapped, **codecs)
        wrapped = self._stream(_readable(handler.stream_stream), method)
        return grpc.stream_stream_rpc_method_handler(wrapped, **codecs)

    def _unary(self, method: Callable[..., Awaitable[Any]], name: str) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if isinstance(request, Unreadable):
                await _answer(request.error(), name, context)
            with self._counted():
                try:
                    await self._admit(name, request, context)
                    return await method(request, context)
                except Exception as error:  # noqa: BLE001 - the boundary to the peer
                    await self._note(name, request, error)
                    await _answer(error, name, context)

        return call

    def _stream(self, method: Callable[..., AsyncIterator[Any]], name: str) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if isinstance(request, Unreadable):
                await _answer(request.error(), name, context)
            with self._counted():
                try:
                    await self._admit(name, request, context)
                    async for message in method(request, context):
                        yield message
                except Exception as error:  # noqa: BLE001 - the boundary to the peer
                    await self._note(name, request, error)
                    await _answer(error, name, context)

        return call

    async def _admit(self, name: str, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if self._gate is not None:
            await self._gate.admit(name, request, context)

    async def _note(self, name: str, request: Any, error: Exception) -> None:
        if self._gate is not None and not isinstance(error, grpc.aio.AbortError):
            await self._gate.note_failure(name, request, error)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._activity is None:
            yield
            return
        self._activity.enter()
        try:
            yield
        finally:
            self._activity.leave()


class _Arrival:
    """One call; says so when it ends before a message of it was read.

    That is the only trace of what the transport refuses by itself. The reader of the call's
    messages holds the one reference, so that this goes when the call goes.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self.is_read = False

    def __del__(self) -> None:
        if not self.is_read:
            _log.info(
                "%s: a call ended before its message was read: over %d bytes, compressed, or given up",
                self._method,
                TRANSPORT_MOST_BYTES,
            )


def _reader(read: Callable[[bytes], Any], arrival: _Arrival) -> Callable[[bytes], Any]:
    """Makes bytes that are no message an answer; gRPC would write a trace of calls for each of them."""

    def read_or_say_why(data: bytes) -> Any:
        arrival.is_read = True
        if len(data) > MAX_MESSAGE_BYTES:
            return Unreadable(f"it takes {len(data)} bytes, of at most {MAX_MESSAGE_BYTES}")
        try:
            return read(data)
        except DecodeError as error:
            return Unreadable(str(error))

    return read_or_say_why


def _readable(method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    """Wraps a method of a stream, so that a message of it that cannot be read ends it with the reason."""

    async def checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            if isinstance(request, Unreadable):
                raise request.error()
            yield request

    return lambda requests, context: method(checked(requests), context)


async def _answer(error: Exception, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, Denied):
        _log.warning("%s: denied to %s: %s", method, context.peer(), error)
        details = f"{error}\nNext: {error.hint}" if error.hint else str(error)
        await context.abort(
            grpc.StatusCode.PERMISSION_DENIED, details, ((CLASS_KEY, ProtocolError.__name__),)
        )
    if isinstance(error, EdgerigError):
        code, details, metadata = to_status(error)
        _log.info("%s: %s to %s: %s", method, code.name, context.peer(), error.message)
        await context.abort(code, details, metadata)
    incident = uuid.uuid4().hex[:12]
    _log.error("%s: incident %s", method, incident, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL,
        f"The controller has a fault (incident {incident}).\nNext: look for {incident} in controller.log",
        ((CLASS_KEY, BugError.__name__),),
    )
