"""One streamed completion of an OpenAI-compatible server: bytes first, meaning afterwards.

While the answer comes, nothing is done but to read and to note when each piece
arrived; events and tokens are made out of the pieces when it is over. The stamp of a
piece is taken when the kernel hands over its bytes, before they are even cut into the
chunks of HTTP. Every size is bounded: a server is not trusted to end.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from edgerig_workload.faults import WorkerFault

ANSWER_BYTES = 64 * 1024 * 1024
LINE_BYTES = 1024 * 1024
REFUSAL_BYTES = 2048
_READ_BYTES = 64 * 1024


class Arrivals(io.RawIOBase):
    """The reading side of a socket; `last_mono_ns` is when its last bytes arrived."""

    def __init__(self, raw: io.RawIOBase, clock: Callable[[], int]) -> None:
        self._raw = raw
        self._clock = clock
        self.last_mono_ns = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read once, then stamp."""
        count = cast("int | None", self._raw.readinto(buffer))
        self.last_mono_ns = self._clock()
        return count

    def close(self) -> None:
        """Close the socket's side too."""
        self._raw.close()
        super().close()


class _Socket:
    """What http.client needs of a socket, with stamped reading."""

    def __init__(self, real: socket.socket, clock: Callable[[], int]) -> None:
        self._real = real
        # Unbuffered, and it keeps the socket open after `close`, as http.client expects of it.
        self.arrivals = Arrivals(cast("io.RawIOBase", real.makefile("rb", buffering=0)), clock)

    def sendall(self, data: Any) -> None:
        self._real.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.arrivals)

    def close(self) -> None:
        self._real.close()


@dataclass(frozen=True)
class Received:
    """An answer as it came: pieces with their arrival, and when the request had been sent."""

    accept_mono_ns: int
    sent_mono_ns: int
    pieces: Sequence[tuple[int, bytes]]


@dataclass(frozen=True)
class Completion:
    """What an answer says. `arrivals` are pairs: characters there at that moment, monotonic ns."""

    text: str
    arrivals: Sequence[tuple[int, int]]
    finish_reason: str
    # By the server's own account; None where it gives none.
    token_count: int | None


def receive(port: int, path: str, body: bytes, silence_s: float, clock: Callable[[], int]) -> Received:
    """Send a request to a server of this machine and read its answer to the end.

    Raises:
        WorkerFault: it does not answer, refuses, falls silent for longer than `silence_s`,
            breaks off, or says more than is allowed.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=silence_s)
    try:
        connection.connect()
        stamped = _Socket(cast("socket.socket", connection.sock), clock)
        connection.sock = stamped
        accept_mono_ns = clock()
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        connection.request("POST", path, body, headers)
        sent_mono_ns = clock()
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise _refusal(response.status, response.read(REFUSAL_BYTES))
        return Received(accept_mono_ns, sent_mono_ns, _pieces(response, stamped.arrivals))
    except TimeoutError as error:
        raise WorkerFault("worker_error", f"the server was silent for {silence_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise WorkerFault("worker_error", f"the server does not answer a request: {error!r}") from error
    finally:
        connection.close()


def _pieces(response: http.client.HTTPResponse, arrivals: Arrivals) -> list[tuple[int, bytes]]:
    pieces: list[tuple[int, bytes]] = []
    total = 0
    try:
        while piece := response.read1(_READ_BYTES):
            pieces.append((arrivals.last_mono_ns, piece))
            total += len(piece)
            if total > ANSWER_BYTES:
                raise WorkerFault("worker_error", f"the server answered with more than {ANSWER_BYTES} bytes")
    except (http.client.HTTPException, ConnectionError) as error:
        raise WorkerFault(
            "worker_error", f"the server stopped in the middle of a stream, after {total} bytes: {error!r}"
        ) from error
    return pieces


def _refusal(status: int, said: bytes) -> WorkerFault:
    text = said.decode("utf-8", "replace").strip() or "nothing"
    failure_class = "bad_model" if status == http.client.NOT_FOUND else "worker_error"
    hint = ": does it know this path and this model name?" if status == http.client.NOT_FOUND else ""
    return WorkerFault(
        failure_class, f"the server refused a request with status {status}{hint} It said: {text}"
    )


def parse(received: Received) -> Completion:
    """Read the events of an answer.

    Raises:
        WorkerFault: they are no completion, report an error, or stop in the middle.
    """
    text: list[str] = []
    length = 0
    arrivals: list[tuple[int, int]] = []
    finish_reason = ""
    token_count: int | None = None
    ended = False
    for arrival_mono_ns, data in _events(received.pieces):
        if data.strip() == b"[DONE]":
            ended = True
            continue
        chunk = _chunk(data)
        piece, reason = _choice(chunk)
        if piece:
            text.append(piece)
            length += len(piece)
            arrivals.append((length, arrival_mono_ns))
        finish_reason = reason or finish_reason
        token_count = _usage(chunk, token_count)
    if not (ended or finish_reason):
        raise WorkerFault(
            "worker_error", f"the server stopped in the middle of a stream, after {length} characters"
        )
    return Completion("".join(text), arrivals, finish_reason, token_count)


def token_arrivals(completion: Completion, ends: Sequence[int]) -> list[int]:
    """Return when each token was whole.

    Args:
        completion: the answer.
        ends: how many characters are there when a token is whole, in order.
    """
    lengths = [length for length, _ in completion.arrivals]
    last = len(lengths) - 1
    return [completion.arrivals[min(bisect_left(lengths, end), last)][1] for end in ends]


def _events(pieces: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yields the data of each event with the arrival of its last line (HTML standard, 9.2.6)."""
    rest = b""
    data: list[bytes] = []
    at_mono_ns = 0
    for arrival_mono_ns, piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LINE_BYTES:
            raise WorkerFault("worker_error", f"the server sent a line of more than {LINE_BYTES} bytes")
        for raw in lines:
            line = raw.rstrip(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
                at_mono_ns = arrival_mono_ns
            elif not line and data:
                yield at_mono_ns, b"\n".join(data)
                data = []
    if rest.strip() == b"data: [DONE]":
        data.append(b"[DONE]")
    if data:
        # The blank line behind the last event is missing: servers that close the connection leave it out.
        yield at_mono_ns, b"\n".join(data)


def _chunk(data: bytes) -> Mapping[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WorkerFault("worker_error", f"the server sent no JSON: {_shown(data)}") from error
    if not isinstance(chunk, dict):
        raise WorkerFault("worker_error", f"the server sent no completion: {_shown(data)}")
    if chunk.get("error"):
        raise WorkerFault("worker_error", f"the server reports an error: {_shown(data)}")
    return chunk


def _choice(chunk: Mapping[str, Any]) -> tuple[str, str]:
    choices = chunk.get("choices")
    if not choices and "usage" in chunk:
        return "", ""
    first = choices[0] if isinstance(choices, list) and choices else None
    text = first.get("text", "") if isinstance(first, dict) else None
    if first is None or not (text is None or isinstance(text, str)):
        raise WorkerFault(
            "worker_error", f"the server sent no completion: {_shown(json.dumps(chunk).encode())}"
        )
    return text or "", str(first.get("finish_reason") or "")


def _usage(chunk: Mapping[str, Any], known: int | None) -> int | None:
    usage = chunk.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else known


def _shown(data: bytes) -> str:
    return data[:200].decode("utf-8", "replace")
