"""Counters of the kernel, on trees of files and on this machine."""

import os
import threading
import time
from pathlib import Path

import pytest

from edgerig_agent import accounting


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree in the place of /sys/fs/cgroup; which groups are ours is set by `join`."""
    monkeypatch.setattr(accounting, "_CGROUP", tmp_path)
    return tmp_path


def join(monkeypatch: pytest.MonkeyPatch, *groups: tuple[str, str]) -> None:
    monkeypatch.setattr(accounting, "_own_cgroups", lambda: list(groups))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_kills_of_a_v2_group_are_read(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(cgroup / "user/memory.events", "low 0\noom 3\noom_kill 2\n")
    join(monkeypatch, ("", "user"))
    assert accounting.kernel_counters().cgroup_oom_kill_count == 2


def test_kills_of_a_v1_group_are_read(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(cgroup / "memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    join(monkeypatch, ("cpu", "other"), ("memory", "job"))
    assert accounting.kernel_counters().cgroup_oom_kill_count == 4


def test_in_a_container_the_root_of_the_mount_is_ours(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(cgroup / "memory.events", "oom_kill 1\n")
    join(monkeypatch, ("", "docker/0123"))
    assert accounting.kernel_counters().cgroup_oom_kill_count == 1


def test_without_a_counter_nothing_ever_moves(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    join(monkeypatch, ("", "x"))
    assert accounting.kernel_counters().cgroup_oom_kill_count == 0


@pytest.mark.parametrize(
    ("quota", "count"), [("100000 100000", 1), ("max 100000", None), ("20000 100000", 1)]
)
def test_a_quota_limits_the_processors(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, quota: str, count: int | None
) -> None:
    write(cgroup / "box/cpu.max", quota)
    join(monkeypatch, ("", "box"))
    assert accounting.usable_cpu_count() == (count or len(os.sched_getaffinity(0)))


def test_a_v1_quota_limits_the_processors(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(cgroup / "cpu/box/cpu.cfs_quota_us", "100000\n")
    write(cgroup / "cpu/box/cpu.cfs_period_us", "100000\n")
    join(monkeypatch, ("cpu", "box"))
    assert accounting.usable_cpu_count() == 1


def test_processor_time_grows_with_work() -> None:
    before_s = accounting.cpu_time_s([os.getpid()])
    begin = time.process_time()
    while time.process_time() - begin < 0.05:
        pass
    assert accounting.cpu_time_s([os.getpid()]) - before_s > 0.02


def test_processor_time_counts_every_thread() -> None:
    stop = threading.Event()
    worker = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    before_s = accounting.cpu_time_s([os.getpid()])
    worker.start()
    begin = time.process_time()
    while time.process_time() - begin < 0.05:
        stop.wait(0.01)
    grown_s = accounting.cpu_time_s([os.getpid()]) - before_s
    stop.set()
    worker.join()
    assert grown_s > 0.02


def test_a_process_that_is_gone_used_nothing() -> None:
    assert accounting.cpu_time_s([2**22 + 1]) == 0.0
