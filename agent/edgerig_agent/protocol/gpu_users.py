"""Which processes of others have the GPU open.

Three sources, the first that answers: NVML's lists of processes (discrete GPUs,
Thor), the clients of nvmap (Jetson, root only), and the open device files of
every process that this user may look into.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from edgerig_agent.probes import nvml
from edgerig_agent.probes.base import list_folder, places, read_text
from edgerig_agent.probes.nvml_queries import errors

# `user  xorg  1234  5678K`; the first line is a heading, the last a total.
_NVMAP_CLIENT = re.compile(r"^user\s+(\S+)\s+(\d+)\s", re.MULTILINE)
_DEVICES = re.compile(r"/dev/(nvhost-(?:gpu|ctrl-gpu|as-gpu)|nvgpu/\S+|nvmap|nvidia\d+|dri/renderD\d+)$")
_MAX_SHOWN = 16


class GpuUsers:
    """Lists the processes on the GPU that are not edgerig's own."""

    def __init__(self, root: str, own_pids: frozenset[int]) -> None:
        self._root = root.rstrip("/")
        self._own = own_pids
        self._at = places(root)
        self._library: Any = None
        if nvml.driver_present(self._at):
            self._library, _ = nvml.load_library()

    def list(self) -> tuple[tuple[str, ...], str]:
        """Returns `pid name` of each, and why the list may be incomplete ('' when it is not)."""
        found = self._by_nvml()
        if found is None:
            found = self._by_nvmap()
        if found is not None:
            return self._worded(found), ""
        if not self._has_gpu():
            return (), ""
        pids, hidden = self._by_descriptors()
        why = f"{hidden} processes of other users cannot be looked into" if hidden else ""
        return self._worded(pids), why

    def _worded(self, pids: Iterable[int]) -> tuple[str, ...]:
        others = sorted(set(pids) - self._own)
        named = [f"{pid} {read_text(f'{self._at.procfs}/{pid}/comm') or 'unknown'}" for pid in others]
        return tuple(named[:_MAX_SHOWN])

    def _by_nvml(self) -> set[int] | None:
        library = self._library
        if library is None:
            return None
        found: set[int] = set()
        answered = False
        calls = (library.nvmlDeviceGetComputeRunningProcesses, library.nvmlDeviceGetGraphicsRunningProcesses)
        try:
            handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
        except errors(library):
            return None
        for handle in handles:
            for call in calls:
                pids = _pids(library, call, handle)
                found |= pids or set()
                answered |= pids is not None
        return found if answered else None

    def _by_nvmap(self) -> set[int] | None:
        text = read_text(f"{self._root}/sys/kernel/debug/nvmap/iovmm/clients")
        return {int(pid) for _, pid in _NVMAP_CLIENT.findall(text)} if text else None

    def _has_gpu(self) -> bool:
        names = list_folder(self._at.dev)
        return any(name.startswith(("nvhost", "nvgpu", "nvmap", "nvidia0")) for name in names)

    def _by_descriptors(self) -> tuple[set[int], int]:
        found: set[int] = set()
        hidden = 0
        for name in list_folder(self._at.procfs):
            if not name.isdigit():
                continue
            links = _links(f"{self._at.procfs}/{name}/fd")
            if links is None:
                hidden += 1
            elif any(_DEVICES.search(link) for link in links):
                found.add(int(name))
        return found, hidden


def _links(folder: str) -> list[str] | None:
    """Returns what the links in a folder lead to; None where it may not be looked into."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - one call, many times
    except PermissionError:
        return None
    except OSError:
        return []
    return [link for name in names if (link := _link(f"{folder}/{name}"))]


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - one call, many times
    except OSError:
        return ""


def _pids(library: Any, call: Any, handle: Any) -> set[int] | None:
    """Returns the processes of one list of NVML; None where the board has no such list."""
    try:
        return {int(process.pid) for process in call(handle)}
    except errors(library):
        return None
