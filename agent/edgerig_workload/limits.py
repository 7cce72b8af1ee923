"""Emulates a smaller box: limits the private memory of this process.

RLIMIT_DATA counts private writable mappings (heap, tensors, thread stacks), which
is closer to the resident set than the address space that RLIMIT_AS counts, and
does not stop libraries that reserve addresses without using them. It is not what
a kernel's out-of-memory killer does: an allocation fails instead.
"""

from __future__ import annotations

import resource


def limit_memory(limit_bytes: int) -> str:
    """Limit the process to `limit_bytes` (0 = no limit) and return a label for the facts."""
    if limit_bytes <= 0:
        return ""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    return f"private memory limited to {soft} bytes"


def lift() -> bool:
    """Take the limit away, so that a failure can still be told; say whether there was one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    return soft != hard
