"""The sampler: its schedule, its lateness, and the real process over real files."""

import json
import os
import select
import signal
import subprocess
import sys
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean

import pytest

import edgerig_agent
from edgerig_agent.measure.energy import power_curve
from edgerig_agent.measure.schedule import Lateness, Schedule, Turns
from edgerig_agent.measure.sources import power_sources
from edgerig_agent.measure.trace import read_trace, read_traces
from edgerig_agent.probes import jetson
from edgerig_agent.probes.base import UNREAD, places
from tests.fakes import sysfs_tree
from tests.fakes.reports import MS

PATIENCE_S = 30.0


def start(folder: Path, root: Path | str) -> subprocess.Popen[bytes]:
    """Starts a real sampler and waits for its first samples."""
    ready_read, ready_write = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "edgerig_agent.measure.sampler"),
            *(str(folder), str(root), "10000000", "7", str(ready_write)),
        ],
        pass_fds=(ready_write,),
    )
    os.close(ready_write)
    select.select([ready_read], [], [], PATIENCE_S)
    assert os.read(ready_read, 1) == b"r"
    os.close(ready_read)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def wait_for_records(path: Path, count: int) -> None:
    """Returns once a growing trace holds so many records; watches the file, not the clock."""
    while sum(t > 0 for t in read_trace(path).times_ns) < count:
        select.select([], [], [], 0.01)


def test_each_interval_has_one_instant_inside_it() -> None:
    schedule = Schedule(1000, 100, seed=3)
    instants = [schedule.next_ns(1000 + 100 * index) for index in range(200)]
    assert all(1000 + 100 * i <= instant < 1100 + 100 * i for i, instant in enumerate(instants))


def test_instants_spread_evenly_over_the_interval() -> None:
    schedule = Schedule(0, 1000, seed=1)
    offsets = [schedule.next_ns(1000 * index) % 1000 for index in range(20_000)]
    shares = [sum(low <= offset < low + 100 for offset in offsets) / 20_000 for low in range(0, 1000, 100)]
    assert shares == pytest.approx([0.1] * 10, abs=0.012)


def test_neighbours_are_half_to_one_and_a_half_intervals_apart() -> None:
    schedule = Schedule(0, 1000, seed=2)
    instants = [schedule.next_ns(1000 * index) for index in range(5_000)]
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert (min(gaps), max(gaps)) == (pytest.approx(500, abs=5), pytest.approx(1500, abs=5))


def test_the_same_seed_gives_the_same_instants() -> None:
    one, two = Schedule(0, 1000, seed=5), Schedule(0, 1000, seed=5)
    assert [one.next_ns(0) for _ in range(5)] == [two.next_ns(0) for _ in range(5)]


def test_intervals_that_are_over_are_skipped() -> None:
    schedule = Schedule(0, 100, seed=1)
    schedule.next_ns(0)
    assert 900 <= schedule.next_ns(950) < 1000
    assert schedule.index == 9


def taken(turns: Turns, count: int) -> list[int]:
    """Returns the intervals in which turns are taken, of `count`."""
    found = []
    for index in range(count):
        if index >= turns.due:
            found.append(index)
            turns.take(index)
    return found


@pytest.mark.parametrize("every", [2, 4, 50])
def test_a_stream_that_is_read_seldom_is_read_anywhere_in_its_time(every: int) -> None:
    found = taken(Turns(every, seed=3), 20_000 * every)
    assert [index // every for index in found] == list(range(20_000))
    shares = [sum(index % every == place for index in found) / 20_000 for place in range(every)]
    assert shares == pytest.approx([1 / every] * every, abs=0.02)


def test_a_ripple_that_beats_with_a_slow_sensor_averages_out() -> None:
    """25 Hz between 15 and 23 W, read every 40 ms: 17 % off where each reading is in the first 10 ms."""
    errors = []
    for seed in range(10):
        schedule = Schedule(0, 10 * MS, seed)
        instants = [schedule.next_ns(index * 10 * MS) for index in range(6000)]
        times = [instants[index] for index in taken(Turns(4, seed), 6000)]
        curve = power_curve(times, [23.0 if t_ns % (40 * MS) < 20 * MS else 15.0 for t_ns in times])
        whole = curve.integrate([(times[0], times[-1])])
        errors.append(whole.energy_j / whole.covered_s / 19.0 - 1.0)
    assert sqrt(fmean(error**2 for error in errors)) < 0.015


def test_lateness_is_known_to_a_tenth_of_a_millisecond() -> None:
    lateness = Lateness()
    lateness.add([50_000] * 60)
    lateness.add([50_000] * 38 + [3_000_000, 3_010_000])
    assert lateness.percentile_ns(0.50) == 100_000
    assert lateness.percentile_ns(0.99) == 3_100_000
    assert (lateness.tick_count, lateness.max_ns) == (100, 3_010_000)


def test_lateness_beyond_the_scale_is_kept_at_its_end() -> None:
    lateness = Lateness()
    lateness.add([10**12])
    assert lateness.percentile_ns(0.99) >= 100_000_000


def test_a_real_sampler_writes_a_trace_for_each_family(tmp_path: Path) -> None:
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1200)])
    sysfs_tree.rapl_zone(root, "intel-rapl:0", "package-0", 500)
    sysfs_tree.thermal_zone(root, 0, "CPU-therm", 40_000)
    folder = tmp_path / "attempt"
    folder.mkdir()
    process = start(folder, root)
    wait_for_records(folder / "trace/ina3221.trace", 20)
    stop(process)
    traces = {trace.name: trace for trace in read_traces(folder)}
    assert {"ina3221", "rapl", "memory", "paging", "thermal"} <= set(traces)
    ina = traces["ina3221"]
    assert set(ina.columns[0]) == {1200} and set(ina.columns[1]) == {5000}
    assert list(ina.times_ns) == sorted(set(ina.times_ns))
    summary = json.loads((folder / "sampler.json").read_text())
    assert summary["tick_count"] >= 19
    assert "rapl:package-0" in {channel["source"] for channel in summary["channels"]}


def test_slower_probes_are_read_in_fewer_intervals(tmp_path: Path) -> None:
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1200)])
    folder = tmp_path / "attempt"
    folder.mkdir()
    process = start(folder, root)
    wait_for_records(folder / "trace/ina3221.trace", 30)
    stop(process)
    counts = {trace.name: len(trace.times_ns) for trace in read_traces(folder)}
    assert counts["ina3221"] > 1.3 * counts["memory"] > 1.3 * counts["paging"]


def test_a_killed_sampler_leaves_a_trace_that_can_be_read(tmp_path: Path) -> None:
    process = start(tmp_path, "/")
    wait_for_records(tmp_path / "trace/memory.trace", 3)
    process.kill()
    process.wait(PATIENCE_S)
    assert len(read_trace(tmp_path / "trace/memory.trace").times_ns) >= 3


def test_the_sampler_ends_when_its_parent_dies(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        "r, w = os.pipe()\n"
        "p = subprocess.Popen([sys.executable, '-m', 'edgerig_agent.measure.sampler', sys.argv[1], '/',"
        " '10000000', '1', str(w)], pass_fds=(w, 1))\n"
        "os.close(w); os.read(r, 1)\n"
        "print(p.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    # The sampler inherits standard output: it is at its end when the sampler is gone too.
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=PATIENCE_S, check=True
    )
    assert not Path(f"/proc/{int(ended.stdout)}/trace").exists()
    assert json.loads((tmp_path / "sampler.json").read_text())["tick_count"] >= 0


def test_only_the_standard_library_is_loaded_and_no_heavy_part_of_it() -> None:
    script = (
        "import json, sys, edgerig_agent.measure.sampler\n"
        "ours = [name for name in sys.modules if name.partition('.')[0] not in sys.stdlib_module_names]\n"
        "print(json.dumps([ours, [n for n in ('pathlib', 'random', 'dataclasses') if n in sys.modules]]))"
    )
    agent = Path(edgerig_agent.__file__).parents[1]
    # Without `site`, so that nothing but the sampler itself decides what is loaded.
    ended = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        check=True,
        env={"PYTHONPATH": str(agent)},
    )
    ours, heavy = json.loads(ended.stdout)
    assert heavy == []
    assert {name.partition(".")[0] for name in ours} <= {"edgerig_agent", "__main__"}


def test_a_voltage_that_was_refused_is_asked_for_again_in_the_next_reading(tmp_path: Path) -> None:
    base = sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 1200)])
    (probe,) = jetson.discover(places(str(tmp_path)))
    probe.open()
    assert isinstance(probe, jetson.Ina3221)
    probe.read_texts()
    waits = [probe.whole_in()]
    (base / "in1_input").write_text("busy\n")
    refused = list(probe.numbers(probe.read_texts()))
    waits.append(probe.whole_in())
    (base / "in1_input").write_text("4900\n")
    back = list(probe.numbers(probe.read_texts()))
    waits.append(probe.whole_in())
    probe.close()
    assert (refused, back) == ([1200, UNREAD], [1200, 4900])
    assert waits == [jetson.VOLTAGE_EVERY, 1, jetson.VOLTAGE_EVERY]


def test_numbers_are_made_of_texts_in_the_order_of_their_reading(tmp_path: Path) -> None:
    """A reading of the currents alone leaves the voltage of the last whole one."""
    base = sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 1200)])
    (probe,) = jetson.discover(places(str(tmp_path)))
    probe.open()
    assert isinstance(probe, jetson.Ina3221)
    readings = [probe.read_texts()]
    (base / "curr1_input").write_text("1300\n")
    readings.append([os.pread(fd, probe.text_bytes, 0) for fd in probe.fds])
    (base / "in1_input").write_text("4900\n")
    readings.append(probe.read_texts())
    found = [list(probe.numbers(texts)) for texts in readings]
    probe.close()
    assert found == [[1200, 5000], [1300, 5000], [1300, 4900]]


def test_a_sampler_that_is_told_to_stop_writes_what_it_has_read(tmp_path: Path) -> None:
    """The ticks since the last writing and the reading after them are in the trace."""
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1200)])
    folder = tmp_path / "attempt"
    folder.mkdir()
    process = start(folder, root)
    wait_for_records(folder / "trace/ina3221.trace", 17)
    stop(process)
    summary = json.loads((folder / "sampler.json").read_text())
    (ina,) = [trace for trace in read_traces(folder) if trace.name == "ina3221"]
    # One reading before the first tick and one after the last.
    assert len(ina.times_ns) == summary["tick_count"] - summary["missed_count"] + 2


def test_a_sampler_that_was_held_up_leaves_a_gap_that_counts_for_nothing(tmp_path: Path) -> None:
    """Stopped for 0.4 s: the gap is in the trace, in the lateness, and in no joule."""
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1200)])
    folder = tmp_path / "attempt"
    folder.mkdir()
    process = start(folder, root)
    path = folder / "trace/ina3221.trace"
    wait_for_records(path, 10)
    process.send_signal(signal.SIGSTOP)
    select.select([], [], [], 0.4)
    process.send_signal(signal.SIGCONT)
    wait_for_records(path, len(read_trace(path).times_ns) + 17)
    stop(process)
    trace = read_trace(path)
    gap_s = max(later - earlier for earlier, later in pairwise(trace.times_ns)) * 1e-9
    (source,) = [one for one in power_sources([trace]) if one.is_total]
    whole = source.integrate([(trace.times_ns[0], trace.times_ns[-1])])
    assert gap_s >= 0.39
    assert whole.duration_s - whole.covered_s >= gap_s - 1e-6
    assert whole.energy_j == pytest.approx(6.0 * whole.covered_s, rel=1e-6)
    # It was asleep when it was stopped, so that one tick began late by most of the time.
    summary = json.loads((folder / "sampler.json").read_text())
    assert summary["late_max_ns"] >= 300_000_000
    # The instants that passed meanwhile were late too, and are not forgotten.
    assert summary["missed_count"] >= 30
    assert summary["late_p99_ns"] >= 10_000_000
