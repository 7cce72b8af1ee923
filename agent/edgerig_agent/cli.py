"""The command line of a device: `edgerig-agent measure | trace | reduce | facts | enroll | run`.

`measure` needs no controller and loads no gRPC; the modules that do are imported
by the commands that use them. Standard library and protobuf only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edgerig.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REJECTED,
    EdgerigError,
    NotFoundError,
    UsageError,
)
from edgerig.v1.attempt_pb2 import STATUS_INVALID, STATUS_OK, AttemptResult, FailureClass
from edgerig.version import VERSION
from edgerig.words import RESULT_FAILURES, word


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.handler(arguments)
        return code
    except EdgerigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`... | head`); nothing more can be said to it.
        sys.stderr.close()
        return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgerig-agent", description="Measures language models on this device."
    )
    parser.add_argument("--version", action="version", version=f"edgerig-agent {VERSION}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    measure = commands.add_parser("measure", help="run one trial here, without a controller")
    measure.add_argument("trial", type=Path, metavar="TRIAL.json", help="the trial, as JSON")
    measure.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the attempt")
    measure.add_argument("--worker-python", default="", metavar="EXE", help="interpreter that has torch")
    measure.add_argument(
        "--sysfs-root", default="/", metavar="DIR", help="stands for / in looking for sensors"
    )
    measure.add_argument(
        "--meter",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an external meter to read too, such as shelly://192.168.1.20 (repeatable)",
    )
    measure.add_argument("--json", action="store_true", help="print one JSON document")
    _add_home(measure)
    measure.set_defaults(handler=_measure)

    trace = commands.add_parser("trace", help="show the sensor samples of an attempt")
    trace.add_argument("folder", type=Path, metavar="DIR", help="attempt folder")
    trace.add_argument("--name", default="", help="only this trace, one column for each field")
    trace.add_argument("--csv", action="store_true", help="print the samples as CSV")
    trace.set_defaults(handler=_trace)

    reduce = commands.add_parser("reduce", help="compute the figures of an attempt again from its files")
    reduce.add_argument("folder", type=Path, metavar="DIR", help="attempt folder")
    reduce.add_argument("--json", action="store_true", help="print one JSON document")
    reduce.set_defaults(handler=_reduce)

    power = commands.add_parser("import-power", help="figures of an attempt from a power log (PTDaemon)")
    power.add_argument("folder", type=Path, metavar="DIR", help="attempt folder")
    power.add_argument("log", type=Path, metavar="SPL.txt", help="log of PTDaemon")
    power.add_argument("--boundary", default="wall_ac", help="what the analyser measured (%(default)s)")
    power.add_argument("--utc-offset", default="+00:00", metavar="+HH:MM", help="zone of the log's clock")
    power.add_argument(
        "--clock-ahead-s", type=float, default=0.0, metavar="S", help="log's clock less the device's"
    )
    power.add_argument("--json", action="store_true", help="print one JSON document")
    power.set_defaults(handler=_import_power)

    facts = commands.add_parser("facts", help="print what this device is and can measure, as JSON")
    facts.add_argument("--worker-python", default=sys.executable, metavar="EXE")
    facts.add_argument("--sysfs-root", default="/", metavar="DIR")
    facts.set_defaults(handler=_facts)

    _add_looks(commands)
    _add_fleet_commands(commands)
    return parser


def _add_looks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="say what can be measured here, and what mends the rest")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    doctor.add_argument("--channels", action="store_true", help="also list every channel of every sensor")
    _add_root(doctor)
    doctor.add_argument("--worker-python", default="", metavar="EXE", help="interpreter that has torch")
    doctor.add_argument(
        "--meter", action="append", default=[], metavar="ADDRESS", help="an external meter to ask too"
    )
    doctor.add_argument("--scan-s", type=float, default=1.0, metavar="S", help="seconds to read the sensors")
    doctor.add_argument(
        "--forget-idle-base", action="store_true", help="have the idle temperature measured anew"
    )
    _add_home(doctor)
    doctor.set_defaults(handler=_doctor)

    selftest = commands.add_parser("selftest", help="load the device in a square wave and watch its sensors")
    selftest.add_argument("--json", action="store_true", help="print one JSON document")
    selftest.add_argument("--duration-s", type=float, default=40.0, metavar="S", help="about how long")
    selftest.add_argument("--period-s", type=float, default=2.0, metavar="S", help="period of the wave")
    selftest.add_argument("--processes", type=int, default=0, metavar="N", help="processors to load (all)")
    selftest.add_argument(
        "--meter", action="append", default=[], metavar="ADDRESS", help="an external meter to compare with"
    )
    selftest.add_argument("--keep", type=Path, metavar="DIR", help="leave traces and wave.json in DIR")
    _add_root(selftest)
    selftest.add_argument("--worker-python", default="", metavar="EXE", help="interpreter that has torch")
    _add_home(selftest)
    selftest.set_defaults(handler=_selftest)


def _add_fleet_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    enroll = commands.add_parser("enroll", help="join a fleet with a one-time token")
    enroll.add_argument("--controller", required=True, metavar="HOST:PORT", help="its enrolment address")
    enroll.add_argument("--agents", required=True, metavar="HOST:PORT", help="its address for agents")
    enroll.add_argument("--device-id", required=True, metavar="ID", help="id of this device")
    enroll.add_argument("--ca-sha256", default="", metavar="HASH", help="hash of the fleet's CA key")
    enroll.add_argument("--ca-file", type=Path, metavar="PEM", help="the CA certificate, where it is at hand")
    enroll.add_argument("--token", default="", help="one-time token; read from standard input when left out")
    enroll.add_argument("--replace", action="store_true", help="replace an identity that is there")
    _add_home(enroll)
    enroll.set_defaults(handler=_enroll)

    batch = commands.add_parser("batch", help="run trials that came in a folder, without a network")
    actions = batch.add_subparsers(title="actions", required=True, metavar="ACTION")
    for name, words, handler in (
        ("run", "run the trials that have no result yet; goes on where it was", _batch_run),
        ("deliver", "have the daemon deliver the results, where there is a network now", _batch_deliver),
    ):
        action = actions.add_parser(name, help=words)
        action.add_argument("folder", type=Path, metavar="DIR", help="folder of `edgerig batch export`")
        _add_home(action)
        action.set_defaults(handler=handler)

    run = commands.add_parser("run", help="run the daemon of an enrolled device")
    run.add_argument("--embedded", action="store_true", help="end when the controller is gone")
    _add_home(run)
    run.set_defaults(handler=_run)


def _add_root(parser: argparse.ArgumentParser) -> None:
    # The longer name is that of `measure` and `facts`.
    parser.add_argument(
        "--root",
        "--sysfs-root",
        dest="root",
        default="/",
        metavar="DIR",
        help="stands for / in looking for sensors",
    )


def _add_home(parser: argparse.ArgumentParser) -> None:
    data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    parser.add_argument(
        "--home",
        type=Path,
        default=data / "edgerig-agent",
        metavar="DIR",
        help="folder of this agent (%(default)s)",
    )


def _measure(arguments: argparse.Namespace) -> int:
    from edgerig.documents import to_json
    from edgerig_agent.attempt import run_attempt
    from edgerig_agent.local_trial import prepare
    from edgerig_agent.table import result_lines

    out: Path = arguments.out.resolve()
    interpreter: str = arguments.worker_python or sys.executable
    home: Path = arguments.home
    prepare(
        arguments.trial,
        out,
        interpreter=interpreter,
        sysfs_root=arguments.sysfs_root,
        home=home,
        meters=arguments.meter,
    )
    if not arguments.json:
        print(f"measuring {arguments.trial} into {out}; nothing is shown until it is over", flush=True)
    finished = run_attempt(out, worker_python=interpreter, note=_note)
    if arguments.json:
        print(json.dumps({"folder": str(out), "result": to_json(finished.result)}))
    else:
        print("\n".join(result_lines(finished.result)))
    return EXIT_INTERRUPTED if finished.cancel_signal == signal.SIGINT else _exit_code(finished.result)


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _exit_code(result: AttemptResult) -> int:
    """0 for a result, also for one like `oom_host`; 7 when it is no evidence; 1 for an accident."""
    if result.status == STATUS_INVALID:
        return EXIT_REJECTED
    is_result = result.status == STATUS_OK or word(FailureClass, result.failure_class) in RESULT_FAILURES
    return EXIT_OK if is_result else EXIT_FAILED


def _trace(arguments: argparse.Namespace) -> int:
    from edgerig_agent.measure import trace

    traces = trace.read_traces(arguments.folder)
    if arguments.name:
        traces = [one for one in traces if one.name == arguments.name]
    if not traces:
        raise NotFoundError(
            f"there is no such trace in {arguments.folder}", hint=f"ls {arguments.folder / 'trace'}"
        )
    if not arguments.csv:
        print("\n".join(line for one in traces for line in trace.describe(one)))
    elif arguments.name:
        trace.write_csv(traces[0], sys.stdout)
    else:
        trace.write_long_csv(traces, sys.stdout)
    return EXIT_OK


def _reduce(arguments: argparse.Namespace) -> int:
    from edgerig_agent.recompute import recompute

    found = recompute(arguments.folder)
    if arguments.json:
        print(json.dumps(found.document()))
    else:
        print("\n".join(found.lines()))
    return EXIT_OK if found.is_identical else EXIT_REJECTED


def _import_power(arguments: argparse.Namespace) -> int:
    from edgerig_agent.import_power import Clock, import_spl, offset_s
    from edgerig_agent.table import measurement_lines, unavailable_lines

    clock = Clock(offset_s(arguments.utc_offset), arguments.clock_ahead_s)
    imported = import_spl(arguments.folder, arguments.log, arguments.boundary, clock)
    if arguments.json:
        print(json.dumps(imported.document()))
        return EXIT_OK
    print(f"{imported.sample_count} samples, {imported.bad_line_count} lines passed over")
    print("\n".join(measurement_lines([m for m in imported.measurements if m.HasField("value")])))
    missing = [m for m in imported.measurements if not m.HasField("value")]
    if missing:
        print("\n".join(["", "Not measured:", *unavailable_lines(missing)]))
    return EXIT_OK


def _facts(arguments: argparse.Namespace) -> int:
    from edgerig_agent import device

    return device.main(["--worker-python", arguments.worker_python, "--sysfs-root", arguments.sysfs_root])


def _doctor(arguments: argparse.Namespace) -> int:
    from edgerig_agent.doctor.main import run

    return run(arguments)


def _selftest(arguments: argparse.Namespace) -> int:
    from edgerig_agent.selftest.main import run

    return run(arguments)


def _enroll(arguments: argparse.Namespace) -> int:
    _require("cryptography", "grpc")
    from edgerig_agent.enroll import enroll

    # On the command line a token is seen by every user of the machine; a pipe is not.
    if not arguments.token and sys.stdin.isatty():
        sys.stderr.write("Token: ")
        sys.stderr.flush()
    token = arguments.token or sys.stdin.readline(4096).strip()
    enroll(
        arguments.home,
        arguments.controller,
        arguments.agents,
        arguments.device_id,
        token,
        arguments.ca_sha256,
        ca_file=arguments.ca_file,
        replace=arguments.replace,
    )
    print(f"enrolled {arguments.device_id}\nNext: edgerig-agent run --home {arguments.home}")
    return EXIT_OK


def _run(arguments: argparse.Namespace) -> int:
    _require("grpc")
    from edgerig_agent.daemon import run

    return run(arguments.home, arguments.embedded)


def _batch_run(arguments: argparse.Namespace) -> int:
    _require("cryptography", "grpc")
    from edgerig_agent.batch import run

    done, count = run(arguments.home, arguments.folder, _note)
    print(f"{done} of {count} trials have a result in {arguments.folder}")
    if done == count:
        print(f"Next, on the controller's machine: edgerig batch import {arguments.folder}")
        return EXIT_OK
    return EXIT_FAILED


def _batch_deliver(arguments: argparse.Namespace) -> int:
    _require("cryptography", "grpc")
    from edgerig_agent.batch import deliver

    count = deliver(arguments.home, arguments.folder)
    print(f"{count} results wait for delivery\nNext: edgerig-agent run --home {arguments.home}")
    return EXIT_OK


def _require(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"this command needs {', '.join(missing)}, which is not installed",
            hint="pip install 'edgerig[agent]'",
        )


if __name__ == "__main__":
    sys.exit(main())
