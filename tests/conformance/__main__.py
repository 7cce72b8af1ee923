"""`python -m tests.conformance boards DIR | check … | energy … | nvml DIR`; see README.md."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from bench.waves import WAVES
from tests.conformance.check import Verdict, check, own_probe
from tests.conformance.energy import check_energy, own_meter
from tests.fakes.boards import BOARDS
from tests.fakes.shared_library import NoCompilerError, compiled

CONFORMS, WRONG, NOTHING_RAN = 0, 1, 2


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    boards = verbs.add_parser("boards", help="write every board and what a correct probe finds on it")
    boards.add_argument("folder", type=Path, metavar="DIR")
    boards.set_defaults(handler=_boards)
    run = verbs.add_parser("check", help="run a probe on the boards and compare")
    run.add_argument("--board", choices=sorted(BOARDS), action="append", help="only this one (repeatable)")
    run.add_argument("--tree", type=Path, help="a tree of your own instead, with --expect")
    run.add_argument("--expect", type=Path, metavar="FILE.json")
    run.add_argument("command", nargs="*", metavar="COMMAND", help="your probe; edgerig's own when left out")
    run.set_defaults(handler=_check)
    energy = verbs.add_parser("energy", help="run a meter beside waves of known energy and compare")
    names = [wave.name for wave in WAVES]
    energy.add_argument("--wave", choices=names, action="append", help="only this one (repeatable)")
    energy.add_argument("--seconds", type=float, default=10.0, help="length of the window")
    energy.add_argument("--limit-percent", type=float, default=1.0, help="largest error that conforms")
    energy.add_argument(
        "command", nargs="*", metavar="COMMAND", help="your meter; edgerig's own when left out"
    )
    energy.set_defaults(handler=_energy)
    nvml = verbs.add_parser("nvml", help="build the stub of NVIDIA's library, libnvidia-ml.so.1")
    nvml.add_argument("folder", type=Path, metavar="DIR")
    nvml.set_defaults(handler=_nvml)
    arguments = parser.parse_args(argv)
    if "tree" in arguments and (arguments.tree is None) != (arguments.expect is None):
        parser.error("--tree and --expect belong together")
    code: int = arguments.handler(arguments)
    return code


def _boards(arguments: argparse.Namespace) -> int:
    for name, build in BOARDS.items():
        folder: Path = arguments.folder / name
        expected = build(folder / "root")
        (folder / "expect.json").write_text(json.dumps(expected, indent=2) + "\n")
        print(folder)
    return CONFORMS


def _energy(arguments: argparse.Namespace) -> int:
    command = arguments.command or own_meter()
    verdicts = [
        check_energy(wave, arguments.seconds, arguments.limit_percent, command)
        for wave in arguments.wave or [one.name for one in WAVES if one.period_s <= arguments.seconds]
    ]
    print("\n".join(verdict.line() for verdict in verdicts))
    return WRONG if any(verdict.wrong for verdict in verdicts) else CONFORMS


def _nvml(arguments: argparse.Namespace) -> int:
    try:
        library = compiled("nvml_stub.c", "libnvidia-ml.so.1")
    except NoCompilerError as error:
        print(error)
        return NOTHING_RAN
    arguments.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(library, arguments.folder / library.name)
    print(f"LD_LIBRARY_PATH={arguments.folder.resolve()}")
    print("NVML_STUB=gpu|orin|thor|gb10|a100|none")
    print("NVML_STUB_SCRIPT=FILE")
    return CONFORMS


def _check(arguments: argparse.Namespace) -> int:
    command = arguments.command or own_probe()
    verdicts: list[Verdict] = []
    if arguments.tree is not None:
        expected = json.loads(arguments.expect.read_text())
        verdicts.append(check(arguments.tree.name, arguments.tree, expected, command))
    else:
        with tempfile.TemporaryDirectory(prefix="edgerig-boards-") as scratch:
            for name in arguments.board or BOARDS:
                tree = Path(scratch) / name
                verdicts.append(check(name, tree, BOARDS[name](tree), command))
    print("\n".join(verdict.line() for verdict in verdicts))
    if all(verdict.passed_over for verdict in verdicts):
        return NOTHING_RAN
    return WRONG if any(verdict.wrong for verdict in verdicts) else CONFORMS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
