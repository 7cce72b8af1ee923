"""The comparison of step times: its arithmetic, the working process, a peer that cannot run."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench import overhead_peer, overhead_work
from bench.overhead_peer import NAME, Side, peer_figures
from bench.ratios import Arm
from bench.report import CouldNotRunError


def test_an_arm_gives_the_geometric_mean_and_its_t_interval() -> None:
    arm = Arm([math.log(1.0), math.log(4.0)])
    ratio, low, high = arm.interval()
    # Student's t with one degree of freedom at 97.5 %, and the standard error of two values.
    reach = 12.7062 * (math.log(4.0) / math.sqrt(2)) / math.sqrt(2)
    assert (ratio, low, high) == pytest.approx((2.0, 2.0 * math.exp(-reach), 2.0 * math.exp(reach)), rel=1e-4)


def test_the_working_process_times_what_it_is_asked_for_until_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = {"one": 0, "other": 0}

    def count(name: str) -> overhead_work.Kernel:
        def kernel() -> None:
            calls[name] += 1

        return kernel

    monkeypatch.setattr(overhead_work, "kernels", lambda: {name: count(name) for name in calls})
    answers = io.StringIO()
    asked = io.StringIO("one 3\nother 5\nend\none 100\n")
    overhead_work.serve(asked, answers, overhead_work.step_times_s, until="end")
    ready, *timed = map(json.loads, answers.getvalue().splitlines())
    assert ready["ready"] and calls == {"one": 3, "other": 5}
    assert all(min(found["median_s"], found["mean_s"]) >= 0 for found in timed) and len(timed) == 2


def test_a_peer_that_does_not_install_is_unavailable_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_cache: Path) -> Path:
        raise CouldNotRunError("no such distribution")

    monkeypatch.setattr(overhead_peer, "environment", refuse)
    (figure,) = peer_figures(2, 1, None)
    assert (figure.name, figure.value, figure.holds) == (NAME, None, None)
    assert "no such distribution" in figure.unit


def test_the_processes_of_a_side_are_all_below_its_top(tmp_path: Path) -> None:
    child = "import subprocess as s, sys; p = s.Popen(['cat'], stdin=s.PIPE); print(p.pid, flush=True)"
    top = subprocess.Popen(
        [sys.executable, "-c", f"{child}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert top.stdin is not None and top.stdout is not None
    try:
        below = int(top.stdout.readline())
        side = Side("x", top, sys.stderr, sys.stderr, tmp_path)
        assert side.pids() == [top.pid, below]
    finally:
        top.stdin.close()
        top.stdout.close()
        top.wait()
