"""Several controllers on one PostgreSQL database: one leads, the others stand by and answer readers.

Who leads is settled by the database (`store.seat`); the writes of a leader carry
its epoch and are refused once another one has claimed the next
(`store.controllers`), so that a controller that was frozen while it led can
change nothing when it goes on. Leading is `leading`'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import make_url

from edgerig.deadlines import end
from edgerig.errors import EdgerigError, StorageError, UnreachableError
from edgerig_controller import home as homes
from edgerig_controller import shared
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import Authority
from edgerig_controller.home import Endpoint, Home
from edgerig_controller.leading import (
    GRACE_S,
    OnReady,
    Options,
    advertised,
    keep_operator,
    lead,
    listen,
    publish,
)
from edgerig_controller.rpc.frame import Frame, Standby
from edgerig_controller.rpc.linger import Linger
from edgerig_controller.rpc.listeners import Ports, bracketed
from edgerig_controller.store.controllers import Member
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.seat import Seat, boot_clock
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper

_log = logging.getLogger(__name__)

# How often a controller looks at what the others have written, and says that it is there.
_LOOK_S = 2.0
_SAY_S = 60.0


async def serve_in_turn(home: Home, options: Options, stopping: asyncio.Event, *, on_ready: OnReady) -> None:
    """Stands by, leads when the turn comes, and so on until it is stopped.

    Raises:
        UsageError: the address cannot be listened on, or the shared folder is another store's.
        StorageError: the database or the shared folder cannot be used.
    """
    repository = await asyncio.to_thread(Repository.open, home)
    seat = Seat(make_url(home.database), clock=boot_clock)
    try:
        authority = await asyncio.to_thread(shared.settle, home, repository)
        homes.write_store(home)
        place = _Place(home, authority, repository, _controller_id(home))
        await _Turns(place, options, seat, stopping, on_ready).run()
    finally:
        seat.leave()
        homes.remove_endpoint(home)
        await asyncio.to_thread(repository.close)


@dataclass(frozen=True)
class _Place:
    """What is the same in every turn."""

    home: Home
    authority: Authority
    repository: Repository
    controller_id: str

    def frame(self, repository: Repository) -> Frame:
        # Two controllers must not write into one piece of an upload.
        blobs = BlobStore(self.home.blobs_dir, partial=f"partial-{self.controller_id}")
        return Frame(
            home=self.home,
            authority=self.authority,
            store=StoreThread(repository, self.repository.leading(0)),
            blobs=blobs,
            traces=TraceKeeper(self.home, blobs),
            clock=time.time,
        )


class _Turns:
    """One controller's turns at standing by and at leading."""

    def __init__(
        self, place: _Place, options: Options, seat: Seat, stopping: asyncio.Event, on_ready: OnReady
    ) -> None:
        self._place = place
        self._options = options
        self._seat = seat
        self._stopping = stopping
        self._on_ready = on_ready
        self._member: Member | None = None
        self._said_s = float("-inf")

    async def run(self) -> None:
        while not self._stopping.is_set():
            if await self._seat.try_take() or await self._stand_by():
                await self._lead()

    async def _stand_by(self) -> bool:
        """Answers readers until the seat is this controller's, or until it is to end; tells which."""
        frame = self._place.frame(self._place.repository.leading(0))
        frame.standby = Standby()
        activity = Linger(is_idle=_never, end=self._stopping.set)
        listeners = await listen(frame, self._options, activity, self._stopping.set)
        self._listening(publish(frame, self._options, listeners))
        _log.info("stands by")
        taking = asyncio.ensure_future(self._seat.take())
        looking = asyncio.ensure_future(self._look(frame))
        stopping = asyncio.ensure_future(self._stopping.wait())
        keeping = asyncio.ensure_future(keep_operator(frame))
        try:
            await asyncio.wait({taking, stopping, looking}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
        finally:
            for task in (taking, looking, stopping, keeping):
                await end(task)
            await listeners.stop(0)
            await asyncio.to_thread(frame.store.close)
        return taking.done() and not taking.cancelled() and not self._stopping.is_set()

    async def _lead(self) -> None:
        """Leads until the seat is lost or the process is to end."""
        place, seat = self._place, self._seat
        try:
            epoch = await asyncio.to_thread(
                place.repository.controllers.claim, place.controller_id, now_unix_s=time.time()
            )
        except StorageError as error:
            _log.warning("cannot lead: %s", error.message)
            seat.leave()
            return
        _log.info("leads, epoch %d", epoch)
        frame = place.frame(place.repository.leading(epoch))
        frame.leads_for_certain = seat.is_certain
        ended = asyncio.Event()

        async def while_seated() -> None:
            await seat.keep()
            ended.set()

        async def until_stopped() -> None:
            await self._stopping.wait()
            ended.set()

        try:
            await asyncio.to_thread(frame.blobs.recover)
            await lead(
                frame,
                self._options,
                ended,
                stop=self._stopping.set,
                on_ready=self._listening,
                also=[while_seated, until_stopped, lambda: self._tell(frame)],
                # Who has lost the seat lets nobody wait for an answer that it cannot give.
                grace_s=lambda: GRACE_S if self._stopping.is_set() else 0.0,
            )
        except (StorageError, UnreachableError) as error:
            _log.warning("no longer leads: %s", error.message)
        finally:
            await asyncio.to_thread(frame.store.close)
            seat.leave()

    def _listening(self, endpoint: Endpoint) -> None:
        """Keeps the ports for the next turn, and notes where others find this controller."""
        control, agents, enroll = (
            int(address.rpartition(":")[2])
            for address in (endpoint.control, endpoint.agents, endpoint.enroll)
        )
        self._options = replace(self._options, ports=Ports(control, agents, enroll))
        name = bracketed(advertised(self._options))
        self._member = Member(
            self._place.controller_id, f"{name}:{control}", f"{name}:{agents}", f"{name}:{enroll}"
        )
        self._said_s = float("-inf")
        self._on_ready(endpoint)

    async def _look(self, frame: Frame) -> None:
        """Follows what the leader writes: where it is, who is connected to it, and how studies move."""
        assert frame.standby is not None
        while True:
            try:
                await self._say(frame)
                members = await frame.store.ask(
                    lambda store: store.controllers.members(now_unix_s=time.time())
                )
                frame.standby.leader = next((row.member for row in members if row.leads), None)
                frame.hub.mirror(await frame.store.ask(lambda store: store.controllers.connected()))
            except EdgerigError as error:
                # The seat is waited for until the database is back; so are the readers.
                _log.debug("the database does not answer: %s", error)
            if frame.changes.has_waiting():
                frame.changes.touch_all()
            await asyncio.sleep(_LOOK_S)

    async def _tell(self, frame: Frame) -> None:
        """Tells the other controllers who is connected, and the agents where the others are."""
        told: frozenset[str] = frozenset()
        while True:
            await self._say(frame)
            members = await frame.store.ask(lambda store: store.controllers.members(now_unix_s=time.time()))
            addresses = tuple(row.member.agents for row in members) if len(members) > 1 else ()
            if addresses != frame.agent_addresses:
                frame.agent_addresses = addresses
                await frame.wake_idle()
            connected = frame.hub.connected()
            if connected != told:
                await frame.store.ask(partial(_note, names=sorted(connected)))
                told = connected
            await asyncio.sleep(_LOOK_S)

    async def _say(self, frame: Frame) -> None:
        """Says now and then that this controller is there."""
        member, now_s = self._member, time.monotonic()
        if member is not None and now_s - self._said_s >= _SAY_S:
            await frame.store.ask(lambda store: store.controllers.register(member, now_unix_s=time.time()))
            self._said_s = now_s


def _note(store: Repository, *, names: list[str]) -> None:
    store.controllers.note_connected(names)


async def _never() -> bool:
    return False


def _controller_id(home: Home) -> str:
    """Returns by which name the other controllers know this data folder; made at first use."""
    path = home.root / "controller.id"
    try:
        if path.exists():
            return path.read_text(encoding="ascii").strip()
        made = uuid.uuid4().hex[:12]
        identity.write_private(path, f"{made}\n".encode())
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} cannot be used: {error}.", hint=f"ls -l {path}") from error
    return made
