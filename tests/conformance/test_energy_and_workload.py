"""Waves of known energy for a meter, and a workload whose latency and memory are known."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgerig.v1.attempt_pb2 import PHASE_INFERENCE, Request
from edgerig_agent.measure.latency import request_figures
from tests.conformance.energy import check_energy, own_meter
from tests.fakes.reports import find

MS = 1_000_000
# Says that so many joules were measured in a window of its own.
_CLAIM = """
import json, sys, time
begin = time.monotonic_ns()
time.sleep(float(sys.argv[-1]))
end = time.monotonic_ns()
energy = {{"claimed": 12.0 * (end - begin) * 1e-9 * {factor}}}
print(json.dumps({{"windows": [{{"begin_mono_ns": begin, "end_mono_ns": end, "energy_j": energy}}]}}))
"""


@pytest.mark.system
def test_the_agents_sampler_conforms_on_a_constant_load() -> None:
    """With a wide limit: on a busy machine the writer of the counter itself comes late by tens of ms."""
    assert check_energy("constant", 0.5, 20.0, own_meter()).wrong == ()


@pytest.mark.parametrize(("factor", "is_wrong"), [(1.0, False), (1.05, True), (0.95, True)])
def test_an_energy_is_judged_by_what_was_written_in_its_own_window(factor: float, is_wrong: bool) -> None:
    command = [sys.executable, "-c", _CLAIM.format(factor=factor)]
    wrong = check_energy("constant", 0.1, 1.0, command).wrong
    assert bool(wrong) == is_wrong
    assert all(line.startswith("claimed: ") for line in wrong)


def test_a_meter_that_prints_no_document_is_wrong_and_quoted() -> None:
    (line,) = check_energy("constant", 0.1, 1.0, [sys.executable, "-c", "raise SystemExit('no meter')"]).wrong
    assert "no meter" in line


def test_a_scripted_workload_leaves_what_it_did(tmp_path: Path) -> None:
    size = 40_000_000
    script: dict[str, list[dict[str, Any]]] = {
        "phases": [{"name": "load", "bytes": size, "hold_s": 0.01}, {"name": "small", "bytes": 4096}],
        "requests": [{"ttft_s": 0.03, "gaps_s": [0.01, 0.02]}, {"ttft_s": 0.0, "gaps_s": [0.01] * 3}],
    }
    (tmp_path / "script.json").write_text(json.dumps(script))
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.conformance.workload",
            tmp_path / "script.json",
            tmp_path / "truth.json",
        ],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.splitlines()
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert said[:2] == ["begin load", "end load"] and said[-1] == "token 1 3"
    load, small = truth["phases"]
    # Pages of the interpreter come on top of both; the block is in one of them alone.
    assert load["rss_peak_bytes"] - small["rss_peak_bytes"] == pytest.approx(size, abs=1_000_000)
    # No token is early, and the figures that are reduced from the stamps are those of the script or later.
    requests = [Request(index=i, batch=1, tokens_out=4, **one) for i, one in enumerate(truth["requests"])]
    for played, asked in zip(requests, script["requests"], strict=True):
        due_ns = played.accept_mono_ns
        gaps_s = [asked["ttft_s"], *asked["gaps_s"]]
        for at_ns, gap_s in zip(played.token_mono_ns, gaps_s, strict=True):
            due_ns += round(gap_s * 1e9)
            assert at_ns >= due_ns
    ttft = find(request_figures(requests), "ttft_s", "mean", PHASE_INFERENCE)
    assert ttft.value >= 0.015
