"""Starts the worker and the sampler of an attempt.

The worker gets what interfaces.md lists and nothing else: its own process group
and session, an emptied environment, an empty working directory, one descriptor
for events. It dies with this process, and is the first that the kernel takes
when memory runs out. Knows nothing of what the worker says.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgerig.errors import DataError, DeviceError
from edgerig.v1.trial_pb2 import Model, Trial
from edgerig_agent.accounting import usable_cpu_count
from edgerig_agent.attempt_files import Settings, safe_path

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_ADJ = "500"
_SAMPLER_READY_S = 10.0
_PIPE_BYTES = 1024 * 1024
_F_SETPIPE_SZ = 1031
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_KEPT_PREFIXES = ("CUDA_", "NVIDIA_")
_INTERVAL_NS = 10_000_000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Inputs:
    """Where the worker finds its model and data."""

    model_dir: Path
    data_file: Path
    encoder_dir: Path | None = None
    teacher_dir: Path | None = None
    # What this device allows to be started as the trial's server.
    server_program: Path | None = None


@dataclass(frozen=True)
class Worker:
    """A started worker with the reading ends of its pipes, which are non-blocking."""

    process: subprocess.Popen[bytes]
    event_fd: int
    log_fd: int


def resolve_model(folder: Path, trial: Trial, settings: Settings, cache: Path | None) -> Path:
    """Returns the model's folder, linking it out of the cache where it is not given.

    Raises:
        DataError: the folder or one of its files is not there.
        ProtocolError: a path of the trial would leave its folder.
    """
    return _resolve_model("model", settings.model_dir, trial.model, folder, cache)


def resolve_encoder(folder: Path, trial: Trial, settings: Settings, cache: Path | None) -> Path | None:
    """Returns the folder of the trial's sentence encoder, None where it has none.

    Raises:
        DataError: the folder or one of its files is not there.
        ProtocolError: a path of the trial would leave its folder.
    """
    if not trial.HasField("encoder"):
        return None
    return _resolve_model("encoder", settings.encoder_dir, trial.encoder, folder, cache)


def resolve_teacher(folder: Path, trial: Trial, settings: Settings, cache: Path | None) -> Path | None:
    """Returns the folder of the model that the trial's distillation learns from, None where it has none.

    Raises:
        DataError: the folder or one of its files is not there.
        ProtocolError: a path of the trial would leave its folder.
    """
    if not trial.HasField("teacher"):
        return None
    return _resolve_model("teacher", settings.teacher_dir, trial.teacher, folder, cache)


def _resolve_model(name: str, given: str, model: Model, folder: Path, cache: Path | None) -> Path:
    given = given or model.device_path
    place = Path(given) if given else folder / name
    if cache is not None and not given:
        for reference in model.files:
            _link(_blob(cache, reference.sha256), place / safe_path(reference.path))
    if not place.is_dir():
        raise DataError(f"the {name} folder {place} is not on this device", hint=f"ls -ld {place}")
    return place


def resolve_data(folder: Path, trial: Trial, settings: Settings, cache: Path | None) -> Path:
    """Returns the task's data file; a path that does not exist where the trial has no data.

    Raises:
        DataError: the trial has data and the file is not there.
    """
    data_file = Path(settings.data_file) if settings.data_file else folder / "data" / "none"
    if cache is not None and not settings.data_file and trial.task.data.sha256:
        data_file = _blob(cache, trial.task.data.sha256)
    if trial.task.data.sha256 and not data_file.is_file():
        raise DataError(f"the data file {data_file} is not on this device", hint=f"ls -l {data_file}")
    return data_file


def interpreter_path(text: str) -> str:
    """Returns an interpreter's path as it holds in every folder; a bare name is left to PATH.

    Links are not followed: a virtual environment is known by the path it is called by.
    """
    return str(Path(text).absolute()) if "/" in text else text


def worker_environment(trial: Trial, pythonpath: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of the worker: nothing but what it needs, and no credential."""
    kept = {
        name: value
        for name, value in outer.items()
        if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    threads = trial.threads or usable_cpu_count()
    return {
        **kept,
        "PYTHONPATH": str(pythonpath),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def link_workload(folder: Path) -> Path:
    """Makes `pythonpath/edgerig_workload` in the attempt folder and returns `pythonpath`.

    Another interpreter must see our worker and none of this one's packages.

    Raises:
        DeviceError: the workload is not installed beside the agent.
    """
    pythonpath = folder / "pythonpath"
    pythonpath.mkdir(parents=True, exist_ok=True)
    link = pythonpath / "edgerig_workload"
    if not link.is_symlink():
        link.symlink_to(workload_folder())
    return pythonpath


def workload_folder() -> Path:
    """Returns where the worker's package is installed, without importing it.

    Raises:
        DeviceError: it is not installed.
    """
    spec = find_spec("edgerig_workload")
    if spec is None or not spec.submodule_search_locations:
        raise DeviceError("the package edgerig_workload is not installed", hint="pip install edgerig")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def start_worker(
    folder: Path, trial: Trial, inputs: Inputs, interpreter: str, meter_fd: int | None = None
) -> Worker:
    """Starts the worker and returns it; it inherits the energy meter where there is one.

    Raises:
        DeviceError: the interpreter cannot be started.
    """
    working = folder / "empty"
    for path in (working, folder / "worker"):
        path.mkdir(exist_ok=True)
    environment = worker_environment(trial, link_workload(folder), os.environ)
    event_read, event_write = os.pipe()
    log_read, log_write = os.pipe()
    _widen(event_read)
    _widen(log_read)
    command = [interpreter, "-m", "edgerig_workload", "run", str(folder / "trial.json")]
    command += ["--event-fd", str(event_write), "--model", str(inputs.model_dir)]
    command += ["--data", str(inputs.data_file), "--out", str(folder / "worker")]
    command += [] if inputs.encoder_dir is None else ["--encoder", str(inputs.encoder_dir)]
    command += [] if inputs.teacher_dir is None else ["--teacher", str(inputs.teacher_dir)]
    command += [] if inputs.server_program is None else ["--server-program", str(inputs.server_program)]
    command += [] if meter_fd is None else ["--meter-fd", str(meter_fd)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log_write,
            stderr=subprocess.STDOUT,
            cwd=working,
            env=environment,
            pass_fds=(event_write,) if meter_fd is None else (event_write, meter_fd),
            start_new_session=True,
            preexec_fn=_before_worker(os.getpid()),
        )
    except (OSError, subprocess.SubprocessError) as error:
        os.close(event_read)
        os.close(log_read)
        raise DeviceError(
            f"the worker's interpreter {interpreter} cannot be started: {error}", hint=f"ls -l {interpreter}"
        ) from error
    finally:
        os.close(event_write)
        os.close(log_write)
    os.set_blocking(event_read, False)
    os.set_blocking(log_read, False)
    return Worker(process, event_read, log_read)


def start_sampler(folder: Path, sysfs_root: str, seed: int) -> subprocess.Popen[bytes]:
    """Starts the sampler and waits until every probe has its first sample.

    Raises:
        DeviceError: it ended, or was not ready within ten seconds.
    """
    ready_read, ready_write = os.pipe()
    arguments = [str(folder), sysfs_root, str(_INTERVAL_NS), str(seed), str(ready_write)]
    try:
        with (folder / "sampler.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edgerig_agent.measure.sampler", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(ready_write,),
                start_new_session=True,
                preexec_fn=_die_with_parent(signal.SIGTERM, os.getpid()),
            )
        os.close(ready_write)
        ready, _, _ = select.select([ready_read], [], [], _SAMPLER_READY_S)
        if ready and os.read(ready_read, 1):
            return process
    finally:
        os.close(ready_read)
    process.kill()
    process.wait()
    raise DeviceError("the sampler did not start", hint=f"cat {folder / 'sampler.log'}")


def stop_sampler(process: subprocess.Popen[bytes]) -> None:
    """Ends the sampler after its next sample, by force after five seconds."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_group(pid: int, number: int) -> None:
    """Sends a signal to every process of the group that `pid` leads; none left is fine."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _before_worker(parent: int) -> Callable[[], None]:
    die_with_parent = _die_with_parent(signal.SIGKILL, parent)

    def prepare() -> None:
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            # Raising needs no right; the agent and the sampler are to survive the worker.
            with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - between fork and exec
                file.write(_OOM_SCORE_ADJ)
        except OSError:
            return

    return prepare


def _die_with_parent(number: int, parent: int) -> Callable[[], None]:
    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        # The parent may have died before the call.
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _widen(descriptor: int) -> None:
    """Lets the worker report without waiting for a reader that is meant to sleep."""
    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return


def _blob(cache: Path, sha256: str) -> Path:
    if len(sha256) != 64 or not all(letter in "0123456789abcdef" for letter in sha256):
        raise DataError(f"{sha256[:80]!r} is not a sha256")
    return cache / "blobs" / sha256[:2] / sha256


def _link(blob: Path, target: Path) -> None:
    if not blob.is_file():
        raise DataError(f"the file {target.name} of the model is not in the cache", hint=f"ls -l {blob}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(blob)
