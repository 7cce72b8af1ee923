"""What happens to an attempt, as it happens; the worker's own log comes with its result.

While an attempt is measured its device is silent: a log that is read live
would disturb what is measured. So the events of the controller are followed,
and the log is sent once it has been committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from edgerig.v1 import fleet_service_pb2 as pb
from edgerig_controller.fleet.leases import OPEN
from edgerig_controller.rpc.frame import Frame

_LOG_PIECE_BYTES = 128 * 1024
_LOG_MAX_BYTES = 4 * 1024 * 1024


async def follow_attempt(
    frame: Frame, reference: str, *, follow: bool
) -> AsyncIterator[pb.FollowAttemptResponse]:
    """Yields the events of an attempt, then its log and how it ended.

    With `follow` it waits for the end, else it says what is known now.

    Raises:
        NotFoundError: there is no such attempt.
        UsageError: several begin so.
    """
    attempt_id = (await frame.store.ask(lambda store: store.fleet.attempt_place(reference))).attempt_id
    last_event = 0
    while True:
        place = await frame.store.ask(lambda store: store.fleet.attempt_place(attempt_id))
        seen = frame.changes.version(place.study_id)
        events = await frame.store.ask(
            lambda store, last=last_event: store.fleet.attempt_events(attempt_id, after_event_id=last)  # type: ignore[misc]
        )
        for event in events:
            last_event = event.event_id
            yield pb.FollowAttemptResponse(
                at_unix_s=event.at_unix_s, kind="event", text=f"{event.kind} {event.detail}".strip()
            )
        if place.state not in OPEN or not follow:
            break
        await frame.changes.wait(place.study_id, seen)
    if place.log_sha256:
        async for message in _log(frame, place.log_sha256, place.log_bytes):
            yield message
    text = f"{place.state}{' ' + place.status if place.status else ''}"
    yield pb.FollowAttemptResponse(
        at_unix_s=frame.clock(), kind="end", text=f"{text}: {place.failure}" if place.failure else text
    )


async def _log(frame: Frame, sha256: str, size_bytes: int) -> AsyncIterator[pb.FollowAttemptResponse]:
    offset = max(0, size_bytes - _LOG_MAX_BYTES)
    while offset < size_bytes:
        data = await asyncio.to_thread(frame.blobs.read, sha256, offset, _LOG_PIECE_BYTES)
        if not data:
            return
        offset += len(data)
        yield pb.FollowAttemptResponse(kind="log", text=data.decode("utf-8", "replace"))
