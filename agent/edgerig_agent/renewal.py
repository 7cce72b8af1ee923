"""When this agent's certificate is renewed: at two thirds of its life, never while something is measured.

The renewal itself is a process of its own (`edgerig_agent.renew`). Clock,
pause and random numbers are given by the caller.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from edgerig.errors import EdgerigError
from edgerig_agent import identity as identities
from edgerig_agent.identity import Enrollment, Identity
from edgerig_agent.processes import run_command

_log = logging.getLogger(__name__)

RENEW_AT_SHARE = 2 / 3
# Spread over 2 % of the life, so that devices enrolled together do not come together.
_SPREAD_SHARE = 0.02
# A wall clock may step: it is looked at this often, however far the time is.
_LOOK_S = 3600.0
_BUSY_S = 60.0
_RENEW_S = 60.0


def due_unix_s(enrollment: Enrollment, draw: float) -> float | None:
    """Returns when to renew; None when the validity was not recorded.

    Args:
        draw: a number in [0, 1), drawn once per certificate.
    """
    begin, end = enrollment.not_before_unix_s, enrollment.not_after_unix_s
    if not begin or end <= begin:
        return None
    return begin + (end - begin) * (RENEW_AT_SHARE + _SPREAD_SHARE * draw)


def pause_s(due: float, now_unix_s: float) -> float:
    """Returns how long to wait before the clock is looked at again."""
    return min(max(due - now_unix_s, 0.0), _LOOK_S)


async def keep_renewed(
    home: Path,
    command: tuple[str, ...],
    *,
    address: Callable[[], str],
    use: Callable[[Identity], Awaitable[None]],
    is_measuring: Callable[[], bool],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    rng: random.Random,
) -> None:
    """Renews the certificate of a home whenever it is due; ends only by cancellation.

    `use` is handed the new identity.
    """
    draw = rng.random()
    while True:
        due = due_unix_s(identities.load(home).enrollment, draw)
        if due is None:
            _log.warning("the certificate's validity is not recorded; it is not renewed by itself")
            return
        wait_s = pause_s(due, clock())
        if wait_s > 0:
            await sleep(wait_s)
            continue
        if is_measuring():
            await sleep(_BUSY_S)
            continue
        if await _renew(home, (*command, str(home), address())):
            await use(identities.load(home))
            draw = rng.random()
        else:
            await sleep(_LOOK_S)


async def _renew(home: Path, command: tuple[str, ...]) -> bool:
    try:
        ended = await run_command(command, scratch=home, timeout_s=_RENEW_S)
    except (OSError, EdgerigError) as error:
        _log.error("the certificate was not renewed: %s", error)
        return False
    if ended.exit_code != 0:
        last = ended.errors.strip().splitlines()[:1] or ["it printed no reason"]
        _log.error("the certificate was not renewed: %s", last[0][:500])
        return False
    _log.info("the certificate was renewed")
    return True
