"""Golden trials: the same small study again and again on each device, to see whether it is still what it was.

Plans and registers them when they are due, judges their results, and lets
devices work again whose hold is over. Sleeps between; nothing is planned while
something is measured on the controller's own machine.
"""

from __future__ import annotations

import asyncio
import logging

from edgerig.deadlines import end, within
from edgerig.errors import EdgerigError, StudyProblems
from edgerig_controller.fleet.administration import GOLDEN
from edgerig_controller.fleet.changes import INVENTORY
from edgerig_controller.fleet.golden import GoldenPlan, for_device
from edgerig_controller.fleet.timer import AGAIN_S, steadily
from edgerig_controller.rpc.frame import LOCAL_DEVICE, Frame
from edgerig_controller.rpc.planning import plan_for_fleet
from edgerig_controller.store.studies import Terms

_log = logging.getLogger(__name__)

# Before all that people ask for: a device that is not well wastes their time.
_PRIORITY = 100
# A device that could not be planned for is tried again after this time.
_RETRY_S = 3600.0


async def submit(frame: Frame, plan: GoldenPlan, device_id: str) -> str:
    """Registers a golden study of a device and returns its id.

    Raises:
        StudyProblems: it cannot be run on this device.
        UsageError: the golden study is no study.
    """
    now_unix_s = frame.clock()
    text = for_device(plan, device_id, now_unix_s)
    async with frame.planning:
        prepared = await plan_for_fleet(frame, text, origin=plan.origin, folder=plan.folder)
        row, _, _ = await frame.store.ask(
            lambda store: store.create_study(
                prepared,
                reuse=False,
                now_unix_s=now_unix_s,
                terms=Terms(priority=_PRIORITY, purpose=GOLDEN),
            )
        )
    await frame.announce([row.study_id])
    await frame.wake_idle()
    return row.study_id


class GoldenKeeper:
    """Judges golden results, submits golden studies that are due, and ends holds in time."""

    def __init__(self, frame: Frame, plan: GoldenPlan, *, again_s: float = AGAIN_S) -> None:
        self._frame = frame
        self._plan = plan
        self._again_s = again_s
        self._poked = asyncio.Event()
        self._failed: dict[str, float] = {}

    def poke(self) -> None:
        """Says that a result was committed or that the standing of a device has changed."""
        self._poked.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        looking = asyncio.ensure_future(self._look_for_devices())
        try:
            await self._run()
        finally:
            await end(looking)

    async def _look_for_devices(self) -> None:
        """Pokes whenever a device has said what it is: it may be new, or back."""
        changes = self._frame.changes
        seen = changes.version(INVENTORY)
        while True:
            seen = await changes.wait(INVENTORY, seen)
            self.poke()

    async def _run(self) -> None:
        while True:
            await steadily(self._turn, what="golden trials have to wait", again_s=self._again_s)

    async def _turn(self) -> None:
        self._poked.clear()
        await self._judge()
        due = await self._submit_due()
        now_unix_s = self._frame.clock()
        release = await self._frame.store.ask(
            lambda store: store.fleet.next_release_unix_s(now_unix_s=now_unix_s)
        )
        times = [time for time in (due, release) if time is not None]
        wait_s = max(min(times) - now_unix_s, 0.0) if times else None
        try:
            await within(self._poked.wait(), wait_s)
        except asyncio.TimeoutError:
            # A hold may be over: who waits for work may ask again.
            await self._frame.wake_idle()
            await self._frame.tell_watchers_of_devices()

    async def _judge(self) -> None:
        judged = await self._frame.store.ask(
            lambda store: store.fleet.judge_golden(now_unix_s=self._frame.clock())
        )
        for item in judged:
            level = logging.WARNING if item.state in ("quarantined", "unjudged") else logging.INFO
            _log.log(
                level, "golden trial of %s: %s: %s", item.device_id, item.state or "learning", item.reason
            )
        if judged:
            await self._frame.tell_watchers_of_devices()

    async def _submit_due(self) -> float | None:
        """Submits what is due; returns when the next one is, in Unix seconds."""
        every_s = self._plan.every_s
        if every_s is None:
            return None
        frame = self._frame
        now_unix_s = frame.clock()
        load = await frame.store.ask(lambda store: store.fleet_load())
        if any(item.device_id == LOCAL_DEVICE for item in load.running):
            # Its end pokes.
            return None
        last, open_devices = await frame.store.ask(
            lambda store: store.fleet.golden_times(since_unix_s=now_unix_s - every_s)
        )
        next_times: list[float] = []
        for device_id in sorted(frame.hub.connected() - open_devices):
            due = max(last.get(device_id, 0.0) + every_s, self._failed.get(device_id, 0.0))
            if due > now_unix_s:
                next_times.append(due)
                continue
            await self._try(device_id, now_unix_s)
        return min(next_times, default=now_unix_s + every_s)

    async def _try(self, device_id: str, now_unix_s: float) -> None:
        try:
            study_id = await submit(self._frame, self._plan, device_id)
        except EdgerigError as error:
            self._failed[device_id] = now_unix_s + _RETRY_S
            words = error.problems[0].message if isinstance(error, StudyProblems) else error.message
            _log.warning("no golden trial for %s: %s", device_id, words)
        else:
            self._failed.pop(device_id, None)
            _log.info("golden trial %s for %s", study_id, device_id)
