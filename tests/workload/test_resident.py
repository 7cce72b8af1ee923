"""What the kernel's mark of the largest resident set lacks, on a kernel whose counts a test moves."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from edgerig_workload.phases import ProcResidentSet
from edgerig_workload.resident import Lag, batch_pages

PAGE = mmap.PAGESIZE
BATCH = 8


class Kernel:
    """Adds touched pages to the mark in batches; every look at the mark follows one touched page."""

    def __init__(self, proc: Path, *, held_back: int = 0, moves: bool = True) -> None:
        (proc / "task/1").mkdir(parents=True)
        self._proc = proc
        self._touched = 0
        self._held_back = held_back
        self._moves = moves

    def reset(self) -> None:
        self._touched = 0

    def marked_bytes(self) -> int:
        batches = self._touched // BATCH if self._moves else 0
        resident_kib = (1000 * PAGE + self._held_back + batches * BATCH * PAGE) // 1024
        (self._proc / "smaps_rollup").write_text(f"1-2 ---p 0 0:0 0 [rollup]\nRss: {resident_kib} kB\n")
        self._touched += 1
        return 1000 * PAGE + batches * BATCH * PAGE


@pytest.fixture
def one_processor() -> object:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield None
    os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("one_processor")
def test_a_later_mark_lacks_what_is_held_back_and_half_a_batch(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, held_back=3 * PAGE)
    lag = Lag(tmp_path, marked_bytes=kernel.marked_bytes, pages=BATCH)
    assert lag.align(kernel.reset) == 3 * PAGE + BATCH * PAGE // 2


@pytest.mark.usefixtures("one_processor")
def test_where_the_mark_does_not_move_nothing_is_added(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, moves=False)
    assert Lag(tmp_path, marked_bytes=kernel.marked_bytes, pages=BATCH).align(kernel.reset) == 0


def test_a_lag_that_no_batch_explains_is_not_believed(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, held_back=100_000 * PAGE)
    assert Lag(tmp_path, marked_bytes=kernel.marked_bytes, pages=BATCH).align(kernel.reset) == 0


def test_the_processors_of_the_process_are_as_before(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    kernel = Kernel(tmp_path)
    Lag(tmp_path, marked_bytes=kernel.marked_bytes, pages=BATCH).align(kernel.reset)
    assert os.sched_getaffinity(0) == allowed


def test_a_processor_that_has_gone_costs_the_correction_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_pid: int, _cpus: object) -> None:
        raise OSError(22, "Invalid argument")

    kernel = Kernel(tmp_path)
    monkeypatch.setattr(os, "sched_setaffinity", gone)
    assert Lag(tmp_path, marked_bytes=kernel.marked_bytes, pages=BATCH).align(kernel.reset) == 0


@pytest.mark.parametrize(
    ("release", "cpus", "pages"),
    [("5.15.148-tegra", 12, 64), ("6.1.0", 4, 64), ("6.8.12-tegra", 14, 32), ("6.18.44", 64, 128)],
)
def test_the_batch_is_that_of_the_kernel(release: str, cpus: int, pages: int) -> None:
    assert batch_pages(release, cpus) == pages


def status(proc: Path, *, mark_kib: int, now_kib: int) -> ProcResidentSet:
    (proc / "clear_refs").write_text("")
    (proc / "status").write_text(f"VmHWM:\t{mark_kib} kB\nVmRSS:\t{now_kib} kB\n")
    resident = ProcResidentSet(proc)
    resident._lag_bytes = 4096
    return resident


def test_a_peak_that_is_over_gets_what_its_mark_lacks(tmp_path: Path) -> None:
    assert status(tmp_path, mark_kib=900, now_kib=500).peak_bytes() == 900 * 1024 + 4096


def test_a_peak_that_is_now_is_exact_as_it_stands(tmp_path: Path) -> None:
    assert status(tmp_path, mark_kib=900, now_kib=900).peak_bytes() == 900 * 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this kernel has no smaps_rollup")
def test_on_this_kernel_a_transient_is_found_again(tmp_path: Path) -> None:
    """Within the batches of all processors; how near it comes is measured by bench.ram_error."""
    resident = ProcResidentSet()
    if resident.method != "vmhwm_reset":
        pytest.skip("this kernel does not reset the mark")
    resident.align()
    resident.reset()
    before = resident.peak_bytes()
    block = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, 64 << 20, PAGE):
        block[offset] = 1
    block.close()
    after = resident.peak_bytes()
    assert before is not None and after is not None
    slack = 2 * batch_pages(os.uname().release, os.cpu_count() or 1) * PAGE * (os.cpu_count() or 1)
    assert abs(after - before - (64 << 20)) < slack
