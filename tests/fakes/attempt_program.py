"""A scripted attempt process: began, work, result and manifest, as a real process.

    attempt_program.py [--bury] [--mode MODE] FOLDER

It counts its beginnings in `runs.log` beside the attempts, so that a test sees
whether anything ran twice. Modes: ok; wait (says so in the pipe `begun` of the
home, until a byte comes through the pipe `go`, or SIGTERM); deaf (the same,
ignores SIGTERM); die (after `began`); stillborn (before it);
garble (damages its result after the manifest). With EDGERIG_FAKE_SCORES in the
environment the item scores are such as a controller reads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import select
import signal
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bury", action="store_true")
    parser.add_argument("--mode", default="ok")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.bury:
        finish(arguments.folder, "STATUS_FAILED", "FAILURE_CLASS_KILLED", "it died")
        return 0
    if arguments.mode == "stillborn":
        print("no such interpreter", file=sys.stderr)
        return 1
    return work(arguments.folder, arguments.mode)


def work(folder: Path, mode: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else lambda *_: None)
    woken, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    with (folder.parent.parent / "runs.log").open("a") as log:
        log.write(f"{folder.name}\n")
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began = {
        "pid": os.getpid(),
        "start_ticks": int(stat[19]),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "t_mono_ns": 0,
    }
    (folder / "began.new").write_text(json.dumps(began))
    (folder / "began.new").rename(folder / "began")
    if mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode in ("wait", "deaf"):
        home = folder.parent.parent
        go = os.open(home / "go", os.O_RDWR)
        os.write(os.open(home / "begun", os.O_RDWR), b"x")
        ready, _, _ = select.select([go, woken], [], [], 60)
        if woken in ready:
            finish(folder, "STATUS_FAILED", "FAILURE_CLASS_KILLED", "cancelled")
            return 0
    finish(folder, "STATUS_OK", "FAILURE_CLASS_UNSPECIFIED", "")
    if mode == "garble":
        (folder / "result.json").write_text("{")
    return 0


def finish(folder: Path, status: str, failure: str, message: str) -> None:
    trial = json.loads((folder / "trial.json").read_text())
    model = folder / "model" / "sub" / "model.safetensors"
    result = {
        "attempt_id": folder.name,
        "trial_digest": trial["digest"],
        "status": status,
        "failure_class": failure,
        "failure_message": message,
        "environment_digest": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    (folder / "result.json").write_text(json.dumps(result))
    # Larger than one chunk, so that uploads have to be resumed and put together.
    scores = folder.name.encode() * 100_000
    if "EDGERIG_FAKE_SCORES" in os.environ:
        scores = b'{"item_id": "i0", "user_id": "u", "score": 0.5}\n'
    (folder / "scores.jsonl").write_bytes(scores)
    files = []
    for name in ("trial.json", "scores.jsonl", "result.json"):
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": name, "sha256": digest, "size_bytes": len(content)})
    manifest = {"attempt_id": folder.name, "files": files}
    (folder / "manifest.new").write_text(json.dumps(manifest))
    (folder / "manifest.new").rename(folder / "manifest.json")


if __name__ == "__main__":
    sys.exit(main())
