"""The controller's listeners: agents and control with client certificates, enroll without.

gRPC can require client certificates or ignore them, not both on one port, so
each service has a listener of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import grpc
import grpc.aio

from edgerig.channel import SERVER_OPTIONS
from edgerig.errors import UsageError
from edgerig.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from edgerig.v1.batch_service_pb2_grpc import add_BatchServiceServicer_to_server
from edgerig.v1.control_service_pb2_grpc import add_ControlServiceServicer_to_server
from edgerig.v1.enroll_service_pb2_grpc import add_EnrollServiceServicer_to_server
from edgerig.v1.fleet_service_pb2_grpc import add_FleetServiceServicer_to_server
from edgerig_controller.fleet.identity import KeyPair
from edgerig_controller.rpc.agents import AgentService
from edgerig_controller.rpc.batches import BatchService
from edgerig_controller.rpc.control import ControlService
from edgerig_controller.rpc.enroll import EnrollService
from edgerig_controller.rpc.fleet import FleetService
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.gate import LeaderGate, PeopleGate
from edgerig_controller.rpc.intake import Intake
from edgerig_controller.rpc.interceptors import Activity, Guard
from edgerig_controller.rpc.rotation import ServerCertificate

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Wanted port numbers; 0 takes a free one."""

    control: int = 0
    agents: int = 0
    enroll: int = 0


@dataclass
class Listeners:
    """The running servers and the ports they got. `insecure_control` is 0 unless asked for."""

    control_port: int = 0
    agents_port: int = 0
    enroll_port: int = 0
    insecure_control_port: int = 0
    _servers: list[grpc.aio.Server] = field(default_factory=list)

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls and gives the present ones some time to end."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))


async def open_listeners(
    frame: Frame,
    server_pair: KeyPair,
    *,
    host: str,
    advertise: str,
    ports: Ports,
    activity: Activity,
    stop: Callable[[], None],
    insecure_loopback: bool,
    current_pair: Callable[[], KeyPair] | None = None,
) -> Listeners:
    """Starts all listeners of a controller.

    `current_pair` returns the certificate to present from now on; it is asked
    at a handshake, at most once an hour.

    Raises:
        UsageError: a wanted port or address cannot be had.
    """
    listeners = Listeners()
    certificate = ServerCertificate(
        server_pair, frame.authority.ca_pem, current_pair or (lambda: server_pair), time.monotonic
    )
    # Credentials of their own for each listener: gRPC lets them be used once.
    for_control, for_agents = (certificate.credentials(mutual=True) for _ in range(2))
    for_enroll = certificate.credentials(mutual=False)
    intake = Intake(frame)
    people = _people_services(frame, intake, listeners, advertise, stop)
    agents, enroll = AgentService(frame, intake), EnrollService(frame)
    listeners.control_port = await _open(
        listeners, people, host, ports.control, for_control, Guard(activity, PeopleGate(frame))
    )
    listeners.agents_port = await _open(
        listeners,
        partial(add_AgentServiceServicer_to_server, agents),
        host,
        ports.agents,
        for_agents,
        Guard(gate=LeaderGate(frame)),
    )
    listeners.enroll_port = await _open(
        listeners,
        partial(add_EnrollServiceServicer_to_server, enroll),
        host,
        ports.enroll,
        for_enroll,
        Guard(gate=LeaderGate(frame)),
    )
    if insecure_loopback:
        gate = PeopleGate(frame, trust_loopback=True)
        listeners.insecure_control_port = await _open(
            listeners, people, _LOOPBACK, 0, None, Guard(activity, gate)
        )
    return listeners


def _people_services(
    frame: Frame, intake: Intake, listeners: Listeners, advertise: str, stop: Callable[[], None]
) -> Callable[[grpc.aio.Server], None]:
    """Makes the services that people use; addresses are asked for once the ports are known."""
    name = bracketed(advertise)
    control = ControlService(
        frame,
        addresses=lambda: (f"{name}:{listeners.enroll_port}", f"{name}:{listeners.agents_port}"),
        stop=stop,
    )
    fleet = FleetService(
        frame, addresses=lambda: (f"{name}:{listeners.enroll_port}", f"{name}:{listeners.control_port}")
    )

    batches = BatchService(frame, intake)

    def add(server: grpc.aio.Server) -> None:
        add_BatchServiceServicer_to_server(batches, server)
        add_ControlServiceServicer_to_server(control, server)
        add_FleetServiceServicer_to_server(fleet, server)

    return add


async def _open(
    listeners: Listeners,
    add: Callable[[grpc.aio.Server], None],
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None,
    guard: Guard,
) -> int:
    server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=[guard])
    add(server)
    address = f"{bracketed(host)}:{port}"
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        await listeners.stop(0)
        raise UsageError(
            f"The controller cannot listen on {address}.", hint="choose another --listen address or port"
        ) from error
    await server.start()
    listeners._servers.append(server)
    return int(bound)


def bracketed(host: str) -> str:
    """Writes a host as an address with a port needs it."""
    return f"[{host}]" if ":" in host else host
