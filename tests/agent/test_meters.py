"""Real attempts beside which a meter is read, over real sockets, by a process of its own."""

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.errors import UsageError
from edgerig.v1.attempt_pb2 import (
    BOUNDARY_ESTIMATE,
    BOUNDARY_MODULE_IN,
    BOUNDARY_WALL_AC,
    PHASE_INFERENCE,
    AttemptResult,
    Measurement,
    Status,
)
from edgerig.words import word
from edgerig_agent.attempt import run_attempt
from edgerig_agent.measure.trace import read_traces
from edgerig_agent.probes.base import LAST_UNREAD
from edgerig_agent.recorders import configured_meters, start_recorders, stop_recorders
from tests.fakes import meters, sysfs_tree
from tests.fakes.worker_program import attempt_folder, make

# Works until the meter has answered `enough` requests, so that no test waits for a clock.
WORKER = """
from pathlib import Path
log = Path({log!r})
def answered():
    return len(log.read_text().splitlines())
with phase("inference"):
    begin, first, tokens = now(), answered(), []
    for part in (1, 2):
        while answered() < first + part * {enough} // 2:
            time.sleep(0.005)
        tokens.append(now())
for index in range(6):
    emit("request", index=index, accept_mono_ns=begin, model_mono_ns=begin, token_mono_ns=tokens,
         tokens_in=8, tokens_out=2, batch=1)
emit("done", t_mono_ns=now())
"""


class Log(list[str]):
    """Requests that a meter got, in a file that a worker can see."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        path.write_text("")

    def append(self, request: str) -> None:
        super().append(request)
        with self.path.open("a") as file:
            file.write(f"{request}\n")


def wait_until(is_so: Callable[[], bool]) -> None:
    """Returns once it is so; the time limit is that of the whole test."""
    deadline = time.monotonic() + 60.0
    while not is_so():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.005)


def run(tmp_path: Path, *addresses: str, enough: int = 30) -> AttemptResult:
    root = tmp_path / "root"
    (root / "sys").mkdir(parents=True, exist_ok=True)
    folder = attempt_folder(tmp_path, sysfs_root=str(root))
    settings = json.loads((folder / "attempt.json").read_text())
    (folder / "attempt.json").write_text(json.dumps({**settings, "meters": addresses}))
    body = WORKER.format(log=str(tmp_path / "requests.log"), enough=enough)
    run_attempt(folder, worker_python=make(tmp_path / "worker", body))
    return from_json((folder / "result.json").read_bytes(), AttemptResult(), what="result.json")


def energies(result: AttemptResult, boundary: int) -> list[Measurement]:
    return [
        m
        for m in result.measurements
        if m.name == "energy_j" and m.boundary == boundary and m.phase == PHASE_INFERENCE
    ]


@pytest.mark.system
def test_a_plug_gives_energy_at_the_wall(tmp_path: Path) -> None:
    with meters.shelly(40.0) as plug:
        plug.requests = Log(tmp_path / "requests.log")
        result = run(tmp_path, f"shelly://127.0.0.1:{plug.port}?interval_s=0.02")
    (energy, *_) = [m for m in energies(result, BOUNDARY_WALL_AC) if m.source.endswith(":power")]
    duration = next(m for m in result.measurements if m.name == "duration_s" and m.phase == PHASE_INFERENCE)
    assert energy.value == pytest.approx(40.0 * duration.value * energy.coverage, rel=1e-3)
    summary = json.loads((tmp_path / "attempt-1/meter-shelly-127.0.0.1.json").read_text())
    assert summary["identity"].startswith("SNPL-00112EU") and summary["failure_count"] == 0


@pytest.mark.system
def test_a_meter_that_dies_in_the_middle_costs_its_own_figure_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 2000)])
    with meters.scpi(12.0) as instrument:
        instrument.requests = Log(tmp_path / "requests.log")
        log = instrument.requests
        append = log.append

        def append_and_fail(request: str) -> None:
            append(request)
            if len(log) == 12:
                instrument.misbehave(meters.GARBLED)

        log.append = append_and_fail  # type: ignore[method-assign]
        address = f"scpi://127.0.0.1:{instrument.port}?boundary=wall_ac&interval_s=0.02"
        result = run(tmp_path, address, enough=14)
    assert word(Status, result.status) == "ok"
    (trace,) = [t for t in read_traces(tmp_path / "attempt-1") if t.name.startswith("meter-")]
    column = trace.columns[0]
    assert column[0] > LAST_UNREAD >= column[-1]
    module = next(m for m in result.measurements if m.name == "energy_j" and m.source.startswith("ina3221"))
    assert module.value > 0 and module.coverage > 0.98
    assert all(m.coverage < 0.98 for m in energies(result, BOUNDARY_WALL_AC) if m.HasField("value"))
    # The device has a total of its own, so the meter's gap is none of the run's. On a busy
    # machine the sampler itself may come late, and then the run has a gap of its own.
    own = [m for m in result.measurements if m.name == "energy_j" and m.boundary == BOUNDARY_MODULE_IN]
    assert "sensor_unreadable" not in result.flags
    assert "low_coverage" not in result.flags or any(m.coverage < 0.98 for m in own)


@pytest.mark.system
def test_a_meter_that_never_answers_stops_no_attempt(tmp_path: Path) -> None:
    (tmp_path / "requests.log").write_text("")
    result = run(tmp_path, "scpi://127.0.0.1:1?boundary=dc_in", "estimate://cpu?idle_w=2&full_w=9", enough=0)
    assert word(Status, result.status) == "ok"
    summary = json.loads((tmp_path / "attempt-1/meter-scpi-127.0.0.1.json").read_text())
    assert "refused" in summary["last_error"]


@pytest.mark.system
def test_an_estimate_is_there_only_on_request_and_under_its_own_boundary(tmp_path: Path) -> None:
    (tmp_path / "requests.log").write_text("")
    result = run(tmp_path, enough=0)
    assert energies(result, BOUNDARY_ESTIMATE) == []
    traces = read_traces(tmp_path / "attempt-1")
    assert not any(trace.name.startswith("meter-") for trace in traces)


@pytest.mark.system
def test_an_address_that_cannot_be_understood_is_a_precondition_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "requests.log").write_text("")
    result = run(tmp_path, "shelly://h?boundary=moon", enough=0)
    assert "boundary=..." in result.failure_message


@pytest.mark.system
def test_a_recorder_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    program = (
        "import sys, os; from pathlib import Path; from edgerig_agent.recorders import start_recorders\n"
        "meter = 'estimate://cpu?idle_w=1&full_w=2&interval_s=0.01'\n"
        "start_recorders(Path(sys.argv[1]), [meter], '/', 1)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    # The last thing that it writes.
    wait_until((tmp_path / "meter-estimate-cpu.json").exists)


def test_a_recorder_that_is_told_to_stop_in_a_request_that_never_ends_still_ends(tmp_path: Path) -> None:
    with meters.tasmota(5.0) as plug:
        address = f"tasmota://127.0.0.1:{plug.port}?interval_s=0.01"
        recorders = start_recorders(tmp_path, [address], "/", 1)
        plug.misbehave(meters.DRIPPING)
        seen = len(plug.requests)
        wait_until(lambda: len(plug.requests) > seen)
        stop_recorders(recorders)
    assert [recorder.returncode for recorder in recorders] == [0]
    summary = json.loads((tmp_path / "meter-tasmota-127.0.0.1.json").read_text())
    assert "no answer within" in summary["last_error"]


def test_addresses_in_the_settings_of_a_home_are_read(tmp_path: Path) -> None:
    assert configured_meters(tmp_path) == ()
    (tmp_path / "agent.json").write_text('{"meters": ["shelly://h"]}')
    assert configured_meters(tmp_path) == ("shelly://h",)
    (tmp_path / "agent.json").write_text('{"meters": "shelly://h"}')
    with pytest.raises(UsageError, match="no list"):
        configured_meters(tmp_path)


def test_the_daemon_refuses_a_home_whose_meters_cannot_be_understood(tmp_path: Path) -> None:
    from edgerig_agent.daemon import read_settings

    (tmp_path / "agent.json").write_text('{"meters": ["shelly://h"]}')
    assert read_settings(tmp_path).meters == ["shelly://h"]
    (tmp_path / "agent.json").write_text('{"meters": ["shelly://h", "scpi://h"]}')
    with pytest.raises(UsageError, match="boundary="):
        read_settings(tmp_path)
