"""What the kernel counts besides the sensors: processor time, out-of-memory kills, swap.

Counters are read before and after a window; the differences are evidence.
Knows nothing of why a worker ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import cpu_count, sched_getaffinity, sysconf
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import monotonic

from edgerig_agent.measure.disturbance import CpuTimes

_CGROUP = Path("/sys/fs/cgroup")
_NS = 1e-9


@dataclass(frozen=True)
class KernelCounters:
    """Counters since boot (or since the cgroup was made); differences are what counts."""

    oom_kill_count: int
    cgroup_oom_kill_count: int
    swapped_in_pages: int


def kernel_counters() -> KernelCounters:
    """Reads the counters; one that the kernel does not have reads 0, so it never moves."""
    vmstat = _words(Path("/proc/vmstat"))
    return KernelCounters(vmstat.get("oom_kill", 0), _cgroup_oom_kills(), vmstat.get("pswpin", 0))


def cpu_time_s(pids: Iterable[int]) -> float:
    """Returns the processor time that the living ones of these processes have used so far."""
    return sum(_cpu_time_s(pid) for pid in pids)


class CpuWatch:
    """Processor times from its making on: of the whole machine, and of children that have ended.

    Time that a hypervisor gave to others (steal) counts as the machine's: it was not
    the worker's either.
    """

    def __init__(self) -> None:
        self._began = monotonic()
        self._busy_s = _busy_cpu_s()
        self._children_s = _children_cpu_s()

    def times(self, own_s: float) -> CpuTimes:
        """Returns the times up to now, when all children have ended; `own_s` is counted elsewhere."""
        return CpuTimes(
            window_s=monotonic() - self._began,
            cpu_count=cpu_count() or 1,
            busy_s=_busy_cpu_s() - self._busy_s,
            children_s=_children_cpu_s() - self._children_s,
            own_s=own_s,
        )


def usable_cpu_count() -> int:
    """Returns how many processors this process may use: affinity and the cgroup's quota."""
    count = len(sched_getaffinity(0)) or cpu_count() or 1
    quota = _cgroup_cpu_quota()
    return max(1, min(count, round(quota))) if quota else count


def _cpu_time_s(pid: int) -> float:
    try:
        # Nanoseconds on a processor, thread by thread: /proc/PID/schedstat is the main
        # thread's alone, and a process that speaks gRPC works in others.
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * _NS
    except (OSError, ValueError, IndexError):
        return _cpu_ticks_s(pid)


def _cpu_ticks_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _busy_cpu_s() -> float:
    """All processors together, since boot."""
    try:
        words = Path("/proc/stat").read_text().partition("\n")[0].split()
        # cpu user nice system idle iowait irq softirq steal; guest time is part of user.
        user, nice, system, _idle, _wait, irq, softirq, steal = (int(word) for word in words[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / sysconf("SC_CLK_TCK")


def _children_cpu_s() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cgroup_oom_kills() -> int:
    """Kills in the cgroup of this process: memory.events (v2), memory.oom_control (v1)."""
    for controllers, path in _own_cgroups():
        if controllers == "":
            candidates = [_CGROUP / path / "memory.events", _CGROUP / "memory.events"]
        elif "memory" in controllers.split(","):
            base = _CGROUP / "memory"
            candidates = [base / path / "memory.oom_control", base / "memory.oom_control"]
        else:
            continue
        # In a container the path may be that of the host; then the mount's root is ours.
        for candidate in candidates:
            words = _words(candidate)
            if "oom_kill" in words:
                return words["oom_kill"]
    return 0


def _cgroup_cpu_quota() -> float:
    for controllers, path in _own_cgroups():
        if controllers == "":
            quota = _quota_v2(_CGROUP / path / "cpu.max") or _quota_v2(_CGROUP / "cpu.max")
        elif "cpu" in controllers.split(","):
            quota = _quota_v1(_CGROUP / "cpu" / path) or _quota_v1(_CGROUP / "cpu")
        else:
            continue
        if quota:
            return quota
    return 0.0


def _quota_v2(path: Path) -> float:
    try:
        quota, period = path.read_text().split()
        return 0.0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return 0.0


def _quota_v1(folder: Path) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else 0.0
    except (OSError, ValueError):
        return 0.0


def _own_cgroups() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    parts = [line.split(":", 2) for line in lines]
    return [(part[1], part[2].lstrip("/")) for part in parts if len(part) == 3]


def _words(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = [line.split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
