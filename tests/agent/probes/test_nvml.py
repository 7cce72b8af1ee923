"""NVML through the real binding and a library of our own in the driver's place.

The stub answers like a discrete GPU or like a Jetson, whose NVML starts and then
supports nothing. It runs in a process of its own: the binding loads a library once.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig_agent.probes.base import places
from edgerig_agent.probes.nvml import discover

STUB = r"""
#include <stdlib.h>
typedef struct { int unused; } *device;
static unsigned long long energy_mj = 1000;
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, device *d) { *d = 0; return 0; }
static int supported(void) { return getenv("STUB_TEGRA") ? 3 : 0; }
int nvmlDeviceGetPowerUsage(device d, unsigned *mw) { *mw = 21500; return supported(); }
int nvmlDeviceGetTotalEnergyConsumption(device d, unsigned long long *mj)
{ energy_mj += 500; *mj = energy_mj; return supported(); }
"""

SCRIPT = """
import json
from edgerig_agent.probes.base import places
from edgerig_agent.probes.nvml import discover
(probe,) = discover(places("/nowhere"))
opened = probe.open()
print(json.dumps({
    "described": [channel._asdict() for channel in probe.describe()],
    "opened": [channel.source for channel in opened],
    "values": [probe.read_all(), probe.read_all()],
}))
"""


def run_with_stub(folder: Path, **environment: str) -> dict[str, list[dict[str, object]]]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stub library")
    source = folder / "stub.c"
    source.write_text(STUB)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), **environment},
        capture_output=True,
        check=True,
    )
    document: dict[str, list[dict[str, object]]] = json.loads(ended.stdout)
    return document


def test_a_gpu_gives_its_energy_counter_and_its_power(tmp_path: Path) -> None:
    seen = run_with_stub(tmp_path)
    assert seen["opened"] == ["nvml:0:energy", "nvml:0:power"]
    assert [channel["boundary"] for channel in seen["described"]] == ["gpu_board", "gpu_board"]
    first, second = seen["values"]
    assert second[0] - first[0] == 500  # type: ignore[operator]
    assert first[1] == 21500


def test_a_board_whose_nvml_supports_no_query_is_described_and_not_read(tmp_path: Path) -> None:
    seen = run_with_stub(tmp_path, STUB_TEGRA="1")
    assert seen["opened"] == []
    assert all("Not Supported" in str(channel["unavailable_reason"]) for channel in seen["described"])


def test_without_a_driver_nothing_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr("edgerig_agent.probes.nvml._LIBRARY_FOLDERS", ())
    (tmp_path / "sys").mkdir()
    assert discover(places(str(tmp_path))) == []
