"""Tells systemd that the daemon is ready and alive (sd_notify(3)), with the standard library alone.

Without NOTIFY_SOCKET in the environment nothing is sent. The sign of life is
sent from the event loop: a loop that hangs is a daemon that hangs.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

_log = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def notify(state: str, environ: Mapping[str, str]) -> bool:
    """Sends one state to systemd; False when nobody asked for it or nobody takes it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # A name that begins with '@' lies in the abstract namespace.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), target)
    except OSError as error:
        _log.debug("systemd was not told %s: %s", state, error)
        return False
    return True


def interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Returns how often a sign of life is due: twice per WATCHDOG_USEC; None when none is wanted."""
    limit_us = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(pid))
    if not limit_us.isdecimal() or int(limit_us) == 0 or meant != str(pid):
        return None
    return int(limit_us) / 1e6 / 2


async def keep(environ: Mapping[str, str], *, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Says that the daemon is ready, then that it lives, until it is cancelled."""
    if not notify(READY, environ):
        return
    pause_s = interval_s(environ, os.getpid())
    while pause_s is not None:
        await sleep(pause_s)
        notify(ALIVE, environ)
