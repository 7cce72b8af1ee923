"""Writes a waveform into a tree of files in real time: `python -m bench.wave_writer ROOT LOG`.

The tree has what an INA3221 on hwmon and a RAPL package show. Power is written at
every edge of the wave, the energy counter once a millisecond. A line on standard
input starts the wave of that name; the end of the input ends the process. LOG takes
(monotonic ns, microwatts) as int64 pairs: what was written, and when.
"""

from __future__ import annotations

import os
import select
import struct
import sys
import time
from pathlib import Path

from bench.waves import CONSTANT, WAVES, Wave

VOLTS = 5.0
RANGE_UJ = 262_143_328_850
_TICK_S = 0.001
_PAIR = struct.Struct("<qq")


class Board:
    """The files of one board, open for writing; values have a fixed width, so a reader never sees half."""

    def __init__(self, root: Path) -> None:
        chip = root / "sys/bus/i2c/devices/1-0040"
        base = chip / "hwmon/hwmon1"
        zone = root / "sys/class/powercap/intel-rapl/intel-rapl:0"
        drivers = root / "sys/bus/i2c/drivers/ina3221"
        for folder in (base, zone, drivers):
            folder.mkdir(parents=True, exist_ok=True)
        (drivers / "1-0040").symlink_to("../../devices/1-0040")
        # As the kernel links them: both /sys/class/powercap/intel-rapl:0 and .../subsystem lead here.
        (zone.parents[1] / "intel-rapl:0").symlink_to("intel-rapl/intel-rapl:0")
        (zone.parent / "subsystem").symlink_to("..")
        texts = {
            chip / "name": "ina3221",
            base / "in1_label": "VDD_IN",
            base / "in1_input": f"{VOLTS * 1000:.0f}",
            base / "shunt1_resistor": "5000",
            zone / "name": "package-0",
            zone / "max_energy_range_uj": str(RANGE_UJ),
        }
        for path, text in texts.items():
            path.write_text(f"{text}\n")
        self._current = os.open(base / "curr1_input", os.O_RDWR | os.O_CREAT, 0o644)
        self._counter = os.open(zone / "energy_uj", os.O_RDWR | os.O_CREAT, 0o644)

    def show(self, milliamperes: int) -> None:
        os.pwrite(self._current, b"%6d\n" % milliamperes, 0)

    def count(self, energy_uj: int) -> None:
        os.pwrite(self._counter, b"%12d\n" % (energy_uj % RANGE_UJ), 0)


def main(root: Path, log: Path) -> int:
    board = Board(root)
    with log.open("wb", buffering=0) as file:
        _write(board, file.fileno())
    return 0


def _write(board: Board, log: int) -> None:
    poll = select.poll()
    poll.register(sys.stdin.fileno(), select.POLLIN)
    waves = {wave.name: wave for wave in WAVES}
    wave: Wave = CONSTANT
    began_s = last_s = time.monotonic()
    edge_s, power_w, energy_uj = 0.0, 0.0, 1e9
    while True:
        if poll.poll(0):
            name = os.read(sys.stdin.fileno(), 4096).decode().strip()
            if not name:
                return
            wave, began_s, edge_s = waves[name], time.monotonic(), 0.0
        now_s = time.monotonic()
        if now_s - began_s >= edge_s:
            milliamperes = round(wave.power_w(now_s - began_s) / VOLTS * 1000)
            board.show(milliamperes)
            written_ns = time.monotonic_ns()
            os.write(log, _PAIR.pack(written_ns, round(milliamperes * VOLTS * 1000)))
            now_s = written_ns * 1e-9
            energy_uj += power_w * (now_s - last_s) * 1e6
            last_s, power_w = now_s, milliamperes * VOLTS / 1000
            edge_s = wave.next_edge_s(now_s - began_s)
        else:
            energy_uj += power_w * (now_s - last_s) * 1e6
            last_s = now_s
        board.count(round(energy_uj))
        time.sleep(max(0.0, min(_TICK_S, began_s + edge_s - time.monotonic())))


class Truth:
    """What the writer wrote: power as a staircase over time."""

    def __init__(self, log: Path) -> None:
        pairs = list(_PAIR.iter_unpack(log.read_bytes()))
        self._times_ns = [t for t, _ in pairs]
        self._watts = [microwatts * 1e-6 for _, microwatts in pairs]

    def energy_j(self, begin_ns: int, end_ns: int) -> float:
        """Returns the energy between two instants, of which the first lies after the first write."""
        total = 0.0
        ends_ns = [*self._times_ns[1:], end_ns]
        for start_ns, stop_ns, watts in zip(self._times_ns, ends_ns, self._watts, strict=True):
            total += max(0, min(stop_ns, end_ns) - max(start_ns, begin_ns)) * 1e-9 * watts
        return total


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
