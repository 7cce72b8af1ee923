"""ControlService: what people and their programs ask of the controller.

Every change is committed before the reply; agents are told afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio

from edgerig.errors import StudyProblems, UsageError
from edgerig.v1 import control_service_pb2 as pb
from edgerig.v1.control_service_pb2_grpc import ControlServiceServicer
from edgerig.version import VERSION
from edgerig_controller.fleet import tokens
from edgerig_controller.rpc import progress
from edgerig_controller.rpc.callers import caller
from edgerig_controller.rpc.catalogs import wait_for_local_facts
from edgerig_controller.rpc.fleet import refusals
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.planning import plan_for_fleet
from edgerig_controller.store.controllers import not_leading
from edgerig_controller.store.studies import Terms

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

MAX_PRIORITY = 10

# An upload that did not go on for a day has no agent behind it.
_STALE_S = 86400.0


class ControlService(ControlServiceServicer):
    """Serves the people of one fleet; who may call what is `rpc.gate`'s.

    `addresses` returns (enroll, agents) as devices reach them.
    """

    def __init__(
        self,
        frame: Frame,
        *,
        addresses: Callable[[], tuple[str, str]],
        stop: Callable[[], None],
    ) -> None:
        self._frame = frame
        self._addresses = addresses
        self._stop = stop

    async def GetStatus(
        self,
        request: pb.GetStatusRequest,
        context: Context,
    ) -> pb.GetStatusResponse:
        rows = await self._frame.store.look(lambda store: store.devices(facts=False))
        load = await self._frame.store.look(lambda store: store.fleet_load())
        connected = self._frame.hub.connected()
        standby = self._frame.standby
        return pb.GetStatusResponse(
            version=VERSION,
            fleet_id=self._frame.authority.fleet_id,
            pid=os.getpid(),
            devices=[
                pb.DeviceState(
                    device_id=row.device_id,
                    connected=row.device_id in connected,
                    has_inventory=row.facts_unix_s is not None,
                    enrolled=row.enrolled,
                )
                for row in rows
            ],
            open_trial_count=load.open_trial_count,
            leader=standby.leader.control if standby and standby.leader else "",
        )

    async def SubmitStudy(self, request: pb.SubmitStudyRequest, context: Context) -> pb.SubmitStudyResponse:
        frame = self._frame
        terms = Terms(owner=caller().owner, priority=_priority(request.priority))
        await wait_for_local_facts(frame)
        async with frame.planning:
            try:
                prepared = await plan_for_fleet(
                    frame, request.yaml, origin=request.origin or "study", folder=request.folder
                )
            except StudyProblems as error:
                return pb.SubmitStudyResponse(
                    problems=[
                        pb.Problem(place=item.place, message=item.message, hint=item.hint)
                        for item in error.problems
                    ]
                )
            now_unix_s = frame.clock()
            row, attached, reused_count = await frame.store.ask(
                lambda store: store.create_study(
                    prepared, reuse=request.reuse, now_unix_s=now_unix_s, terms=terms
                )
            )
            if attached:
                # Coming back to a study restarts what died in it.
                await frame.store.ask(lambda store: store.resume_study(row.study_id, now_unix_s=now_unix_s))
        await frame.announce([row.study_id])
        await frame.wake_idle()
        return pb.SubmitStudyResponse(
            study_id=row.study_id,
            attached=attached,
            trial_count=row.trial_count,
            reused_count=reused_count,
        )

    async def WatchStudy(
        self, request: pb.WatchStudyRequest, context: Context
    ) -> AsyncIterator[pb.WatchStudyResponse]:
        frame = self._frame
        sent: pb.WatchStudyResponse | None = None
        now_s = asyncio.get_running_loop().time
        while sent is None or not sent.finished:
            seen, began_s = frame.changes.version(request.study_id), now_s()
            current = await frame.store.look(lambda store: store.progress(request.study_id))
            load = await frame.store.look(lambda store: store.fleet_load())
            rows = await frame.store.look(lambda store: store.devices(facts=False))
            message = progress.message(current, load, rows, frame.hub.connected(), await refusals(frame))
            read_s = now_s() - began_s
            if message != sent:
                yield message
                sent = message
            if not message.finished:
                await asyncio.sleep(progress.pause_s(read_s))
                await frame.changes.wait(request.study_id, seen)

    async def CancelStudy(self, request: pb.CancelStudyRequest, context: Context) -> pb.CancelStudyResponse:
        frame = self._frame
        cancelled = await frame.store.ask(
            lambda store: store.cancel_study(request.study_id, now_unix_s=frame.clock())
        )
        for lease in cancelled.held:
            frame.hub.cancel(lease.device_id, lease.attempt_id, lease.cancel_reason)
        await frame.announce([request.study_id])
        return pb.CancelStudyResponse(cancelled_count=cancelled.cancelled_count)

    async def ResumeStudy(self, request: pb.ResumeStudyRequest, context: Context) -> pb.ResumeStudyResponse:
        frame = self._frame
        count = await frame.store.ask(
            lambda store: store.resume_study(request.study_id, now_unix_s=frame.clock())
        )
        await frame.announce([request.study_id])
        await frame.wake_idle()
        return pb.ResumeStudyResponse(requeued_count=count)

    async def DeleteStudy(self, request: pb.DeleteStudyRequest, context: Context) -> pb.DeleteStudyResponse:
        frame = self._frame
        async with frame.planning, frame.committing:
            before = await frame.store.ask(lambda store: store.referenced_blobs())
            await frame.store.ask(
                lambda store: store.delete_study(request.study_id, now_unix_s=frame.clock())
            )
            after = await frame.store.ask(lambda store: store.referenced_blobs())
            freed_bytes = await asyncio.to_thread(self._remove_files, request.study_id, before - after)
        await frame.announce([request.study_id])
        return pb.DeleteStudyResponse(freed_bytes=freed_bytes)

    async def CollectGarbage(
        self, request: pb.CollectGarbageRequest, context: Context
    ) -> pb.CollectGarbageResponse:
        frame = self._frame
        async with frame.planning, frame.committing:
            orphans = await frame.store.ask(lambda store: store.orphans())
            if not request.dry_run:
                await frame.store.ask(lambda store: store.delete_attempts(orphans.attempt_ids))
            referenced = await frame.store.ask(lambda store: store.referenced_blobs())
            count, size_bytes = await asyncio.to_thread(
                self._collect_blobs, referenced, dry_run=request.dry_run
            )
            size_bytes += await asyncio.to_thread(
                frame.blobs.discard_stale, frame.clock() - _STALE_S, dry_run=request.dry_run
            )
        return pb.CollectGarbageResponse(
            blob_count=count,
            blob_bytes=size_bytes,
            attempt_count=len(orphans.attempt_ids),
            attempt_bytes=orphans.file_bytes,
        )

    async def AddDevice(self, request: pb.AddDeviceRequest, context: Context) -> pb.AddDeviceResponse:
        frame = self._frame
        device_id = tokens.check_device_id(request.device_id)
        labels = tokens.check_labels(request.labels)
        ttl_s = tokens.check_ttl(request.ttl_s)
        token = tokens.new_token()
        now_unix_s = frame.clock()
        await frame.store.ask(
            lambda store: store.add_device(
                device_id,
                labels,
                token_sha256=tokens.hash_token(token),
                expires_unix_s=now_unix_s + ttl_s,
                now_unix_s=now_unix_s,
                replace=request.replace,
            )
        )
        enroll_address, agents_address = self._addresses()
        return pb.AddDeviceResponse(
            token=token,
            ca_spki_sha256=frame.authority.spki_sha256,
            enroll_address=enroll_address,
            agents_address=agents_address,
        )

    async def Shutdown(
        self,
        request: pb.ShutdownRequest,
        context: Context,
    ) -> pb.ShutdownResponse:
        self._stop()
        return pb.ShutdownResponse()

    def _remove_files(self, study_id: str, hashes: set[str]) -> int:
        freed_bytes = sum(self._delete(sha256) for sha256 in hashes)
        home = self._frame.home
        for folder in (home.traces_dir / study_id, home.report_dir(study_id)):
            if folder.is_dir():
                freed_bytes += sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
                shutil.rmtree(folder)
        return freed_bytes

    def _collect_blobs(self, referenced: set[str], *, dry_run: bool) -> tuple[int, int]:
        unused = [
            (sha256, size_bytes)
            for sha256, size_bytes in self._frame.blobs.sizes()
            if sha256 not in referenced
        ]
        if not dry_run:
            for sha256, _ in unused:
                self._delete(sha256)
        return len(unused), sum(size_bytes for _, size_bytes in unused)

    def _delete(self, sha256: str) -> int:
        """Removes a blob.

        Raises:
            UnreachableError: another controller may lead by now, and need it.
        """
        # The database refuses what an earlier leader writes; the file system does not.
        if not self._frame.leads_for_certain():
            raise not_leading(None)
        return self._frame.blobs.delete(sha256)


def _priority(priority: int) -> int:
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise UsageError(
            f"A priority of {priority} cannot be.", hint=f"use --priority {-MAX_PRIORITY} to {MAX_PRIORITY}"
        )
    return priority
