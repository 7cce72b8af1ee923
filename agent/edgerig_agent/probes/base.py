"""What a probe is: one family of sensors behind kept file descriptors.

Knows nothing of schedules, traces or phases. This module and the probes stay
on the standard library without `pathlib` and `dataclasses`: the sampler loads
them, and its resident memory is part of what it must not disturb.
"""

# `os.path` on purpose, see above.
# ruff: noqa: PTH110, PTH112, PTH119, PTH123, PTH208

from __future__ import annotations

import errno
import os
from typing import NamedTuple, Protocol

# Stands in a trace for a field that could not be read; no sensor reaches it. A refusal
# by the kernel stands as UNREAD + errno, so that the trace says why by itself.
UNREAD = -(2**63)
LAST_UNREAD = UNREAD + 4095

POWER_W = "power_w"
# Power that a driver averages over about a second: kept in the trace, never integrated.
POWER_SMOOTHED_W = "power_smoothed_w"
ENERGY_J = "energy_j"
# A counter in steps too coarse for the windows of an attempt: kept in the trace, not differenced.
ENERGY_COARSE_J = "energy_coarse_j"
CURRENT_A = "current_a"
VOLTAGE_V = "voltage_v"
TEMPERATURE_C = "temperature_c"
MEMORY_BYTES = "memory_bytes"
PAGE_COUNT = "page_count"
# What a clock does, what it was asked for, and between which limits it may move (equal = pinned).
FREQUENCY_HZ = "frequency_hz"
REQUESTED_HZ = "frequency_requested_hz"
FLOOR_HZ = "frequency_floor_hz"
CEILING_HZ = "frequency_ceiling_hz"
# Events since boot: throttling, over-current.
EVENT_COUNT = "event_count"
# Bits that the driver sets while something holds a clock down; scale is 1.
EVENT_REASONS = "event_reasons"
PROCESS_COUNT = "process_count"
# Time since boot in which tasks waited for something, such as memory.
STALL_S = "stall_s"
# Half of how long a meter took to answer: the reading happened within this of its stamp.
STAMP_UNCERTAINTY_S = "stamp_uncertainty_s"

POWER_QUANTITIES = (POWER_W, ENERGY_J, CURRENT_A, VOLTAGE_V)


# Traces of external meters begin so; what stands beside the device takes nothing from its own figures.
METER_TRACE = "meter-"

# A second at 100 Hz.
_REOPEN_EVERY = 100
_NUMBER_BYTES = 64
# More readings than there will be.
NEVER = 1 << 62


class Channel(NamedTuple):
    """One readable quantity of a sensor; value = raw x scale in the unit of `quantity`."""

    # ina3221:1-0040:1:VDD_IN, rapl:package-0, nvml:0 ...
    source: str
    quantity: str
    # The short word of edgerig.v1.Boundary; empty where no power is meant.
    boundary: str
    scale: float
    # Range of a counter that wraps, in raw units; 0 = it does not.
    wrap_raw: int = 0
    # Empty when it can be read.
    unavailable_reason: str = ""
    # What the driver says of the sensor; 0 = it does not say.
    shunt_ohm: float = 0.0
    update_interval_ns: int = 0
    # Conversions that the chip averages into one reading; 0 = the driver does not say.
    averaged_count: int = 0


class Probe(Protocol):
    """One family of sensors found on this device.

    Attributes:
        name: names the trace; unique among the probes of a device.
        interval_ns: how often the sensors are worth reading.
    """

    name: str
    interval_ns: int

    def describe(self) -> tuple[Channel, ...]:
        """Lists all channels found, readable or not; stays the same for the probe's life."""

    def open(self) -> tuple[Channel, ...]:
        """Opens what `read_all` needs; returns the channels it will read, in order."""

    def read_all(self) -> list[int]:
        """Reads every opened channel once; UNREAD or UNREAD + errno where a read failed."""

    def close(self) -> None:
        """Closes the descriptors; may be called twice."""


# What reading one file gave: its first bytes, or UNREAD + errno where the kernel refused.
Text = bytes | int


class TextProbe(Protocol):
    """What a probe of files has beside `Probe`: reading now, and making numbers of it later.

    A sampler that has just woken up finds nothing of itself in the processor's caches, so
    whatever need not happen at that instant is done for several readings at once. Most
    readings are of `fds` alone, by the sampler's own loop; `read_texts` reads everything and
    copes with what the kernel refuses. Texts must be handed to `numbers` in the order in
    which they were read.
    """

    # Kept open; the same list object until `close`.
    fds: list[int]
    # How much of each is read.
    text_bytes: int

    def whole_in(self) -> int:
        """Returns in how many readings `read_texts` is due again, after one by it."""

    def read_texts(self) -> list[Text]:
        """Reads every opened channel once, as the kernel shows it."""

    def numbers(self, texts: list[Text]) -> list[int]:
        """Returns the value of every channel after this reading; valid until the next call."""


class Places(NamedTuple):
    """Where the kernel shows its sensors; tests point it to a tree of plain files."""

    sysfs: str
    procfs: str
    dev: str


def places(root: str = "/") -> Places:
    """Returns the places below `root`, the folder that stands for `/`.

    A tree that has no `proc` of its own takes the real one: a device's sensors
    can be replayed while memory is still this machine's. A folder that is
    itself a sysfs (it has `class` or `bus`, not `sys`) is accepted too.
    """
    root = root.rstrip("/")
    is_sysfs = not os.path.isdir(f"{root}/sys")
    sysfs = root if is_sysfs else f"{root}/sys"
    procfs = f"{root}/proc" if os.path.isdir(f"{root}/proc") else "/proc"
    # A sysfs has a folder `dev` too, which is no /dev.
    return Places(sysfs, procfs, "/dev" if is_sysfs else f"{root}/dev")


class KeptFile:
    """A sysfs or procfs file that stays open and is read again from its start.

    Opening costs as much as reading; one `pread` on a kept descriptor makes a
    scan four times cheaper.
    """

    def __init__(self, path: str, *, size_bytes: int = _NUMBER_BYTES) -> None:
        """Opens the file.

        Raises:
            OSError: it does not exist or may not be read.
        """
        self._path = path
        self._size_bytes = size_bytes
        self._failure_count = 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read_text(self) -> Text:
        """Returns the file's first bytes, else UNREAD + errno (ENODATA of a disabled channel)."""
        try:
            return os.pread(self._fd, self._size_bytes, 0)
        except OSError as error:
            self._look_again(error.errno)
            return UNREAD + (error.errno or 0)

    def read_int(self) -> int:
        """Returns the number in the file, UNREAD where there is none, UNREAD + errno where it is refused."""
        return number_of(self.read_text())

    def fileno(self) -> int:
        """Returns the descriptor; it changes when a device that was removed is back."""
        return self._fd

    def close(self) -> None:
        """Closes the descriptor; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _look_again(self, code: int | None) -> None:
        """Looks now and then whether a device that was removed is back.

        The kernel answers ENODEV for ever on a descriptor of a removed device, even
        when its driver has been bound again at the same place.
        """
        if code != errno.ENODEV:
            return
        self._failure_count += 1
        if self._failure_count % _REOPEN_EVERY == 0:
            try:
                fresh = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            os.close(self._fd)
            self._fd = fresh


class KeptFiles:
    """Files that are read one right after the other, of one number each."""

    def __init__(self, paths: list[str]) -> None:
        """Opens the files.

        Raises:
            OSError: one does not exist or may not be read.
        """
        self._files = [KeptFile(path) for path in paths]
        self.fds = [file.fileno() for file in self._files]
        # Whether the kernel refused one at the last reading.
        self.refused = False

    def read_texts(self) -> list[Text]:
        """Reads every file once, and copes with each that is refused."""
        texts = [file.read_text() for file in self._files]
        self.fds[:] = [file.fileno() for file in self._files]
        self.refused = any(isinstance(text, int) for text in texts)
        return texts

    def close(self) -> None:
        """Closes the descriptors; may be called twice."""
        for file in self._files:
            file.close()
        self._files = []
        self.fds.clear()


def numbers_of(texts: list[Text]) -> list[int]:
    """Returns the number in each text, UNREAD where there is none; errors stay as they are."""
    try:
        return list(map(int, texts))
    except ValueError:
        return [number_of(text) for text in texts]


def number_of(text: Text) -> int:
    """Returns the number in a text, UNREAD where there is none; an error stays as it is."""
    try:
        return int(text)
    except ValueError:
        return UNREAD


def read_text(path: str) -> str:
    """Returns a small file's text without surrounding space, empty when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:
        return ""


def read_number(path: str) -> int:
    """Returns the whole number in a small file, 0 when there is none."""
    text = read_text(path)
    return int(text) if text.lstrip("-").isdigit() else 0


def why_refused(path: str, allow: str) -> str:
    """Returns why a file gives no number, with the command that lets everybody read it; empty when it does.

    Args:
        allow: the files to allow, as a pattern that a shell expands.
    """
    if file_exists(path) and not os.access(path, os.R_OK):
        name = os.path.basename(path)
        return f"{name} is readable by root only; until the next boot: sudo chmod a+r {allow}"
    return why_unreadable(path)


def file_exists(path: str) -> bool:
    """Tells whether there is something at `path`."""
    return os.path.exists(path)


def list_folder(path: str) -> list[str]:
    """Returns the sorted names in a folder, none when it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def unread_reason(raw: int) -> str:
    """Words a raw value that is none: `No data available (ENODATA)`, or that no number came."""
    code = raw - UNREAD
    return f"{os.strerror(code)} ({errno.errorcode.get(code, code)})" if code else "gives no number"


def why_unreadable(path: str) -> str:
    """Returns why a file gives no number, empty when it gives one."""
    name = os.path.basename(path)
    try:
        file = KeptFile(path)
    except OSError as error:
        return f"{name}: {error.strerror}"
    try:
        raw = file.read_int()
        return "" if raw > LAST_UNREAD else f"{name}: {unread_reason(raw)}"
    finally:
        file.close()


class FileProbe:
    """Channels that are one number in one file each, all read in the same interval."""

    text_bytes = _NUMBER_BYTES

    def __init__(self, name: str, interval_ns: int, files: list[tuple[Channel, str]]) -> None:
        self.name = name
        self.interval_ns = interval_ns
        self._paths = files
        self._files = KeptFiles([])
        self.fds = self._files.fds

    def describe(self) -> tuple[Channel, ...]:
        return tuple(channel for channel, _ in self._paths)

    def open(self) -> tuple[Channel, ...]:
        readable = [(channel, path) for channel, path in self._paths if not channel.unavailable_reason]
        self._files = KeptFiles([path for _, path in readable])
        self.fds = self._files.fds
        return tuple(channel for channel, _ in readable)

    def whole_in(self) -> int:
        return NEVER

    def read_texts(self) -> list[Text]:
        return self._files.read_texts()

    def numbers(self, texts: list[Text]) -> list[int]:
        return numbers_of(texts)

    def read_all(self) -> list[int]:
        return self.numbers(self._files.read_texts())

    def close(self) -> None:
        self._files.close()
