"""What the three services of one controller share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edgerig.errors import UnreachableError
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet.changes import Changes
from edgerig_controller.fleet.golden import GoldenPlan
from edgerig_controller.fleet.identity import Authority
from edgerig_controller.fleet.sessions import SessionHub
from edgerig_controller.fleet.timer import LeaseTimer
from edgerig_controller.home import Home
from edgerig_controller.store.controllers import Member, not_leading
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper

LOCAL_DEVICE = "local"

_log = logging.getLogger(__name__)


@dataclass
class Standby:
    """What a controller that does not lead knows of the one that does; None: none leads."""

    leader: Member | None = None

    def refusal(self) -> UnreachableError:
        """Returns what is answered to whoever needs the leader."""
        return not_leading(self.leader)


@dataclass
class Frame:
    """The parts of a running controller. Lives on one event loop."""

    home: Home
    authority: Authority
    store: StoreThread
    blobs: BlobStore
    traces: TraceKeeper
    # Unix seconds.
    clock: Callable[[], float]
    hub: SessionHub = field(default_factory=SessionHub)
    changes: Changes = field(default_factory=Changes)
    golden: GoldenPlan = field(default_factory=GoldenPlan)
    # Called whenever leases or the number of active studies may have changed.
    on_leases: Callable[[], None] = lambda: None
    # Called instead when the state of a lease has changed.
    on_moved: Callable[[], None] = lambda: None
    # Called when a result was committed or what people want of devices has changed.
    on_result: Callable[[], None] = lambda: None
    # Set where another controller leads: then people may read, and nobody else is served.
    standby: Standby | None = None
    # Serials of the local operator's certificates that were renewed since this controller listens.
    earlier_operators: set[str] = field(default_factory=set)
    # Where controllers listen for agents, the leader first; empty where there is one only.
    agent_addresses: tuple[str, ...] = ()
    # Whether nobody else can lead at this moment: shared files are removed only then.
    leads_for_certain: Callable[[], bool] = lambda: True
    # Planning puts blobs that nothing refers to yet; garbage collection must wait for it.
    planning: asyncio.Lock = field(default_factory=asyncio.Lock)
    # A commit checks that its blobs are there; they must not go before it is done.
    committing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def announce(self, study_ids: Iterable[str]) -> None:
        """Tells watchers, the timer and idle agents that studies have moved on."""
        touched = [study_id for study_id in study_ids if study_id]
        (self.on_moved if touched else self.on_leases)()
        self.changes.touch(*touched)

    async def wake_idle(self) -> None:
        """Wakes the agents that do not measure: a timed phase must not be disturbed by a hint."""
        activity = await self.store.ask(lambda store: store.activity())
        for device_id in sorted(self.hub.connected() - activity.measuring):
            self.hub.wake(device_id)

    def lease_timer(self) -> LeaseTimer:
        """Makes the timer that ends leases; `on_leases` must poke it and `on_moved` replan it."""
        return LeaseTimer(
            next_deadline=lambda: self.store.ask(lambda store: store.next_deadline()),
            expire=self.expire,
            clock=self.clock,
        )

    async def expire(self) -> None:
        """Ends the leases whose time is up."""
        expired = await self.store.ask(lambda store: store.expire_leases(now_unix_s=self.clock()))
        await self.announce(expired.touched)
        if expired.freed:
            await self.wake_idle()

    async def tell_watchers_of_devices(self) -> None:
        """Lets watchers say anew why nothing runs, unless something is being measured."""
        if self.changes.has_waiting():
            activity = await self.store.ask(lambda store: store.activity())
            if activity.measuring:
                return
        self.changes.touch_all()
