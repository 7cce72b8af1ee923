"""Memory that the cgroup of this process is charged with: now, at most, and kills.

An attempt's processes share one cgroup with the sampler, so its figures include
them all, page cache too. `memory.peak` (cgroup v2, kernel 5.19 and later) and
`memory.max_usage_in_bytes` (v1) count since the cgroup was made or its peak was
reset: an upper bound for a phase, while the largest of the sampled present values
is a lower one.
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    MEMORY_BYTES,
    Channel,
    FileProbe,
    Places,
    Probe,
    file_exists,
    read_text,
    why_unreadable,
)

CURRENT = "cgroup:memory:current"
PEAK = "cgroup:memory:peak"

_INTERVAL_NS = 100_000_000
_V1 = ("memory.usage_in_bytes", "memory.max_usage_in_bytes")
_V2 = ("memory.current", "memory.peak")


def discover(at: Places) -> list[Probe]:
    """Returns one probe; its channels say why where there is no cgroup with a memory controller."""
    folder, names = _folder(at)
    files = []
    for source, name in zip((CURRENT, PEAK), names, strict=True):
        path = f"{folder}/{name}"
        files.append((Channel(source, MEMORY_BYTES, "", 1.0, unavailable_reason=_reason(path)), path))
    return [FileProbe("cgroup", _INTERVAL_NS, files)]


def _folder(at: Places) -> tuple[str, tuple[str, str]]:
    """Finds the cgroup that charges this process's memory, by either version.

    In a container the path may be the host's, which is not there; then the root of
    the mount is ours.
    """
    base = f"{at.sysfs}/fs/cgroup"
    for line in read_text(f"{at.procfs}/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            mount, names = f"{base}/memory", _V1
        elif not controllers:
            mount, names = base, _V2
        else:
            continue
        for folder in (f"{mount}/{path.strip('/')}".rstrip("/"), mount):
            if file_exists(f"{folder}/{names[0]}"):
                return folder, names
    return base, _V2


def _reason(path: str) -> str:
    if not file_exists(path) and path.endswith("memory.peak"):
        return "memory.peak is not there; a cgroup other than the root has it since kernel 5.19"
    return why_unreadable(path)
