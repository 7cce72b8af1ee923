"""The worker's command line: `run` carries out one trial, `catalog` prints what can be run.

The process boundary: whatever goes wrong becomes one failure event and exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edgerig_workload import catalog, faults, limits, trial
from edgerig_workload.events import Pipe
from edgerig_workload.frame import Attempt, Folders
from edgerig_workload.meter import SharedMeter
from edgerig_workload.phases import Marks, ProcResidentSet, enum_name


def main(argv: Sequence[str] | None = None, *, began_mono_ns: int | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "catalog":
        print(json.dumps(catalog.document(), indent=1))
        return 0
    began = time.monotonic_ns() if began_mono_ns is None else began_mono_ns
    return run(
        arguments.trial,
        Pipe(arguments.event_fd),
        Folders(
            arguments.model,
            arguments.data,
            arguments.out,
            encoder=arguments.encoder,
            teacher=arguments.teacher,
            program=arguments.server_program,
        ),
        began,
        arguments.meter_fd,
    )


def run(
    trial_path: Path, events: Pipe, folders: Folders, began_mono_ns: int, meter_fd: int | None = None
) -> int:
    """Carry out a trial; its events end with `done` or with `failure`."""
    marks = Marks(events, ProcResidentSet())
    attempt: Attempt | None = None
    try:
        parsed = trial.load(trial_path)
        attempt = Attempt(parsed, folders, events, marks, began_mono_ns)
        attempt.meter = None if meter_fd is None else SharedMeter(meter_fd)
        attempt.run()
    except BrokenPipeError:
        # Nobody is left to hear of it.
        return 1
    except Exception as error:  # noqa: BLE001 - the process boundary: every failure is reported as one
        limited = limits.lift()
        failure = faults.classify(error, limited=limited)
        if attempt is not None:
            attempt.report_facts()
        events.emit("failure", _failure_event(failure, marks.failed_phase))
        print(failure.traceback, file=sys.stderr)
        return 1
    attempt.report_facts()
    events.emit("done", {"t_mono_ns": time.monotonic_ns()})
    return 0


def _failure_event(failure: faults.Failure, phase: str) -> dict[str, str]:
    event = {
        "failure_class": f"FAILURE_CLASS_{failure.failure_class.upper()}",
        "message": failure.message,
        "traceback": failure.traceback,
    }
    return {**event, "phase": enum_name(phase)} if phase else event


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgerig_workload", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("catalog", help="print methods, compressions, tasks and memory formulas as JSON")
    run_parser = commands.add_parser("run", help="carry out one trial")
    run_parser.add_argument("trial", type=Path, help="trial.json, the JSON form of a Trial")
    run_parser.add_argument("--event-fd", type=int, default=1, help="open descriptor for event lines")
    run_parser.add_argument("--model", type=Path, help="folder of the model")
    run_parser.add_argument("--data", type=Path, help="task data, JSON lines")
    run_parser.add_argument("--encoder", type=Path, help="folder of the sentence encoder that retrieves")
    run_parser.add_argument(
        "--teacher", type=Path, help="folder of the model that a distillation learns from"
    )
    run_parser.add_argument(
        "--server-program", type=Path, help="program that the device allows to be started as the server"
    )
    run_parser.add_argument("--meter-fd", type=int, help="open descriptor of the live energy meter")
    run_parser.add_argument("--out", type=Path, required=True, help="folder for what the method produces")
    return parser
