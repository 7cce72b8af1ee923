"""What the controller's stream said and nobody has acted on yet.

Implements `session.Listener`; the conductor and the daemon read it. Losing any
of these signals is harmless, because every reconnect begins with a round.
"""

from __future__ import annotations

import asyncio
import logging

_log = logging.getLogger(__name__)


class Signals:
    """Flags and events, set by the link and cleared by who acts on them."""

    def __init__(self) -> None:
        # Set whenever a round is due.
        self.round_due = asyncio.Event()
        # Set whenever a running attempt may be concerned.
        self.interrupt = asyncio.Event()
        self.reconnected = False
        self.cancelled: set[str] = set()
        self.may_exit = False

    def on_welcome(self) -> None:
        self.reconnected = True
        self.may_exit = False
        self.round_due.set()
        self.interrupt.set()

    def on_wake(self) -> None:
        self.round_due.set()

    def on_cancel(self, attempt_id: str, reason: str) -> None:
        _log.info("attempt %s is cancelled: %s", attempt_id, reason or "no reason given")
        self.cancelled.add(attempt_id)
        self.round_due.set()
        self.interrupt.set()

    def on_goodbye(self, agent_may_exit: bool) -> None:
        self.may_exit = agent_may_exit
        self.round_due.set()

    def on_lost(self) -> None:
        # The next round tries without the stream, and starts the polling that replaces it.
        self.round_due.set()
