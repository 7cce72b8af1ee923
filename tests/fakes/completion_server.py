"""An OpenAI-compatible completion server that says what it is told, when it is told, and can misbehave.

As a program (`python completion_server.py --port 8000 --mode good`) it stands for the server of a
study: it sends the pieces of `--pieces` (JSON), one event each, and writes the monotonic
time before each of them to `--times`. In a test's own process, `Lockstep` sends one piece for
each tick of a clock that the client reads, so that times come out exactly.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

PIECES = ["the small", " house", " by a river", " was old", " and"]
MODES = (
    *("good", "exit", "never-ready", "garbage", "not-json", "error", "midway", "midway-chunk", "die"),
    *("no-model", "empty", "detached"),
)


def event(text: str, finish_reason: str | None = None, **further: Any) -> bytes:
    """Returns one event of a completion stream."""
    choice = {"index": 0, "text": text, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice], **further}).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    """Returns a chunk of HTTP/1.1."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Lockstep:
    """Answers one request on a port of its own; each piece is sent at the next tick of `clock`.

    A tick is a second. Nothing is sent before the client has read the clock for what came
    before, so a stamp says exactly which piece had arrived.
    """

    def __init__(self, writes: list[bytes]) -> None:
        self._writes = writes
        self._now_ns = 0
        self._reads = 0
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def clock(self) -> int:
        """Returns the present time in nanoseconds, and lets the next piece go."""
        with self._changed:
            self._reads += 1
            self._changed.notify_all()
            return self._now_ns

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)

    def _answer(self) -> None:
        # A client that has gone is the end of the script.
        with contextlib.suppress(OSError):
            self._serve()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # All of it: closing with a part unread would reset the connection.
            read_request(connection)
            # The client reads its clock when it accepts a request and when it has sent it.
            reads = 2
            for write in self._writes:
                with self._changed:
                    while self._reads < reads:
                        if not self._changed.wait(20):
                            return
                    self._now_ns += 1_000_000_000
                    reads = self._reads + 1
                connection.sendall(write)


def read_request(connection: socket.socket) -> bytes:
    """Reads one request with its body and returns the body."""
    with connection.makefile("rb") as stream:
        length = 0
        while (line := stream.readline(65536)).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return stream.read(length)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options: argparse.Namespace

    def do_GET(self) -> None:
        self._plain(503 if self.options.mode == "never-ready" else 200, b"{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = self.options.mode
        if self.options.asked:
            with open(self.options.asked, "a") as file:  # noqa: PTH123 - a program of its own
                file.write(json.dumps(asked) + "\n")
        if mode == "no-model":
            return self._plain(404, json.dumps({"error": f"no model {asked['model']}"}).encode())
        if mode == "not-json":
            return self._plain(200, b"<html>data: hello</html>\n\n")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._stream(mode)
        return None

    def _stream(self, mode: str) -> None:
        pieces = [] if mode == "empty" else json.loads(self.options.pieces)
        times = []
        for place, piece in enumerate(pieces):
            if place == 2 and mode in ("midway", "midway-chunk", "die", "garbage", "error"):
                return self._misbehave(mode)
            times.append(time.monotonic_ns())
            self._send(event(piece))
        self._send(event("", "length", usage={"completion_tokens": self.options.told}) + b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")
        if self.options.times:
            with open(self.options.times, "w") as file:  # noqa: PTH123 - a program of its own
                json.dump(times, file)
        return None

    def _misbehave(self, mode: str) -> None:
        if mode == "die":
            os._exit(3)
        if mode == "garbage":
            self._send(b"data: \xff{{{\n\n")
        if mode == "error":
            self._send(b'data: {"error": "out of luck"}\n\n')
        if mode == "midway-chunk":
            self.wfile.write(b"40\r\ndata: {")
        else:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True

    def _send(self, data: bytes) -> None:
        self.wfile.write(chunk(data))
        self.wfile.flush()

    def _plain(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        sys.stderr.write("a request came\n")


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", choices=MODES, default="good")
    parser.add_argument("--pieces", default=json.dumps(PIECES))
    parser.add_argument("--told", type=int, default=9)
    parser.add_argument("--times", default="")
    parser.add_argument("--asked", default="")
    parser.add_argument("--pid-file", default="")
    _Handler.options = parser.parse_args()
    if _Handler.options.mode == "exit":
        sys.exit("the graphics card is made of cheese")
    pids = [os.getpid()]
    if _Handler.options.mode == "detached":
        # A helper that leaves the process group and is not waited for, as big servers have them.
        idle = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        pids.append(subprocess.Popen([sys.executable, "-c", idle], start_new_session=True).pid)
    if _Handler.options.pid_file:
        with open(_Handler.options.pid_file, "w") as file:  # noqa: PTH123 - a program of its own
            json.dump(pids, file)
    HTTPServer(("127.0.0.1", _Handler.options.port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
