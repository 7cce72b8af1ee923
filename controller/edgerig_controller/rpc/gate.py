"""Who may call what on the control listener, and the audit of it.

Every method that is not named as a read needs the role operator, so that a
method added later is closed until somebody opens it. What changes something
is written to the audit before it is carried out; when that cannot be written
the call is refused.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from edgerig.errors import EdgerigError
from edgerig_controller.fleet.identity import Peer, stored_serial
from edgerig_controller.fleet.tokens import LOCAL_OPERATOR
from edgerig_controller.rpc.callers import Caller, caller, set_caller
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.interceptors import Denied, to_status
from edgerig_controller.rpc.peers import certificate_serial, peer_in, require_person
from edgerig_controller.store.audit import AuditRow

_log = logging.getLogger(__name__)

# In the trailing metadata of a refusal: where agents find the controller that leads.
LEADER_KEY = "edgerig-leader"
READS = frozenset(
    {
        *("GetStatus", "WatchStudy", "FollowAttempt"),
        *("ListDevices", "GetHealth", "GetInventory", "ListPeople", "ListAudit", "ListBatches"),
    }
)
# Asked of this process, not of the fleet.
_OF_THIS_PROCESS = frozenset({"Shutdown"})
# Pieces of what another call is written down for.
_PIECES = frozenset({"ReadBatchBlob", "PutBatchChunk"})
# Fields that say what a call is about, the first that is there; and what else is worth keeping.
_SUBJECTS = ("device_id", "study_id", "name", "attempt_id", "batch_id", "origin")
_DETAILS = {
    "AddDevice": ("labels", "replace"),
    "AddPerson": ("role", "replace"),
    "ApplyInventory": ("prune", "dry_run"),
    "CollectGarbage": ("dry_run",),
    "ExportBatch": ("study_id", "trial_limit"),
    "ResetHealth": ("rebaseline",),
    "RevokeDevice": ("serial", "reason"),
    "SetDeviceMode": ("mode", "reason", "for_s", "force"),
    "SubmitStudy": ("priority", "reuse"),
}
# The same refusal of the same caller is written once in this time: a script that
# knocks all day must not fill the database.
_REPEAT_S = 60.0
_REMEMBERED = 1024


class LeaderGate:
    """Lets devices in where this controller leads."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def admit(
        self,
        method: str,  # noqa: ARG002 - every gate takes them
        request: Any,  # noqa: ARG002
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Lets a call in, or ends it with the address of the controller that leads."""
        standby = self._frame.standby
        if standby is None:
            return
        code, details, metadata = to_status(standby.refusal())
        if standby.leader is not None:
            metadata = (*metadata, (LEADER_KEY, standby.leader.agents))
        await context.abort(code, details, metadata)

    async def note_failure(self, method: str, request: Any, error: Exception) -> None:
        """Keeps no record."""


class PeopleGate:
    """Lets people in by role. With `trust_loopback` no certificate is asked for."""

    def __init__(self, frame: Frame, *, trust_loopback: bool = False) -> None:
        self._frame = frame
        self._trust_loopback = trust_loopback
        self._refused: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def admit(self, method: str, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Lets a call in.

        Raises:
            Denied: the caller is nobody here, or their role does not allow the method.
            UnreachableError: the method needs the leader, and another controller leads.
        """
        name = method.rpartition("/")[2]
        try:
            found = await self._caller(context)
            if name not in READS and found.role != "operator":
                raise Denied(
                    f"{found.name} is a viewer; {name} needs an operator.",
                    hint=f"ask an operator for another role: edgerig person add {found.name} "
                    "--role operator --replace",
                    who=found.name,
                    role=found.role,
                )
        except Denied as error:
            await self._note_refusal(error, name, request, context)
            raise
        set_caller(found)
        if name not in READS:
            if self._frame.standby is not None and name not in _OF_THIS_PROCESS:
                raise self._frame.standby.refusal()
            if name not in _PIECES:
                await self._write(found, name, request, "allowed", _detail(name, request))

    async def note_failure(self, method: str, request: Any, error: Exception) -> None:
        """Notes that a call that was let in did not succeed."""
        name = method.rpartition("/")[2]
        if isinstance(error, Denied) or name in READS or self._frame.standby is not None:
            return
        detail = error.message if isinstance(error, EdgerigError) else "a fault of the controller"
        await self._write(caller(), name, request, type(error).__name__, detail)

    async def _caller(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        if self._trust_loopback:
            return Caller(LOCAL_OPERATOR, "operator")
        frame = self._frame
        peer = require_person(context, frame.authority.fleet_id)
        serial = certificate_serial(context)
        fault = await self._fault(peer, serial)
        if fault:
            raise Denied(fault, who=peer.name, role=peer.role)
        return Caller(peer.name, peer.role)

    async def _fault(self, peer: Peer, serial: str) -> str:
        if peer.name == LOCAL_OPERATOR:
            present = stored_serial(self._frame.home.ca_dir / "operator.pem")
            if serial == present or serial in self._frame.earlier_operators:
                return ""
            return "The certificate of the local operator is not the one in the data folder."
        now_unix_s = self._frame.clock()
        return await self._frame.store.ask(
            lambda store: store.fleet.person_fault(serial, peer.name, peer.role, now_unix_s=now_unix_s)
        )

    async def _note_refusal(
        self, error: Denied, name: str, request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        peer = peer_in(context)
        who = error.who or (f"{peer.role} {peer.name}" if peer else str(context.peer()))
        now = self._frame.clock()
        key = (who, name, str(error))
        last = self._refused.pop(key, None)
        self._refused[key] = now
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)
        if last is None or now - last >= _REPEAT_S:
            await self._write(Caller(who, error.role), name, request, "denied", str(error))

    async def _write(self, by: Caller, name: str, request: Any, outcome: str, detail: str) -> None:
        row = AuditRow(self._frame.clock(), by.name, by.role, name, _subject(request), outcome, detail)
        await self._frame.store.ask(lambda store: store.fleet.add_audit(row))


def _subject(request: Any) -> str:
    if isinstance(request, Message):
        for name in _SUBJECTS:
            if name in request.DESCRIPTOR.fields_by_name and (value := getattr(request, name)):
                return str(value)
    return ""


def _detail(name: str, request: Any) -> str:
    words = []
    for field in _DETAILS.get(name, ()):
        value = getattr(request, field)
        descriptor = request.DESCRIPTOR.fields_by_name[field]
        if descriptor.enum_type is not None:
            known = descriptor.enum_type.values_by_number.get(value)
            value = known.name.rpartition("_")[2].lower() if known else value
        if value:
            words.append(f"{field} {', '.join(value) if field == 'labels' else value}")
    return "; ".join(words)
