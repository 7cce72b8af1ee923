"""One attempt, from trial.json to the manifest: `python -m edgerig_agent.attempt FOLDER`.

The order of durable writes is the contract: `began` before the worker exists,
every file before result.json, the manifest last. While the worker works this
process only waits. It runs under the daemon or in the foreground of
`edgerig-agent measure`, and knows of neither.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edgerig.errors import (
    EXIT_DEVICE,
    DataError,
    DeviceError,
    EdgerigError,
    ProtocolError,
    StorageError,
    UsageError,
)
from edgerig.v1.attempt_pb2 import (
    FAILURE_CLASS_BAD_DATA,
    FAILURE_CLASS_BAD_MODEL,
    FAILURE_CLASS_KILLED,
    FAILURE_CLASS_NOT_INSTALLED,
    FAILURE_CLASS_PRECONDITION,
    FAILURE_CLASS_REBOOTED,
    STATUS_FAILED,
    AttemptResult,
    FailureClass,
    ProtocolRecord,
)
from edgerig.v1.trial_pb2 import Trial
from edgerig_agent import attempt_files as files
from edgerig_agent import orphans
from edgerig_agent.accounting import CpuWatch, KernelCounters, cpu_time_s, kernel_counters
from edgerig_agent.attempt_files import Settings
from edgerig_agent.classify import Ending, Evidence, classify
from edgerig_agent.environment import read_environment
from edgerig_agent.live_meter import PERIOD_S, open_meter
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.reduce import Reduced, reduce_attempt
from edgerig_agent.measure.summary import write_cpu_times
from edgerig_agent.outcome import Anchors, Window, compose, compose_unstarted, take_events
from edgerig_agent.protocol.keeper import NOT_RESTORED, CancelledError, Keeper, Surroundings
from edgerig_agent.protocol.restart import as_usual
from edgerig_agent.protocol.settings import restore_stale
from edgerig_agent.protocol.waiting import Note
from edgerig_agent.recorders import (
    check_meters,
    configured_meters,
    start_recorders,
    stop_recorders,
)
from edgerig_agent.runtime import (
    Inputs,
    interpreter_path,
    resolve_data,
    resolve_encoder,
    resolve_model,
    resolve_teacher,
    start_sampler,
    start_worker,
    stop_sampler,
)
from edgerig_agent.server_programs import permitted_program
from edgerig_agent.supervise import Beat, Ended, Signals, WorkerLog, supervise


@dataclass(frozen=True)
class Finished:
    """A finished attempt; `cancel_signal` is the signal that asked for its end, 0 for none."""

    result: AttemptResult
    cancel_signal: int = 0


class _PrepareError(Exception):
    """What kept the worker from being started, as the class it is recorded under."""

    def __init__(self, failure_class: FailureClass, error: EdgerigError) -> None:
        super().__init__(error.message)
        message = f"{error.message} (next: {error.hint})" if error.hint else error.message
        self.ending = Ending(STATUS_FAILED, failure_class, message)


def run_attempt(
    folder: Path, *, worker_python: str = "", cache: Path | None = None, note: Note = lambda _text: None
) -> Finished:
    """Runs the attempt whose folder holds trial.json and attempt.json, once.

    Whatever becomes of the worker, a result and a manifest are written. A folder
    that has its manifest is left alone and its result returned. `note` hears why
    it waits, before the first and after the last timed phase.

    Raises:
        UsageError: the attempt has begun before and is not finished.
        StorageError: the disk refuses.
    """
    if files.is_finished(folder):
        return Finished(files.read_result(folder))
    if (folder / "began").exists():
        raise UsageError(
            f"the attempt in {folder} has begun before and died",
            hint=f"python -m edgerig_agent.attempt --bury {folder}",
        )
    anchors = Anchors(files.boot_id(), time.monotonic_ns(), time.time_ns())
    files.write_began(folder)
    signals = Signals()
    try:
        finished = _run_begun(folder, worker_python, cache, signals, anchors, note)
        files.write_message(folder / "result.json", finished.result)
        files.write_manifest(folder, finished.result.attempt_id)
    finally:
        signals.restore()
    return finished


def bury(folder: Path, reason: str = "the attempt process died") -> None:
    """Finishes a dead attempt: class `rebooted` where another boot began it, else `killed`.

    The caller has made sure that no process of the attempt lives. Does nothing
    where there is a manifest; a result that was written before the death stands.

    Raises:
        StorageError: the disk refuses.
    """
    if files.is_finished(folder):
        return
    attempt_id = folder.name
    try:
        settings = files.read_settings(folder)
        attempt_id = settings.attempt_id
        restore_stale(Path(settings.home))
        result = files.read_result(folder)
    except (ProtocolError, StorageError):
        result = _burial(folder, attempt_id, reason)
        files.write_message(folder / "result.json", result)
    files.write_manifest(folder, result.attempt_id)


def main(argv: list[str] | None = None) -> int:
    """Runs one attempt, or finishes a dead one; 0 when there is a manifest."""
    parser = argparse.ArgumentParser(prog="python -m edgerig_agent.attempt", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="attempt folder with trial.json and attempt.json")
    parser.add_argument("--worker-python", default="", help="interpreter that runs the worker")
    parser.add_argument("--cache", type=Path, help="folder with blobs/, where models and data lie by sha256")
    parser.add_argument("--bury", action="store_true", help="write the result of an attempt that died")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder.resolve()
    try:
        if arguments.bury:
            bury(folder)
        else:
            run_attempt(folder, worker_python=arguments.worker_python, cache=arguments.cache, note=_log)
    except EdgerigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        # A disk that fills up while the worker runs; what began is buried by the daemon.
        sys.stderr.write(f"the attempt in {folder} cannot go on: {error}\nNext: df -h {folder}\n")
        return EXIT_DEVICE
    return 0


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _run_begun(
    folder: Path, worker_python: str, cache: Path | None, signals: Signals, anchors: Anchors, note: Note
) -> Finished:
    trial = Trial()
    attempt_id = folder.name
    record = ProtocolRecord()
    try:
        try:
            settings = files.read_settings(folder)
            attempt_id = settings.attempt_id
            trial = files.read_trial(folder)
        except (ProtocolError, StorageError) as error:
            raise _PrepareError(FAILURE_CLASS_PRECONDITION, error) from error
        inputs = _inputs(folder, trial, settings, cache)
        interpreter = interpreter_path(worker_python or settings.worker_python or sys.executable)
        own_pids = (os.getpid(), *settings.own_pids)
        here = Surroundings(folder, Path(settings.home), settings.sysfs_root, own_pids, note)
        keeper = Keeper(trial, here, signals, record)
        return _framed(_Course(folder, trial, settings, inputs, interpreter, signals, anchors), keeper)
    except _PrepareError as error:
        result = compose_unstarted(attempt_id, trial, error.ending, anchors)
        result.protocol_record.CopyFrom(record)
        return Finished(result, signals.cancel_signal)


@dataclass(frozen=True)
class _Course:
    """One attempt that has begun: where it is, what it does, and who may end it."""

    folder: Path
    trial: Trial
    settings: Settings
    inputs: Inputs
    interpreter: str
    signals: Signals
    anchors: Anchors


def _framed(course: _Course, keeper: Keeper) -> Finished:
    """Measures on a device that is set, idle and cool, and leaves it as it was."""
    # Before anything is set: the same device is the same environment, whatever a trial asks for.
    environment = read_environment(course.interpreter, course.settings.sysfs_root)
    environment_digest = as_usual(environment, Path(course.settings.home)).digest()
    try:
        try:
            keeper.begin()
        except DeviceError as error:
            raise _PrepareError(FAILURE_CLASS_PRECONDITION, error) from error
        except CancelledError as error:
            raise _PrepareError(FAILURE_CLASS_KILLED, UsageError(str(error))) from error
        finished = _measure(course, keeper)
        finished.result.environment_digest = environment_digest
        # Stands if this process is killed while the device cools down.
        files.write_message(course.folder / "result.json", finished.result)
        keeper.cool_down()
    finally:
        keeper.finish()
    finished.result.protocol_record.CopyFrom(keeper.record)
    if keeper.record.not_restored:
        finished.result.flags.append(NOT_RESTORED)
    return finished


def _inputs(folder: Path, trial: Trial, settings: Settings, cache: Path | None) -> Inputs:
    try:
        model_dir = resolve_model(folder, trial, settings, cache)
        encoder_dir = resolve_encoder(folder, trial, settings, cache)
        teacher_dir = resolve_teacher(folder, trial, settings, cache)
    except (DataError, ProtocolError) as error:
        raise _PrepareError(FAILURE_CLASS_BAD_MODEL, error) from error
    try:
        data_file = resolve_data(folder, trial, settings, cache)
    except (DataError, ProtocolError) as error:
        raise _PrepareError(FAILURE_CLASS_BAD_DATA, error) from error
    try:
        program = permitted_program(trial, Path(settings.home))
    except UsageError as error:
        raise _PrepareError(FAILURE_CLASS_PRECONDITION, error) from error
    return Inputs(model_dir, data_file, encoder_dir, teacher_dir, program)


@dataclass(frozen=True)
class _Observed:
    """How the worker ended, and what was counted around it."""

    ended: Ended
    own_cpu_s: float
    before: KernelCounters
    log_tail: str


def _observe(course: _Course) -> _Observed:
    """Runs sampler and worker side by side."""
    folder, trial, settings = course.folder, course.trial, course.settings
    watch = CpuWatch()
    try:
        meters = (*configured_meters(Path(settings.home)), *settings.meters)
        check_meters(meters)
        sampler = start_sampler(folder, settings.sysfs_root, trial.seed)
    except (DeviceError, UsageError) as error:
        raise _PrepareError(FAILURE_CLASS_PRECONDITION, error) from error
    recorders = start_recorders(folder, meters, settings.sysfs_root, trial.seed)
    log = WorkerLog(folder / "worker.log")
    # The sampler is not among them: it is the measurement, and its effect is measured apart.
    own = (os.getpid(), *settings.own_pids)
    before = kernel_counters()
    meter = open_meter(folder) if trial.budgets.train.energy_j > 0 else None
    orphans.adopt()
    helpers = orphans.children()
    try:
        meter_fd = None if meter is None else meter.descriptor
        worker = start_worker(folder, trial, course.inputs, course.interpreter, meter_fd)
        own_before_s = cpu_time_s(own)
        beat = None if meter is None else Beat(PERIOD_S, meter.renew)
        ended = supervise(worker, log, course.signals, budget_s=trial.budgets.attempt.duration_s, beat=beat)
        own_cpu_s = max(0.0, cpu_time_s(own) - own_before_s)
    except DeviceError as error:
        raise _PrepareError(FAILURE_CLASS_NOT_INSTALLED, error) from error
    finally:
        orphans.end_adopted(helpers)
        stop_sampler(sampler)
        stop_recorders(recorders)
        log.close()
        if meter is not None:
            meter.close()
    write_cpu_times(folder, watch.times(own_cpu_s))
    return _Observed(ended, own_cpu_s, before, log.tail())


def _measure(course: _Course, keeper: Keeper) -> Finished:
    """Has the worker run, then reduces what it and the sampler left."""
    observed = _observe(course)
    end_anchor = time.monotonic_ns(), time.time_ns()
    kept = keeper.ended()
    folder, trial, ended = course.folder, course.trial, observed.ended
    report, violation = take_events(folder, bytes(ended.events))
    reduced = reduce_attempt(folder, report, trial.protocol, locked_gpu_hz=trial.settings.gpu_clock_mhz * 1e6)
    ended.violation = ended.violation or violation
    ending = classify(_evidence(trial, ended, report, reduced, observed.before, observed.log_tail))
    window = _window(ended, observed.own_cpu_s)
    attempt_id = course.settings.attempt_id
    result = compose(attempt_id, trial, ending, report, reduced, window, course.anchors, kept=kept)
    result.end_anchor_mono_ns, result.end_anchor_unix_ns = end_anchor
    result.protocol_record.CopyFrom(keeper.record)
    if reduced.last_available_bytes is not None:
        result.last_available_bytes = reduced.last_available_bytes
    result.last_rss_bytes = ended.max_rss_bytes
    return Finished(result, ended.cancel_signal)


def _evidence(
    trial: Trial, ended: Ended, report: WorkerReport, reduced: Reduced, before: KernelCounters, log_tail: str
) -> Evidence:
    after = kernel_counters()
    return Evidence(
        exit_code=ended.exit_code,
        is_done=report.is_done,
        failure=report.failure,
        violation=ended.violation,
        was_cancelled=ended.cancel_signal != 0,
        cancel_reason=f"cancelled by signal {ended.cancel_signal}" if ended.cancel_signal else "",
        timed_out_after_s=trial.budgets.attempt.duration_s if ended.timed_out else None,
        oom_kill_count=after.oom_kill_count - before.oom_kill_count,
        cgroup_oom_kill_count=after.cgroup_oom_kill_count - before.cgroup_oom_kill_count,
        swapped_in_pages=after.swapped_in_pages - before.swapped_in_pages,
        duration_s=(ended.end_mono_ns - ended.begin_mono_ns) * 1e-9,
        memory_limit_bytes=int(trial.budgets.attempt.memory_bytes),
        last_available_bytes=reduced.last_available_bytes,
        last_rss_bytes=ended.max_rss_bytes,
        log_tail=log_tail,
    )


def _window(ended: Ended, own_cpu_s: float) -> Window:
    duration_s = (ended.end_mono_ns - ended.begin_mono_ns) * 1e-9
    share = own_cpu_s / duration_s if duration_s > 0 else 0.0
    return Window(ended.begin_mono_ns, ended.end_mono_ns, own_cpu_s, share)


def _burial(folder: Path, attempt_id: str, reason: str) -> AttemptResult:
    here = files.boot_id()
    began = files.read_began(folder) or {}
    began_boot = str(began.get("boot_id", here))
    rebooted = began_boot != here
    failure_class = FAILURE_CLASS_REBOOTED if rebooted else FAILURE_CLASS_KILLED
    message = "the device was restarted during the attempt" if rebooted else reason
    try:
        trial = files.read_trial(folder)
    except (ProtocolError, StorageError):
        trial = Trial()
    anchors = Anchors(began_boot, time.monotonic_ns(), time.time_ns())
    result = compose_unstarted(attempt_id, trial, Ending(STATUS_FAILED, failure_class, message), anchors)
    if rebooted:
        # The clock pair belongs to this boot and says nothing of the one that began.
        result.anchor_mono_ns = result.anchor_unix_ns = 0
    return result


if __name__ == "__main__":
    sys.exit(main())
