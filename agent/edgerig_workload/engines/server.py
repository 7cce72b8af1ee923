"""A server of a study: started, awaited, asked over its streaming completions, and ended with all it started.

It is whatever speaks the OpenAI completions over HTTP on this machine: llama-server,
vLLM, Ollama, TensorRT-LLM, MLC, `transformers serve`. The worker is its client and its
parent; what the server takes is measured for its processes, not for the worker.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgerig_workload.engines import Ends, Setup, stream, tree
from edgerig_workload.engines.choice import EngineChoice, filled
from edgerig_workload.engines.stamps import Stamps
from edgerig_workload.faults import WorkerFault
from edgerig_workload.models import Loaded
from edgerig_workload.phases import Marks
from edgerig_workload.trial import Inference

LOG_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 2000
_KEPT_LOG_BYTES = 64 * 1024
_SILENCE_S = 300.0
_POLL_S = 0.05
_PATIENCE_S = 5.0
_PROBE_S = 2.0
# Where the worker finds its own code, and how it prints: none of a server's business.
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONUNBUFFERED")

Clock = Callable[[], int]


class ServerProcess:
    """The started program with what it prints. `header` is what it calls itself over HTTP."""

    def __init__(self, choice: EngineChoice, program: Path, folder: Path, out: Path) -> None:
        self.port = _free_port()
        self.names: dict[str, str | int] = {"model": str(folder), "port": self.port}
        self.program_sha256 = _digest(program)
        self.header = ""
        self._choice = choice
        self._log = (out / "server.log").open("ab+", buffering=0)
        tree.adopt_orphans()
        self.started = tree.Started()
        words = [str(program), *map(str, filled(list(choice.command[1:]), self.names))]
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                preexec_fn=tree.die_with_parent,
            )
        except OSError as error:
            self._log.close()
            raise WorkerFault("not_installed", f"{program} cannot be started: {error.strerror}") from error

    def await_ready(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until the server's ready path answers.

        Raises:
            WorkerFault: it ended, or the time is over; the message has what it printed last.
        """
        deadline = time.monotonic() + self._choice.ready_s
        said = "nothing listened on its port"
        while True:
            self.check_alive()
            status = self._probe()
            if status is not None and status < http.client.BAD_REQUEST:
                return
            said = said if status is None else f"{self._choice.ready_path} answered with status {status}"
            if time.monotonic() >= deadline:
                raise WorkerFault(
                    "worker_error",
                    f"the server was not ready within {self._choice.ready_s:g} s: {said}. {self._printed()}",
                )
            sleep(_POLL_S)

    def check_alive(self) -> None:
        """Raise what is to be said of a server that has ended.

        Raises:
            WorkerFault: it has.
        """
        code = self._process.poll()
        if code is not None:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise WorkerFault("worker_error", f"the server {how}. {self._printed()}")

    def trim_log(self) -> None:
        """Empty the log where it has grown beyond what is kept."""
        if os.fstat(self._log.fileno()).st_size > LOG_BYTES:
            self._log.truncate(0)

    def close(self) -> None:
        """End every process of the server and hand what it printed last to the worker's log."""
        self.started.end(_PATIENCE_S)
        # Its last threads may still be on their way out.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        if not self._log.closed:
            sys.stdout.write(f"--- the server printed ---\n{self._tail(_KEPT_LOG_BYTES)}\n")
            sys.stdout.flush()
            self._log.close()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
        return kept | {name: str(filled(text, self.names)) for name, text in self._choice.environment.items()}

    def _probe(self) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PROBE_S)
        try:
            connection.request("GET", self._choice.ready_path)
            response = connection.getresponse()
            response.read(stream.REFUSAL_BYTES)
            self.header = str(response.getheader("Server") or "")[:200]
            return int(response.status)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _printed(self) -> str:
        tail = self._tail(_TAIL_BYTES).strip()
        return f"It printed last:\n{tail}" if tail else "It printed nothing."

    def _tail(self, size_bytes: int) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size_bytes, max(0, size - size_bytes)).decode("utf-8", "replace")


class Server:
    """A ready server as an engine; `text` is the model's tokenizer side, which the worker holds itself."""

    def __init__(self, choice: EngineChoice, process: ServerProcess, text: Loaded) -> None:
        self._choice = choice
        self._process = process
        self._text = text
        self._process_count = 0

    def request(self, text: str, shape: Inference, clock: Clock) -> Stamps:
        """Answer one prompt; tokens are counted by the model's own tokenizer.

        Raises:
            WorkerFault: the server does not give a complete answer.
        """
        completion, received = self._ask(text, shape.new_tokens, self._choice.forced, clock)
        times = stream.token_arrivals(completion, self._ends(completion.text))
        if not times:
            raise WorkerFault(
                "worker_error",
                "the server answered the prompt of the profile with no token: have it ignore the end of "
                "sequence, such as forced: {ignore_eos: true}",
            )
        count = len(times) if completion.token_count is None else completion.token_count
        return Stamps(
            received.accept_mono_ns,
            received.sent_mono_ns,
            times,
            tokens_in=self._text.count(text),
            told=completion.token_count,
            is_short=completion.finish_reason != "length" and count < shape.new_tokens,
        )

    def instrumented(self, text: str, shape: Inference, marks: Marks) -> None:
        """Run one request as a phase `decode`: a client cannot tell where the server's prefill ends."""
        with marks.phase("decode"):
            self.request(text, shape, time.monotonic_ns)
        self._process_count = len(self._process.started.pids())
        self._process.trim_log()

    def answer(self, prompts: Sequence[str], most_tokens: int, ends: Ends) -> list[list[int]]:
        """Ask one prompt after the other.

        Raises:
            WorkerFault: the server does not give a complete answer.
        """
        rows = []
        for prompt in prompts:
            completion, _ = self._ask(prompt, most_tokens, {}, time.monotonic_ns)
            rows.append(_cut(self._ids(completion.text)[:most_tokens], ends))
        self._process.trim_log()
        return rows

    def facts(self) -> dict[str, Any]:
        """Return name, header and digest of the server, and how many processes it had."""
        return {
            "engine": self._choice.name,
            "engine_version": self._process.header,
            "engine_program_sha256": self._process.program_sha256,
            "engine_process_count": self._process_count,
        }

    def close(self) -> None:
        """End the server."""
        self._process.close()

    def _ask(
        self, prompt: str, most_tokens: int, further: Mapping[str, Any], clock: Clock
    ) -> tuple[stream.Completion, stream.Received]:
        names = {**self._process.names, "new_tokens": most_tokens}
        body = {
            "model": self._choice.model,
            "prompt": prompt,
            "max_tokens": most_tokens,
            "temperature": 0,
            "stream": True,
            **self._choice.request,
            **further,
        }
        # The prompt is text of a task and stays as it is.
        fields = {name: value if name == "prompt" else filled(value, names) for name, value in body.items()}
        data = json.dumps(fields).encode()
        try:
            received = stream.receive(
                self._process.port, self._choice.completion_path, data, _SILENCE_S, clock
            )
            return stream.parse(received), received
        except WorkerFault:
            # A server that has ended says more than a connection that broke.
            self._process.check_alive()
            raise

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._text.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _ends(self, text: str) -> list[int]:
        """Returns how many characters of an answer are there when each of its tokens is whole."""
        tokenizer = self._text.tokenizer
        if getattr(tokenizer, "is_fast", False):
            found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            return [int(end) for _, end in found["offset_mapping"]]
        ids = self._ids(text)
        return [len(self._text.decode(ids[: place + 1])) for place in range(len(ids))]


def watch(marks: Marks) -> None:
    """Have the phases from here on measure what the worker has started instead of the worker."""
    memory = tree.TreeResidentSet()
    marks.measure(memory, memory.shares, memory.major_faults)


def open_engine(setup: Setup) -> Server:
    """Start a server and wait until it can be used; nothing is left running where that fails.

    Raises:
        WorkerFault: the device does not allow it, it cannot be started, ends, or is not ready in time.
    """
    choice = setup.trial.engine
    if setup.program is None:
        raise WorkerFault("precondition", f"the device allows no program for engine {choice.name}")
    if setup.trial.inference.batch > 1:
        raise WorkerFault("precondition", "a server is asked one request at a time here: use batch 1")
    process = ServerProcess(choice, setup.program, setup.folder, setup.out)
    try:
        process.await_ready()
    except BaseException:
        process.close()
        raise
    return Server(choice, process, setup.text)


def _cut(ids: list[int], ends: Ends) -> list[int]:
    for count in range(1, len(ids) + 1):
        if ends(ids[:count]):
            return ids[:count]
    return ids


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _digest(program: Path) -> str:
    found = hashlib.sha256()
    try:
        with program.open("rb") as file:
            while piece := file.read(1024 * 1024):
                found.update(piece)
    except OSError as error:
        raise WorkerFault("not_installed", f"the server's program cannot be read: {error}") from error
    return found.hexdigest()
