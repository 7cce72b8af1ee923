"""When the next round is due: at a hint, after a failure, and now and then by itself.

Losing any hint of the stream is harmless because of the last: an idle agent
asks again without one. Knows nothing of what a round does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import Protocol

from edgerig.deadlines import within
from edgerig.errors import EdgerigError, UnreachableError
from edgerig_agent.conductor import Rest
from edgerig_agent.session import Backoff
from edgerig_agent.signals import Signals

_log = logging.getLogger(__name__)

# Without a stream the controller is asked this often (a proxy may refuse streams).
POLL_S = 15.0
# After a round that failed although the controller answers, or that left something unsettled.
RETRY_S = 60.0
# An idle agent asks this often without a hint: what a hint that was lost costs at most.
IDLE_S = 300.0
# An agent of an embedded run ends when its controller has been gone for this long.
EMBEDDED_PATIENCE_S = 60.0


class Round(Protocol):
    """Settles what is held and takes work, as `conductor.Conductor` does."""

    async def round(self) -> Rest: ...


class Line(Protocol):
    """How the connection stands, as `session.Link` knows it."""

    @property
    def connected(self) -> bool: ...

    def unreachable_s(self) -> float: ...


async def serve(
    conductor: Round, signals: Signals, line: Line, *, embedded: bool, rng: random.Random | None = None
) -> None:
    """Makes a round whenever one is due; returns when an embedded run is over."""
    pause_s = POLL_S
    backoff = Backoff(rng or random.Random())
    while True:
        with contextlib.suppress(asyncio.TimeoutError):
            await within(signals.round_due.wait(), pause_s)
        signals.round_due.clear()
        if embedded and signals.may_exit:
            return
        try:
            rest = await conductor.round()
            pause_s = IDLE_S if rest is Rest.IDLE else RETRY_S
            backoff.reset()
        except UnreachableError as error:
            _log.debug("%s", error)
            pause_s = backoff.pause_s()
        except EdgerigError as error:
            _log.error("%s", error)
            pause_s = RETRY_S
        if not line.connected:
            pause_s = POLL_S
            if embedded and line.unreachable_s() > EMBEDDED_PATIENCE_S:
                _log.info("the controller is gone")
                return
