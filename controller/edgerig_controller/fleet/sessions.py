"""The streams of connected agents: who is there, and the signals on their way out.

Signals are hints. Losing one is harmless, so a slow agent's queue is bounded
and overflows silently. Knows nothing of gRPC or of the database.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from edgerig.errors import RejectedError
from edgerig.v1.agent_service_pb2 import Cancel, Goodbye, SessionResponse, Wake

_QUEUE_MAX = 64


@dataclass(eq=False)
class Connection:
    """One stream; `None` in the queue ends it."""

    device_id: str
    session_epoch: int
    # Why the device takes no work, in its own words; '' while it does.
    refusal: str = ""
    outgoing: asyncio.Queue[SessionResponse | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=_QUEUE_MAX)
    )

    def send(self, signal: SessionResponse) -> None:
        """Queues a signal, or drops it when the agent does not read."""
        if not self.outgoing.full():
            self.outgoing.put_nowait(signal)

    def end(self) -> None:
        """Ends the stream after what is queued; unsent signals give way if need be."""
        if self.outgoing.full():
            self.outgoing.get_nowait()
        self.outgoing.put_nowait(None)


class SessionHub:
    """All streams, at most one per device."""

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        # Those of another controller, where that one leads.
        self._elsewhere: frozenset[str] = frozenset()

    def connect(self, device_id: str, session_epoch: int) -> Connection:
        """Registers a stream; a newer one of the same device replaces the older at once.

        Raises:
            RejectedError: a newer stream of this device is open.
        """
        older = self._connections.get(device_id)
        if older is not None:
            if older.session_epoch > session_epoch:
                raise RejectedError(f"A newer session of {device_id} is open.")
            older.end()
        connection = Connection(device_id, session_epoch)
        self._connections[device_id] = connection
        return connection

    def disconnect(self, connection: Connection) -> bool:
        """Forgets a stream; tells whether the device is gone with it (not merely replaced)."""
        if self._connections.get(connection.device_id) is not connection:
            return False
        del self._connections[connection.device_id]
        return True

    def connected(self) -> frozenset[str]:
        """Returns the ids of the devices that are there."""
        return self._elsewhere.union(self._connections)

    def mirror(self, device_ids: frozenset[str]) -> None:
        """Notes which devices are connected to the controller that leads."""
        self._elsewhere = device_ids

    def refuse(self, device_id: str, reason: str) -> bool:
        """Notes why a device takes no work ('' = it does); tells whether that is news."""
        connection = self._connections.get(device_id)
        if connection is None or connection.refusal == reason:
            return False
        connection.refusal = reason
        return True

    def refusals(self) -> dict[str, str]:
        """Returns the reasons of the devices that are there and take no work."""
        return {name: found.refusal for name, found in self._connections.items() if found.refusal}

    def wake(self, device_id: str) -> None:
        """Tells a device that there may be work."""
        self._send(device_id, SessionResponse(wake=Wake()))

    def cancel(self, device_id: str, attempt_id: str, reason: str) -> None:
        """Tells a device that an attempt is withdrawn."""
        self._send(device_id, SessionResponse(cancel=Cancel(attempt_id=attempt_id, reason=reason)))

    def drop(self, device_id: str) -> None:
        """Ends the stream of a device whose certificate was replaced."""
        connection = self._connections.pop(device_id, None)
        if connection is not None:
            connection.end()

    def goodbye(self, *, agent_may_exit: bool) -> None:
        """Tells every agent that the controller ends, and ends the streams."""
        for connection in self._connections.values():
            connection.send(SessionResponse(goodbye=Goodbye(agent_may_exit=agent_may_exit)))
            connection.end()

    def _send(self, device_id: str, signal: SessionResponse) -> None:
        connection = self._connections.get(device_id)
        if connection is not None:
            connection.send(signal)
