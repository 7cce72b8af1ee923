"""The controllers of one database: where each listens, which of them leads, and since when.

Every function works inside the caller's transaction. Who may lead is settled
elsewhere, by a lock that the database holds for one of them (`seat.py`); here
it is only written down, with a number that grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgerig.errors import UnreachableError
from edgerig_controller.store import tables
from edgerig_controller.store.fleet import Reader

_SLOT = 1
# One that was not seen for so long is no longer named to agents.
FORGOTTEN_S = 7 * 86400.0
_EPOCH = select(tables.Leadership.epoch).where(tables.Leadership.slot == _SLOT)


@dataclass(frozen=True)
class Member:
    """A controller and where it listens; addresses are host:port."""

    controller_id: str
    control: str
    agents: str
    enroll: str


@dataclass(frozen=True)
class MemberRow:
    """A controller as the others know it."""

    member: Member
    seen_unix_s: float
    leads: bool


class ControllerStore:
    """What controllers tell each other through the database, one transaction each.

    `write` is refused to who does not lead, `tell` is open to every controller.
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Session]],
        tell: Callable[[], AbstractContextManager[Session]],
        read: Reader,
    ) -> None:
        self._write = write
        self._tell = tell
        self._read = read

    def register(self, member: Member, *, now_unix_s: float) -> None:
        """Says that a controller is there, and where."""
        with self._tell() as session:
            _register(session, member, now_unix_s)

    def members(self, *, now_unix_s: float) -> list[MemberRow]:
        """Lists the controllers that were there lately, the leader first."""
        return self._read(lambda session: _members(session, now_unix_s))

    def claim(self, controller_id: str, *, now_unix_s: float) -> int:
        """Writes down that this controller leads now, and returns the epoch of its writes.

        The caller holds the seat; from here on the writes of earlier leaders are refused.
        """
        with self._tell() as session:
            row = session.get_one(tables.Leadership, _SLOT)
            row.epoch += 1
            row.controller_id, row.since_unix_s, row.connected = controller_id, now_unix_s, []
            return row.epoch

    def settle_files(self, prepare: Callable[[str | None], str]) -> None:
        """Settles which folder holds the files of this store.

        `prepare` is told which one does, None if that is open, and returns which
        one shall; it runs in the writers' turn.
        """
        with self._tell() as session:
            row = session.get(tables.Leadership, _SLOT)
            files_id = prepare(None if row is None else row.files_id)
            if row is None:
                session.add(
                    tables.Leadership(
                        slot=_SLOT,
                        files_id=files_id,
                        epoch=0,
                        controller_id="",
                        since_unix_s=0.0,
                        connected=[],
                    )
                )

    def note_connected(self, device_ids: Sequence[str]) -> None:
        """Tells the others which devices are connected to the leader."""
        with self._write() as session:
            session.get_one(tables.Leadership, _SLOT).connected = list(device_ids)

    def connected(self) -> frozenset[str]:
        """Returns which devices are connected to the leader, as it last told."""
        names = self._read(lambda session: session.scalar(select(tables.Leadership.connected)))
        return frozenset(names or ())


def check_epoch(session: Session, epoch: int) -> None:
    """Lets only the present leader write; call it when the writers' turn has come.

    Raises:
        UnreachableError: another one leads, or none.
    """
    # Before anybody has led the stored epoch is 0, which is nobody's.
    if epoch > 0 and session.scalar(_EPOCH) == epoch:
        return
    raise not_leading(_leader(session))


def not_leading(leader: Member | None) -> UnreachableError:
    """Words the refusal of a controller that stands by."""
    if leader is None:
        return UnreachableError("This controller stands by, and none leads yet.", hint="the same in a moment")
    return UnreachableError(
        f"This controller stands by; the one that leads listens for people at {leader.control}, "
        f"for agents at {leader.agents}.",
        hint="edgerig controllers",
    )


def _leader(session: Session) -> Member | None:
    row = session.scalars(
        select(tables.Controller).join(
            tables.Leadership, tables.Leadership.controller_id == tables.Controller.controller_id
        )
    ).first()
    return None if row is None else _member(row)


def _register(session: Session, member: Member, now_unix_s: float) -> None:
    row = session.get(tables.Controller, member.controller_id)
    if row is None:
        row = tables.Controller(controller_id=member.controller_id)
        session.add(row)
    row.control, row.agents, row.enroll = member.control, member.agents, member.enroll
    row.seen_unix_s = now_unix_s


def _members(session: Session, now_unix_s: float) -> list[MemberRow]:
    leader = session.scalar(select(tables.Leadership.controller_id))
    rows = session.scalars(
        select(tables.Controller)
        .where(tables.Controller.seen_unix_s > now_unix_s - FORGOTTEN_S)
        .order_by(tables.Controller.controller_id)
    )
    found = [MemberRow(_member(row), row.seen_unix_s, row.controller_id == leader) for row in rows]
    return sorted(found, key=lambda row: not row.leads)


def _member(row: tables.Controller) -> Member:
    return Member(row.controller_id, row.control, row.agents, row.enroll)
