"""Where a running study stands, in one line; and what a first and a second Ctrl-C mean.

The line changes only when the controller says something, which it does when a
trial begins or ends: on one machine with the trial, drawing would disturb it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from edgerig.deadlines import within
from edgerig.errors import UnreachableError
from edgerig_controller import embedded
from edgerig_controller.cli.control import Control
from edgerig_controller.cli.output import Output
from edgerig_controller.cli.reference import open_store
from edgerig_controller.home import Home

if TYPE_CHECKING:
    from edgerig.v1 import control_service_pb2 as pb

GRACE_S = 3.0
CANCEL_DEADLINE_S = 60.0

OnBlocked = Callable[[], Awaitable[None]]


class Interrupts:
    """Counts Ctrl-C; `pressed(n)` returns when it was pressed n times."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    def press(self) -> None:
        """Notes one Ctrl-C."""
        self._count += 1
        self._changed.set()

    async def pressed(self, times: int) -> None:
        """Waits until Ctrl-C was pressed at least this often."""
        while self._count < times:
            self._changed.clear()
            await self._changed.wait()


@contextlib.contextmanager
def catch_interrupts() -> Iterator[Interrupts]:
    """Takes Ctrl-C over while the block runs; call it inside the event loop."""
    interrupts = Interrupts()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupts.press)
    try:
        yield interrupts
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def line(message: pb.WatchStudyResponse) -> str:
    """Words a progress message: `3/12 done, 0 failed, about 1 min left; now: ...`."""
    text = f"{message.done_count}/{message.trial_count} done, {message.failed_count} failed"
    if message.finished:
        return text
    if message.HasField("eta_s"):
        text += f", {duration_words(message.eta_s)} left"
    if message.current:
        text += f"; now: {message.current}"
    elif message.blocked_reason:
        text += f"; waiting: {message.blocked_reason}"
    return text


def duration_words(duration_s: float) -> str:
    """Words a duration as roughly as it is known."""
    if duration_s < 10:
        return "a few seconds"
    if duration_s < 90:
        return f"about {round(duration_s / 10) * 10} s"
    if duration_s < 90 * 60:
        return f"about {round(duration_s / 60)} min"
    return f"about {duration_s / 3600:.1f} h"


async def follow(
    messages: AsyncIterator[pb.WatchStudyResponse],
    out: Output,
    study: str,
    on_blocked: OnBlocked | None = None,
) -> None:
    """Shows progress until the study has ended.

    `on_blocked` is awaited whenever the controller says that nothing can run.

    Raises:
        UnreachableError: the controller went away before that.
    """
    async for message in messages:
        out.progress(line(message))
        if message.finished:
            return
        if message.blocked_reason and on_blocked is not None:
            await on_blocked()
    raise UnreachableError(
        "the controller ended before the study did; nothing that was measured is lost",
        hint=f"edgerig watch {study}, or run the study file again",
    )


async def follow_or_leave(
    control: Control, out: Output, study_id: str, name: str, on_blocked: OnBlocked | None = None
) -> int:
    """Follows a study; returns how often Ctrl-C was pressed: 0 ended, 1 leave, 2 cancel."""
    with catch_interrupts() as interrupts:
        following = asyncio.ensure_future(follow(control.watch(study_id), out, name, on_blocked))
        first = asyncio.ensure_future(interrupts.pressed(1))
        try:
            await asyncio.wait({following, first}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
                return 0
            out.note(f"Leaving. Press Ctrl-C again within {GRACE_S:.0f} s to cancel the study instead.")
            try:
                await within(interrupts.pressed(2), GRACE_S)
            except asyncio.TimeoutError:
                return 1
            return 2
        finally:
            for task in (following, first):
                task.cancel()
            await asyncio.gather(following, first, return_exceptions=True)


async def cancel_and_wait(control: Control, out: Output, study_id: str, name: str) -> bool:
    """Cancels a study and waits until no device holds a trial of it; False when that takes too long."""
    count = await control.cancel(study_id)
    out.note(f"Cancelled {count} trials of {name}; waiting for what runs to end.")

    async def until_quiet() -> None:
        async for message in control.watch(study_id):
            # Not `running_count`: a trial between its lease and its start is on its way, too.
            if message.finished:
                return

    try:
        await within(until_quiet(), CANCEL_DEADLINE_S)
    except asyncio.TimeoutError:
        out.warn(f"a device still holds a trial after {CANCEL_DEADLINE_S:.0f} s; it ends when it answers")
        return False
    return True


async def end_embedded(control: Control, out: Output, home: Home) -> None:
    """Ends the embedded controller and the local agent, unless other studies need them."""
    endpoint = embedded.find_controller(home)
    if endpoint is None or not endpoint.embedded:
        return
    with open_store(home) as repository:
        active = [study.name for study in repository.studies() if study.state == "active"]
    if active:
        out.note(f"Controller and agent stay, because of {', '.join(active)}.")
        return
    processes = embedded.pids(home)
    await control.shutdown()
    loop = asyncio.get_running_loop()
    gone = await loop.run_in_executor(None, embedded.wait_until_gone, home, processes)
    if not gone:
        out.warn(f"controller or agent did not end in time; look at {home.logs_dir} and {home.agent_dir}")
