"""Starts the programs that make a wave of load, and ends them whatever happens."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from edgerig.errors import DeviceError
from edgerig_agent.selftest.burn import GPU_PROGRAM
from edgerig_agent.selftest.wave import Wave

# Importing torch from an SD card, and starting CUDA.
_READY_S = 120.0
_END_S = 10.0
_KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")

Load = subprocess.Popen[str]


@contextmanager
def processors(count: int) -> Iterator[list[Load]]:
    """Programs that load `count` processors, ready for a wave."""
    command = [sys.executable, "-m", "edgerig_agent.selftest.burn"]
    with _started([command] * count, None) as loads:
        yield loads


@contextmanager
def gpu(interpreter: str) -> Iterator[list[Load]]:
    """A program that loads the GPU of the worker's interpreter, ready for a wave.

    Raises:
        DeviceError: there is no torch, or it reaches no GPU.
    """
    environment = {name: value for name, value in os.environ.items() if name in _KEPT}
    with _started([[interpreter, "-c", GPU_PROGRAM]], environment) as loads:
        yield loads


def run(loads: Sequence[Load], wave: Wave) -> None:
    """Tells the programs the wave; they follow it by their own clocks."""
    line = f"{wave.begin_ns} {wave.period_ns} {wave.cycle_count}\n"
    for load in loads:
        assert load.stdin is not None
        load.stdin.write(line)
        load.stdin.flush()


@contextmanager
def _started(commands: Sequence[list[str]], environment: dict[str, str] | None) -> Iterator[list[Load]]:
    loads: list[Load] = []
    try:
        for command in commands:
            # One by one: those that were started are ended where the next cannot be.
            loads.append(_start(command, environment))  # noqa: PERF401
        for load in loads:
            _await_ready(load)
        yield loads
    finally:
        for load in loads:
            _end(load)


def _start(command: list[str], environment: dict[str, str] | None) -> Load:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
    except OSError as error:
        raise DeviceError(f"{command[0]} cannot be started: {error}", hint=f"ls -l {command[0]}") from error


def _await_ready(load: Load) -> None:
    assert load.stdout is not None
    ready, _, _ = select.select([load.stdout], [], [], _READY_S)
    said = load.stdout.readline().strip() if ready else ""
    if said != "ready":
        raise DeviceError(said or "it cannot import torch", hint="edgerig-agent doctor")


def _end(load: Load) -> None:
    assert load.stdin is not None and load.stdout is not None
    load.terminate()
    try:
        load.wait(_END_S)
    except subprocess.TimeoutExpired:
        load.kill()
        load.wait()
    # It may have ended before it read what was said to it.
    with suppress(BrokenPipeError):
        load.stdin.close()
    load.stdout.close()
