"""What jetson-stats reads, as JSON lines: `python -m edgerig_agent.probes.jtop_bridge [--samples N]`.

A program of its own, and the only one that imports jtop: jetson-stats is an optional
extra under another licence (AGPL-3.0), its service polls the board once a second, and
what it finds is a cross-check and never a measurement. It can also ask the service to
set the power mode or jetson_clocks. Each line is one reading:

    {"t_mono_ns", "rails": {NAME: {"power_w", "voltage_v", "current_a"}}, "total_w",
     "nvpmodel": {"id", "name"}, "jetson_clocks"}

Where jetson-stats is not installed or its service does not answer, the one line is
{"failure_class", "reason", "command"}, and the exit code 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from typing import Any

_MILLI = 1e-3
_SERVICE_S = 1.0
NOT_INSTALLED = {
    "failure_class": "not_installed",
    "reason": "jetson-stats is not installed",
    "command": "sudo pip3 install -U jetson-stats && sudo systemctl restart jtop",
}


def main(argv: list[str]) -> int:
    """Prints readings until there are enough; sets first what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m edgerig_agent.probes.jtop_bridge", description=__doc__)
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="number of readings")
    parser.add_argument("--set-nvpmodel", type=int, metavar="ID", help="ask the service for this power mode")
    parser.add_argument("--set-jetson-clocks", choices=("on", "off"), help="ask the service for it")
    arguments = parser.parse_args(argv)
    try:
        jtop = importlib.import_module("jtop")
    except ImportError:
        return _fail(NOT_INSTALLED)
    try:
        with jtop.jtop(interval=_SERVICE_S) as board:
            _set(board, arguments)
            for _ in range(arguments.samples):
                if not board.ok():
                    return _fail(_service("jetson-stats ended the connection"))
                _print(_reading(board))
    # jtop raises classes of its own that derive from Exception alone, and JtopException among them.
    except Exception as error:  # noqa: BLE001
        return _fail(_service(f"{type(error).__name__}: {error}"))
    return 0


def _set(board: Any, arguments: argparse.Namespace) -> None:
    if arguments.set_nvpmodel is not None:
        board.nvpmodel = arguments.set_nvpmodel
    if arguments.set_jetson_clocks is not None:
        board.jetson_clocks = arguments.set_jetson_clocks == "on"


def _reading(board: Any) -> dict[str, Any]:
    power: dict[str, Any] = board.power
    total = power.get("tot", {}).get("power")
    return {
        "t_mono_ns": time.monotonic_ns(),
        "rails": {str(name): _rail(rail) for name, rail in power.get("rail", {}).items()},
        "total_w": None if total is None else total * _MILLI,
        "nvpmodel": _mode(board.nvpmodel),
        "jetson_clocks": None if board.jetson_clocks is None else bool(board.jetson_clocks),
    }


def _rail(rail: dict[str, Any]) -> dict[str, float | None]:
    """jtop shows millivolts, milliamperes and milliwatts; a rail may lack one."""
    names = (("power_w", "power"), ("voltage_v", "volt"), ("current_a", "curr"))
    return {ours: rail[theirs] * _MILLI if theirs in rail else None for ours, theirs in names}


def _mode(mode: Any) -> dict[str, Any] | None:
    return None if mode is None else {"id": getattr(mode, "id", None), "name": str(mode)}


def _service(reason: str) -> dict[str, str]:
    return {"failure_class": "precondition", "reason": reason, "command": "systemctl status jtop"}


def _fail(document: dict[str, str]) -> int:
    _print(document)
    return 1


def _print(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
