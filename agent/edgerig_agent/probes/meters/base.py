"""What an external meter is, and how one is read as a probe without ever stopping an attempt.

A meter may be slow, may vanish and may talk nonsense. Each is read in a process of
its own (`edgerig_agent.measure.recorder`), so it disturbs neither the sampler nor
another meter; what it does not answer stands in its trace as unread, with the error.
"""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from edgerig_agent.probes.base import LAST_UNREAD, STAMP_UNCERTAINTY_S, UNREAD, Channel

_NANO = 1e-9
# After a failure nothing is asked for this long, so that a dead meter costs next to nothing.
_REST_NS = 1_000_000_000


class GarbledError(OSError):
    """A meter answered something that is no reading; goes into the trace as EPROTO."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EPROTO, message)


class NoReadingError(OSError):
    """A meter answered and has no value for this quantity; goes into the trace as ENODATA."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ENODATA, message)


class Meter(Protocol):
    """One meter behind its own protocol; every method may raise OSError."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What `read` gives, in order; the same for the meter's life."""

    def connect(self) -> str:
        """Connects, makes the meter ready and returns what it says it is."""

    def read(self) -> Sequence[int]:
        """Returns one raw value for each channel."""

    def close(self) -> None:
        """Drops the connection; may be called twice."""


class MeterProbe:
    """A meter as a probe: connects when needed, bounds every request, notes what fails.

    The last channel is half of the time that the request took: the reading happened
    within that of the stamp, which is the middle of the request.
    """

    def __init__(self, name: str, meter: Meter, *, interval_ns: int, limit_s: float) -> None:
        self.name = name
        self.interval_ns = interval_ns
        self.identity = ""
        self.request_count = 0
        self.failure_count = 0
        self.last_error = ""
        # The middle of the last request, without the time that connecting took.
        self.stamp_ns = 0
        self._meter = meter
        self._limit_s = limit_s
        self._connected = False
        self._rest_until_ns = 0
        source = f"{meter.channels[0].source.rpartition(':')[0]}:stamp"
        self._channels = (*meter.channels, Channel(source, STAMP_UNCERTAINTY_S, "", _NANO))
        self._unread = [UNREAD + errno.ENOTCONN] * len(self._channels)

    def describe(self) -> tuple[Channel, ...]:
        return self._channels

    def open(self) -> tuple[Channel, ...]:
        return self._channels

    def read_all(self) -> list[int]:
        """Returns a reading, or for every channel why there is none; never raises OSError."""
        self.stamp_ns = time.monotonic_ns()
        if self.stamp_ns < self._rest_until_ns:
            return list(self._unread)
        self.request_count += 1
        try:
            with time_limit(self._limit_s):
                if not self._connected:
                    self.identity = self._meter.connect() or self.identity
                    self._connected = True
                begin_ns = time.monotonic_ns()
                values = _sound(self._meter)
                half_ns = (time.monotonic_ns() - begin_ns) // 2
            self.stamp_ns = begin_ns + half_ns
            return [*values, half_ns]
        except OSError as error:
            return self._failed(error)

    def close(self) -> None:
        self._connected = False
        self._meter.close()

    def _failed(self, error: OSError) -> list[int]:
        self.failure_count += 1
        self.last_error = str(error)
        self._unread = [UNREAD + _code(error)] * len(self._channels)
        if not isinstance(error, NoReadingError):
            self.close()
            self._rest_until_ns = time.monotonic_ns() + _REST_NS
        return list(self._unread)


def _sound(meter: Meter) -> Sequence[int]:
    """Reads a meter; a trace holds 64 bits, and what does not fit in is no reading."""
    try:
        values = meter.read()
    except (OverflowError, ValueError) as error:
        raise GarbledError(f"it answers what is no number: {error}") from error
    if not all(LAST_UNREAD < value < -UNREAD for value in values):
        raise GarbledError(f"it answers {max(values, key=abs):.3g}, which no meter measures")
    return values


def _code(error: OSError) -> int:
    """Returns the errno of an error; errors of sockets and of HTTP may come without one."""
    if isinstance(error, TimeoutError):
        return errno.ETIMEDOUT
    fallback = errno.ECONNRESET if isinstance(error, ConnectionError) else errno.EIO
    # Name resolution has negative codes of its own.
    return error.errno if error.errno and 0 < error.errno <= LAST_UNREAD - UNREAD else fallback


@contextmanager
def time_limit(limit_s: float) -> Iterator[None]:
    """Raises TimeoutError in the block after this time, however the peer drips its bytes.

    By SIGALRM, so for the main thread of a process that uses it for nothing else; name
    resolution ends when the resolver does.
    """

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {limit_s:g} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
