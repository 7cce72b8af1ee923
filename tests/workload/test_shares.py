"""Shares of this process's memory, against the kernel's own figures."""

import mmap
import os
from pathlib import Path

import pytest

from edgerig_workload.shares import read_major_faults, read_shares

MIB = 1024**2


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this kernel has no smaps_rollup")
def test_private_memory_counts_in_full_and_shared_memory_by_its_users() -> None:
    """A child that shares 32 MiB with its parent: each has half of it as PSS and nothing as USS."""
    before = read_shares()
    shared = mmap.mmap(-1, 32 * MIB)  # anonymous and shared, so a fork keeps it shared
    shared.write(b"x" * (32 * MIB))
    alone = read_shares()
    assert alone["uss_end_bytes"] - before["uss_end_bytes"] == pytest.approx(32 * MIB, rel=0.05)
    told, tell = os.pipe()
    done, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        touched = sum(shared[offset] for offset in range(0, 32 * MIB, mmap.PAGESIZE))
        os.write(tell, b"r" if touched else b"")
        os.read(done, 1)
        os._exit(0)
    os.read(told, 1)
    shared_by_two = read_shares()
    os.write(end, b"x")
    os.waitpid(pid, 0)
    assert alone["pss_end_bytes"] - shared_by_two["pss_end_bytes"] > 15 * MIB
    assert alone["uss_end_bytes"] - shared_by_two["uss_end_bytes"] > 31 * MIB


def test_a_kernel_without_the_file_gives_nothing(tmp_path: Path) -> None:
    assert read_shares(tmp_path) == {}


def test_the_fields_are_read_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "smaps_rollup").write_text(
        "562bc452d000-7ffe3cf20000 ---p 00000000 00:00 0   [rollup]\n"
        "Pss:                 304 kB\nPrivate_Clean:        44 kB\nPrivate_Dirty:       112 kB\n"
        "Private_Hugetlb:    2048 kB\nSwapPss:               8 kB\n"
    )
    assert read_shares(tmp_path) == {
        "pss_end_bytes": 304 * 1024,
        "uss_end_bytes": (44 + 112 + 2048) * 1024,
        "swap_pss_end_bytes": 8 * 1024,
    }


def test_a_page_that_is_in_memory_is_no_major_fault() -> None:
    before = read_major_faults()
    bytearray(MIB)
    assert read_major_faults() == before
