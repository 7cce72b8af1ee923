"""What of this process's memory is its own, and how often it waited for the disk to get it.

`smaps_rollup` walks all pages and holds the lock of the address space for 2 to 28 ms
a gigabyte or so: it is read between phases and never inside one. Knows nothing of phases.
"""

from __future__ import annotations

import resource
from pathlib import Path

_KIB = 1024
_USS = ("Private_Clean", "Private_Dirty", "Private_Hugetlb")


def read_shares(proc: Path = Path("/proc/self")) -> dict[str, int]:
    """Return pss_end_bytes, uss_end_bytes and swap_pss_end_bytes; empty where the kernel has no smaps_rollup.

    PSS divides a shared page by the number of its users, USS counts private pages
    only, SwapPss is the proportional share of what lies in swap (proc_pid_smaps(5)).
    """
    try:
        lines = (proc / "smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    kib = {name: int(words[0]) for name, words in _fields(lines) if words and words[0].isdigit()}
    if "Pss" not in kib:
        return {}
    return {
        "pss_end_bytes": kib["Pss"] * _KIB,
        "uss_end_bytes": sum(kib.get(name, 0) for name in _USS) * _KIB,
        "swap_pss_end_bytes": kib.get("SwapPss", 0) * _KIB,
    }


def read_major_faults() -> int:
    """Return how many page faults of this process, all threads, had to wait for a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def _fields(lines: list[str]) -> list[tuple[str, list[str]]]:
    # The first line is the range of addresses.
    parts = [line.partition(":") for line in lines[1:]]
    return [(name, rest.split()) for name, _, rest in parts]
