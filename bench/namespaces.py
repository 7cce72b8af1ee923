"""Two network namespaces and a bad wire between them, without help from the kernel's netem.

Each namespace has one tun device. What its kernel sends comes out here as IP
packets, waits, is dropped or goes on: delay, loss and cuts are real for both
kernels, TCP included. The rule is in user space, because many kernels are built
without the netem scheduler (CONFIG_NET_SCH_NETEM), and it is the same on all
of them, seeded.

A namespace lives as long as a process that holds it, and that one ends with
the pipe to it: nothing is left in /run/netns or anywhere, however this ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MTU = 1500
_TUN = Path("/dev/net/tun")
_WAIT_S = 0.2


@dataclass(frozen=True)
class Weather:
    """What befalls a packet on its way, in each direction."""

    delay_s: float = 0.05
    loss: float = 0.05


@dataclass
class Counts:
    """How many packets there were."""

    sent: int = 0
    lost: int = 0
    cut: int = 0


def missing() -> str:
    """Says what is missing here for two namespaces; '' for nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nsenter", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install iproute2 util-linux)"
    if not _TUN.exists():
        return f"the kernel offers no {_TUN}"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else f"no network namespace can be made: {probe.stderr.strip()}"


class Namespace:
    """One network namespace with one device of one address."""

    def __init__(self, name: str, address: str, stack: contextlib.ExitStack) -> None:
        self.address = address
        self._device = f"{name}{os.getpid()}"
        # `unshare` becomes `cat`, which ends when the pipe does.
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        stack.callback(self._let_go)
        self.descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, self.descriptor)
        fcntl.ioctl(
            self.descriptor, _TUNSETIFF, struct.pack("16sH22x", self._device.encode(), _IFF_TUN | _IFF_NO_PI)
        )
        self._await_namespace()
        _run("ip", "link", "set", self._device, "mtu", str(_MTU), "netns", str(self._holder.pid))
        _run(*self.command("ip", "addr", "add", f"{address}/30", "dev", self._device))
        _run(*self.command("ip", "link", "set", "lo", "up"))
        self.up()

    def command(self, *words: str) -> list[str]:
        """Returns the command that runs another one in this namespace, with the same process id."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *words]

    def up(self) -> None:
        _run(*self.command("ip", "link", "set", self._device, "up"))

    def down(self) -> None:
        _run(*self.command("ip", "link", "set", self._device, "down"))

    def _await_namespace(self) -> None:
        """Waits until the holder has a namespace that is not ours."""
        ours, deadline_s = Path("/proc/self/ns/net").readlink(), time.monotonic() + 10.0
        place = Path(f"/proc/{self._holder.pid}/ns/net")
        while place.readlink() == ours:
            if time.monotonic() > deadline_s:
                raise RuntimeError("unshare made no namespace within 10 s")
            time.sleep(0.005)

    def _let_go(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


class Wire:
    """Carries packets between two namespaces until it is closed."""

    def __init__(self, ends: tuple[Namespace, Namespace], weather: Weather, seed: int) -> None:
        self.ends = ends
        self.counts = Counts()
        self._weather = weather
        self._rng = random.Random(seed)
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._number = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._carry, name="wire", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Takes the first end's link down: the other end only hears nothing any more."""
        self.ends[0].down()

    def heal(self) -> None:
        self.ends[0].up()

    def close(self) -> None:
        self._closed = True
        self._thread.join()

    def _carry(self) -> None:
        first, second = (end.descriptor for end in self.ends)
        others = {first: second, second: first}
        while not self._closed:
            readable, _, _ = select.select([first, second], [], [], self._next_s())
            for descriptor in readable:
                self._take(descriptor, others[descriptor])
            self._deliver()

    def _next_s(self) -> float:
        if not self._under_way:
            return _WAIT_S
        return min(max(self._under_way[0][0] - time.monotonic(), 0.0), _WAIT_S)

    def _take(self, source: int, target: int) -> None:
        with contextlib.suppress(OSError):
            while packet := os.read(source, _MTU + 100):
                self.counts.sent += 1
                if self._rng.random() < self._weather.loss:
                    self.counts.lost += 1
                    continue
                due_s = time.monotonic() + self._weather.delay_s
                heapq.heappush(self._under_way, (due_s, next(self._number), target, packet))

    def _deliver(self) -> None:
        now_s = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now_s:
            _, _, target, packet = heapq.heappop(self._under_way)
            try:
                os.write(target, packet)
            except OSError:
                # Its link is down.
                self.counts.cut += 1


@contextlib.contextmanager
def wire(weather: Weather, seed: int) -> Iterator[Wire]:
    """Makes two namespaces, the controller's first, and the wire between them.

    Raises:
        RuntimeError: the kernel refuses; ask `missing` before.
    """
    with contextlib.ExitStack() as stack:
        ends = (Namespace("erc", "10.77.0.1", stack), Namespace("era", "10.77.0.2", stack))
        made = Wire(ends, weather, seed)
        stack.callback(made.close)
        yield made


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
