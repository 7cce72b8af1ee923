"""What the kernel's mark of the largest resident set lacks."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from edgerig_workload.phases import ProcResidentSet
from edgerig_workload.resident import batch_bytes, lacking_bytes

PAGE = mmap.PAGESIZE


def test_a_mark_lacks_what_is_held_back_and_half_a_batch() -> None:
    assert lacking_bytes(1010 * PAGE, 1000 * PAGE, cpu_count=2) == 10 * PAGE + 16 * PAGE


@pytest.mark.parametrize("present_pages", [1000, 990, 1065])
def test_where_counts_explain_no_difference_nothing_is_added(present_pages: int) -> None:
    """No exact sum; a mark that an exec handed on; more than two processors can hold back."""
    assert lacking_bytes(present_pages * PAGE, 1000 * PAGE, cpu_count=2) == 0


def test_a_machine_of_many_processors_has_larger_batches() -> None:
    assert (batch_bytes(12), batch_bytes(64)) == (32 * PAGE, 128 * PAGE)


def peak(proc: Path, *, mark_kib: int, now_kib: int, after_reset_kib: int) -> int | None:
    (proc / "clear_refs").write_text("")
    (proc / "status").write_text(f"VmHWM:\t{mark_kib} kB\nVmRSS:\t{now_kib} kB\n")
    return ProcResidentSet(proc, marked=lambda: after_reset_kib * 1024).peak_bytes()


def test_a_peak_that_is_over_gets_what_its_mark_lacks(tmp_path: Path) -> None:
    found = peak(tmp_path, mark_kib=900, now_kib=500, after_reset_kib=480)
    assert found == 900 * 1024 + lacking_bytes(500 * 1024, 480 * 1024)
    assert found > 920 * 1024
    # The mark was set to the present, as for a phase.
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_a_peak_that_is_now_is_exact_as_it_stands(tmp_path: Path) -> None:
    assert peak(tmp_path, mark_kib=900, now_kib=900, after_reset_kib=880) == 900 * 1024


def test_a_kernel_that_resets_no_mark_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmHWM:\t900 kB\nVmRSS:\t500 kB\n")
    (tmp_path / "clear_refs").mkdir()  # cannot be written to
    resident = ProcResidentSet(tmp_path, marked=lambda: 480 * 1024)
    assert resident.method == "vmhwm_since_start"
    assert resident.peak_bytes() == 900 * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this kernel resets no mark")
def test_on_this_kernel_a_transient_is_found_again() -> None:
    """Within the batches of all processors; how near it comes is measured by bench.ram_error."""
    resident = ProcResidentSet()
    if resident.method != "vmhwm_reset":
        pytest.skip("this kernel does not reset the mark")
    resident.reset()
    before = resident.peak_bytes()
    block = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, 64 << 20, PAGE):
        block[offset] = 1
    block.close()
    after = resident.peak_bytes()
    assert before is not None and after is not None
    count = os.cpu_count() or 1
    assert abs(after - before - (64 << 20)) < 2 * count * batch_bytes(count)
