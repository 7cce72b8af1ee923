"""Programs in the place of the worker's interpreter: real processes that speak the worker's pipe.

A program is given as the body of a script; it may use `emit(kind, **content)`,
`phase(word)` around a block, `now()` and `out` (its --out folder).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_PREAMBLE = """#!{python}
import contextlib, json, os, resource, signal, sys, time
if sys.argv[1] == "-c":
    print(json.dumps({{"python": "3.0", "torch": "9.9"}}))
    raise SystemExit(0)
arguments = dict(zip(sys.argv[5::2], sys.argv[6::2]))
event_fd = int(arguments["--event-fd"])
out = arguments["--out"]
now = time.monotonic_ns

def send(data):
    while data:
        data = data[os.write(event_fd, data):]

def emit(kind, **content):
    send((json.dumps({{kind: content}}) + "\\n").encode())

@contextlib.contextmanager
def phase(word):
    name, begin = "PHASE_" + word.upper(), now()
    emit("phase_begin", phase=name, t_mono_ns=begin)
    yield
    emit("phase", phase=name, index=0, begin_mono_ns=begin, end_mono_ns=now())

def hang():
    while True:
        signal.pause()
"""


def make(path: Path, body: str) -> str:
    """Writes an executable program and returns its path."""
    path.write_text(_PREAMBLE.format(python=sys.executable) + body)
    path.chmod(0o755)
    return str(path)


COMPLETE = """
with phase("load"):
    pass
with phase("inference"):
    begin = now()
    tokens = [now() for _ in range(4)]
for index in range(6):
    emit("request", index=index, accept_mono_ns=begin, model_mono_ns=begin, token_mono_ns=tokens,
         tokens_in=8, tokens_out=4, batch=1)
emit("facts", torch="9.9", threads=1)
emit("score", item_id="a", user_id="u", score=1.0, output="x", expected="x")
emit("score", item_id="b", user_id="u", score=0.0, output="y", expected="x")
emit("done", t_mono_ns=now())
"""


def attempt_folder(parent: Path, *, trial: dict[str, Any] | None = None, sysfs_root: str = "/") -> Path:
    """Makes an attempt folder as the daemon prepares it, with an empty model."""
    folder = parent / "attempt-1"
    model = parent / "model"
    for path in (folder, model):
        path.mkdir(parents=True, exist_ok=True)
    content = {"digest": "d" * 64, "protocol": "PROTOCOL_QUICK", "seed": 1, **(trial or {})}
    (folder / "trial.json").write_text(json.dumps(content))
    settings = {"attempt_id": "attempt-1", "model_dir": str(model), "sysfs_root": sysfs_root}
    (folder / "attempt.json").write_text(json.dumps(settings))
    return folder
