"""System memory: what is available, free swap, and pages that came back from swap.

System figures are the truth on boards whose GPU shares the memory: allocations
of the GPU stand in no process's resident set.
"""

from __future__ import annotations

from edgerig_agent.probes import cgroup
from edgerig_agent.probes.base import (
    MEMORY_BYTES,
    NEVER,
    PAGE_COUNT,
    STALL_S,
    UNREAD,
    Channel,
    KeptFile,
    Places,
    Probe,
    Text,
)

AVAILABLE = "proc:meminfo:MemAvailable"
SWAP_FREE = "proc:meminfo:SwapFree"
# What the GPU of a Jetson has of the memory that it shares; absent since Thor.
NVMAP = "proc:meminfo:NvMapMemUsed"
SWAPPED_IN = "proc:vmstat:pswpin"
SWAPPED_OUT = "proc:vmstat:pswpout"
MAJOR_FAULTS = "proc:vmstat:pgmajfault"
STALLED = "proc:pressure:memory:some"

_KIB = 1024.0
_MICRO = 1e-6


def discover(at: Places) -> list[Probe]:
    """Returns the probes of the kernel's memory figures."""
    meminfo = _Words(
        "memory",
        20_000_000,
        f"{at.procfs}/meminfo",
        4096,
        (
            (b"MemAvailable:", Channel(AVAILABLE, MEMORY_BYTES, "", _KIB)),
            (b"SwapFree:", Channel(SWAP_FREE, MEMORY_BYTES, "", _KIB)),
            (b"NvMapMemUsed:", Channel(NVMAP, MEMORY_BYTES, "", _KIB)),
        ),
    )
    vmstat = _Words(
        "paging",
        1_000_000_000,
        f"{at.procfs}/vmstat",
        16384,
        (
            (b"pswpin ", Channel(SWAPPED_IN, PAGE_COUNT, "", 1.0)),
            (b"pswpout ", Channel(SWAPPED_OUT, PAGE_COUNT, "", 1.0)),
            (b"pgmajfault ", Channel(MAJOR_FAULTS, PAGE_COUNT, "", 1.0)),
        ),
    )
    # The first line is `some`: at least one task waited for memory. Microseconds since
    # boot (Documentation/accounting/psi.rst).
    pressure = _Words(
        "pressure",
        200_000_000,
        f"{at.procfs}/pressure/memory",
        256,
        ((b"total=", Channel(STALLED, STALL_S, "", _MICRO)),),
    )
    return [meminfo, vmstat, pressure, *cgroup.discover(at)]


class _Words:
    """Numbers after fixed words of one procfs file, read with one call."""

    def __init__(
        self,
        name: str,
        interval_ns: int,
        path: str,
        size_bytes: int,
        wanted: tuple[tuple[bytes, Channel], ...],
    ) -> None:
        self.name = name
        self.interval_ns = interval_ns
        self._path = path
        self.text_bytes = size_bytes
        self.fds: list[int] = []
        text = self._first_text()
        self._wanted = [
            (
                word,
                channel if word in text else channel._replace(unavailable_reason=self._why_absent(text)),
            )
            for word, channel in wanted
        ]
        self._words: list[bytes] = []
        self._file: KeptFile | None = None

    def describe(self) -> tuple[Channel, ...]:
        return tuple(channel for _, channel in self._wanted)

    def open(self) -> tuple[Channel, ...]:
        readable = [(word, channel) for word, channel in self._wanted if not channel.unavailable_reason]
        self._words = [word for word, _ in readable]
        if readable:
            self._file = KeptFile(self._path, size_bytes=self.text_bytes)
            self.fds = [self._file.fileno()]
        return tuple(channel for _, channel in readable)

    def whole_in(self) -> int:
        return NEVER

    def read_texts(self) -> list[Text]:
        return [self._file.read_text() if self._file else b""]

    def numbers(self, texts: list[Text]) -> list[int]:
        (text,) = texts
        if isinstance(text, int):
            return [text] * len(self._words)
        return [number_after(text, word) for word in self._words]

    def read_all(self) -> list[int]:
        return self.numbers(self.read_texts())

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _why_absent(self, text: bytes) -> str:
        return f"{self._path} does not show it" if text else f"{self._path} is not on this kernel"

    def _first_text(self) -> bytes:
        try:
            file = KeptFile(self._path, size_bytes=self.text_bytes)
        except OSError:
            return b""
        try:
            text = file.read_text()
            return text if isinstance(text, bytes) else b""
        finally:
            file.close()


def number_after(text: bytes, word: bytes) -> int:
    """Returns the first number behind `word`, UNREAD when the word or number is not there."""
    begin = text.find(word)
    if begin < 0:
        return UNREAD
    digits = text[begin + len(word) : begin + len(word) + 32].split(None, 1)
    try:
        return int(digits[0])
    except (IndexError, ValueError):
        return UNREAD
