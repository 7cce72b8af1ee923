"""Starts and stops the recorders of an attempt's external meters.

A meter that does not answer is no reason to stop an attempt: its trace says what
failed and since when. Knows nothing of what a meter is.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgerig.errors import UsageError

_MAX_SETTINGS_BYTES = 1024 * 1024
# The first request may run into its limit of three seconds, and the interpreter starts first.
_READY_S = 6.0
_PATIENCE_S = 5.0

Recorder = subprocess.Popen[bytes]


def configured_meters(home: Path) -> tuple[str, ...]:
    """Returns the addresses that `meters` of the home's agent.json lists, none without such a file.

    Raises:
        UsageError: the file cannot be understood, or `meters` is no list of texts.
    """
    path = home / "agent.json"
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_SETTINGS_BYTES))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=f"python -m json.tool {path}") from error
    meters = document.get("meters", []) if isinstance(document, dict) else None
    if not isinstance(meters, list) or not all(isinstance(address, str) for address in meters):
        raise UsageError(f"meters in {path} is no list of addresses", hint=f"python -m json.tool {path}")
    return tuple(meters)


def check_meters(addresses: Sequence[str]) -> None:
    """Makes sure that every address can be understood.

    Raises:
        UsageError: one cannot; all problems of all addresses are named.
    """
    if addresses:
        # Only where there is a meter: the daemon loads as little as it can.
        from edgerig_agent.probes.meters.address import parse_all

        parse_all(addresses)


def start_recorders(folder: Path, addresses: Sequence[str], sysfs_root: str, seed: int) -> list[Recorder]:
    """Starts one recorder a meter and waits until each has had an answer or none."""
    started = [_start(folder, address, sysfs_root, seed) for address in addresses]
    for _, ready_fd in started:
        select.select([ready_fd], [], [], _READY_S)
        os.close(ready_fd)
    return [process for process, _ in started]


def stop_recorders(recorders: Sequence[Recorder]) -> None:
    """Ends the recorders, all asked before any is waited for; by force after five seconds."""
    for recorder in recorders:
        recorder.terminate()
    for recorder in recorders:
        _wait(recorder)


def _wait(recorder: Recorder) -> None:
    try:
        recorder.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        recorder.kill()
        recorder.wait()


def _start(folder: Path, address: str, sysfs_root: str, seed: int) -> tuple[Recorder, int]:
    ready_read, ready_write = os.pipe()
    arguments = [str(folder), sysfs_root, address, str(seed), str(ready_write), str(os.getpid())]
    try:
        with (folder / "meters.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edgerig_agent.measure.recorder", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(ready_write,),
                start_new_session=True,
            )
    finally:
        os.close(ready_write)
    return process, ready_read
