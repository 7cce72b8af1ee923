"""FleetService: devices as people run them, inventory, people and the audit.

Who may call what is `rpc.gate`'s. Every change is committed before the reply;
devices and watchers are told afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio

from edgerig.errors import NotFoundError, UsageError
from edgerig.v1 import fleet_service_pb2 as pb
from edgerig.v1.fleet_service_pb2_grpc import FleetServiceServicer
from edgerig_controller.fleet import inventory, tokens
from edgerig_controller.fleet.administration import Mode
from edgerig_controller.rpc import certificates, fleet_view, golden
from edgerig_controller.rpc.callers import caller
from edgerig_controller.rpc.checks import check_count
from edgerig_controller.rpc.follow import follow_attempt
from edgerig_controller.rpc.frame import Frame

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_DECLARED = 10_000
_MODES: dict[int, Mode] = {
    pb.DEVICE_MODE_ACTIVE: "active",
    pb.DEVICE_MODE_DRAIN: "drain",
    pb.DEVICE_MODE_MAINTENANCE: "maintenance",
    pb.DEVICE_MODE_HOLD: "hold",
}


async def refusals(frame: Frame) -> dict[str, str]:
    """Returns why devices take or get no work, by device id."""
    overview = await frame.store.look(lambda store: store.fleet.standings(now_unix_s=frame.clock()))
    ours = {device_id: reason for device_id, place in overview.items() if (reason := place.refusal())}
    return {**frame.hub.refusals(), **ours}


class FleetService(FleetServiceServicer):
    """Serves the people who run the fleet. `addresses` returns (enroll, control) as people reach them."""

    def __init__(self, frame: Frame, *, addresses: Callable[[], tuple[str, str]]) -> None:
        self._frame = frame
        self._addresses = addresses

    async def ListDevices(
        self,
        request: pb.ListDevicesRequest,
        context: Context,
    ) -> pb.ListDevicesResponse:
        return pb.ListDevicesResponse(devices=await self._devices())

    async def SetDeviceMode(
        self,
        request: pb.SetDeviceModeRequest,
        context: Context,
    ) -> pb.SetDeviceModeResponse:
        mode = _MODES.get(request.mode)
        if mode is None:
            raise UsageError(f"There is no device mode {request.mode}.")
        frame, by = self._frame, caller().owner
        await frame.store.ask(
            lambda store: store.fleet.set_mode(
                request.device_id,
                mode,
                by=by,
                reason=request.reason,
                for_s=request.for_s,
                force=request.force,
                now_unix_s=frame.clock(),
            )
        )
        await self._standing_changed()
        device = next(item for item in await self._devices() if item.device_id == request.device_id)
        return pb.SetDeviceModeResponse(device=device)

    async def RevokeDevice(
        self,
        request: pb.RevokeDeviceRequest,
        context: Context,
    ) -> pb.RevokeDeviceResponse:
        serials = await certificates.revoke(
            self._frame, request.device_id, request.serial.lower(), request.reason
        )
        await self._frame.tell_watchers_of_devices()
        return pb.RevokeDeviceResponse(serials=serials)

    async def ResetHealth(
        self,
        request: pb.ResetHealthRequest,
        context: Context,
    ) -> pb.ResetHealthResponse:
        by = caller().owner
        await self._frame.store.ask(
            lambda store: store.fleet.reset_health(
                request.device_id, rebaseline=request.rebaseline, by=by, now_unix_s=self._frame.clock()
            )
        )
        await self._standing_changed()
        return pb.ResetHealthResponse()

    async def RunGolden(
        self,
        request: pb.RunGoldenRequest,
        context: Context,
    ) -> pb.RunGoldenResponse:
        rows = await self._frame.store.ask(lambda store: store.devices())
        if request.device_id not in {row.device_id for row in rows}:
            raise NotFoundError(f"There is no device {request.device_id[:80]!r}.", hint="edgerig devices")
        return pb.RunGoldenResponse(
            study_id=await golden.submit(self._frame, self._frame.golden, request.device_id)
        )

    async def GetHealth(
        self,
        request: pb.GetHealthRequest,
        context: Context,
    ) -> pb.GetHealthResponse:
        frame = self._frame
        places = await frame.store.look(lambda store: store.fleet.standings(now_unix_s=frame.clock()))
        if request.device_id not in places:
            raise NotFoundError(f"There is no device {request.device_id[:80]!r}.", hint="edgerig devices")
        points = await frame.store.look(lambda store: store.fleet.health_points(request.device_id))
        return fleet_view.health(places[request.device_id].health, points)

    async def ApplyInventory(
        self,
        request: pb.ApplyInventoryRequest,
        context: Context,
    ) -> pb.ApplyInventoryResponse:
        check_count(request.devices, _MAX_DECLARED, "declared devices")
        devices = [inventory.check(device) for device in request.devices]
        if len({device.device_id for device in devices}) < len(devices):
            raise UsageError("A device is declared twice.")
        by = caller().owner
        changes = await self._frame.store.ask(
            lambda store: store.fleet.apply_inventory(
                devices,
                prune=request.prune,
                dry_run=request.dry_run,
                by=by,
                now_unix_s=self._frame.clock(),
            )
        )
        if not request.dry_run:
            await self._standing_changed()
        return pb.ApplyInventoryResponse(changes=changes)

    async def GetInventory(
        self,
        request: pb.GetInventoryRequest,
        context: Context,
    ) -> pb.GetInventoryResponse:
        rows = await self._frame.store.ask(lambda store: store.devices())
        declared = await self._frame.store.ask(lambda store: store.fleet.declared())
        return pb.GetInventoryResponse(devices=fleet_view.inventory_devices(rows, declared))

    async def AddPerson(
        self,
        request: pb.AddPersonRequest,
        context: Context,
    ) -> pb.AddPersonResponse:
        frame = self._frame
        name, role = tokens.check_person(request.name), tokens.check_role(request.role)
        ttl_s = tokens.check_ttl(request.ttl_s)
        token, now_unix_s = tokens.new_token(), frame.clock()
        await frame.store.ask(
            lambda store: store.fleet.add_person(
                name,
                role,
                token_sha256=tokens.hash_token(token),
                expires_unix_s=now_unix_s + ttl_s,
                now_unix_s=now_unix_s,
                replace=request.replace,
            )
        )
        enroll_address, control_address = self._addresses()
        return pb.AddPersonResponse(
            token=token,
            ca_spki_sha256=frame.authority.spki_sha256,
            enroll_address=enroll_address,
            control_address=control_address,
        )

    async def ListPeople(
        self,
        request: pb.ListPeopleRequest,
        context: Context,
    ) -> pb.ListPeopleResponse:
        rows = await self._frame.store.look(lambda store: store.fleet.people(now_unix_s=self._frame.clock()))
        return pb.ListPeopleResponse(
            people=[
                pb.Person(
                    name=row.name,
                    role=row.role,
                    state=row.state,
                    added_unix_s=row.added_unix_s,
                    certificate_not_after_unix_s=row.certificate_not_after_unix_s,
                )
                for row in rows
            ]
        )

    async def RevokePerson(
        self,
        request: pb.RevokePersonRequest,
        context: Context,
    ) -> pb.RevokePersonResponse:
        count = await self._frame.store.ask(
            lambda store: store.fleet.revoke_person(request.name, now_unix_s=self._frame.clock())
        )
        return pb.RevokePersonResponse(certificate_count=count)

    async def ListAudit(
        self,
        request: pb.ListAuditRequest,
        context: Context,
    ) -> pb.ListAuditResponse:
        rows = await self._frame.store.look(
            lambda store: store.fleet.audit(
                before_entry_id=request.before_entry_id, limit=request.limit or 100
            )
        )
        return pb.ListAuditResponse(
            entries=[
                pb.AuditEntry(
                    entry_id=row.entry_id,
                    at_unix_s=row.at_unix_s,
                    who=row.who,
                    role=row.role,
                    what=row.what,
                    subject=row.subject,
                    outcome=row.outcome,
                    detail=row.detail,
                )
                for row in rows
            ]
        )

    async def FollowAttempt(
        self,
        request: pb.FollowAttemptRequest,
        context: Context,
    ) -> AsyncIterator[pb.FollowAttemptResponse]:
        async for message in follow_attempt(self._frame, request.attempt_id, follow=request.follow):
            yield message

    async def _devices(self) -> list[pb.FleetDevice]:
        frame = self._frame
        overview = await frame.store.look(lambda store: store.fleet.overview(now_unix_s=frame.clock()))
        return fleet_view.devices(overview, frame.hub.connected(), frame.hub.refusals())

    async def _standing_changed(self) -> None:
        """Lets devices that may work again ask for it, and watchers say anew why nothing runs."""
        self._frame.on_result()
        await self._frame.wake_idle()
        await self._frame.tell_watchers_of_devices()
