"""A controller that leads: the timer of leases, golden trials and listeners, on a frame that may write.

Knows nothing of processes, signals or logs; those are `serve`'s.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from edgerig.errors import EdgerigError
from edgerig_controller import home as homes
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.golden import GoldenPlan
from edgerig_controller.home import Endpoint
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.golden import GoldenKeeper
from edgerig_controller.rpc.linger import LINGER_S, Linger
from edgerig_controller.rpc.listeners import Listeners, Ports, open_listeners

_log = logging.getLogger(__name__)

GRACE_S = 3.0
_OPERATOR_LOOK_S = 86400.0
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_INSECURE_WARNING = (
    "INSECURE: control calls on 127.0.0.1:%d need no certificate. "
    "Every user of this machine can run, delete and stop studies."
)

OnReady = Callable[[Endpoint], None]


@dataclass(frozen=True)
class Options:
    """How to serve. `advertise` are names and addresses by which devices reach this machine."""

    embedded: bool = False
    listen: str = "127.0.0.1"
    advertise: tuple[str, ...] = ()
    ports: Ports = field(default_factory=Ports)
    insecure_loopback: bool = False
    linger_s: float = LINGER_S
    golden: GoldenPlan = field(default_factory=GoldenPlan)


async def lead(
    frame: Frame,
    options: Options,
    ended: asyncio.Event,
    *,
    stop: Callable[[], None],
    on_ready: OnReady,
    also: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    grace_s: Callable[[], float] = lambda: GRACE_S,
) -> None:
    """Serves people, agents and newcomers until `ended` is set, or a part of it fails.

    `stop` is called when a person asks the process to end. `also` are parts that
    run beside its own, from when it listens.

    Raises:
        UsageError: the address cannot be listened on.
        EdgerigError: what a part failed with.
    """
    linger = Linger(is_idle=lambda: _is_idle(frame), end=ended.set, linger_s=options.linger_s)
    timer = frame.lease_timer()
    keeper = GoldenKeeper(frame, options.golden)

    def on_leases() -> None:
        timer.poke()
        linger.poke()

    def on_moved() -> None:
        timer.replan()
        linger.poke()

    frame.golden = options.golden
    frame.on_leases, frame.on_moved, frame.on_result = on_leases, on_moved, keeper.poke
    listeners = await listen(frame, options, linger, stop)
    on_ready(publish(frame, options, listeners))
    try:
        parts = [timer.run(), keeper.run(), keep_operator(frame), *(part() for part in also)]
        parts += [linger.run()] if options.embedded else []
        await _until_ended([asyncio.ensure_future(part) for part in parts], ended)
    finally:
        # The agent of an embedded run may end with its controller.
        frame.hub.goodbye(agent_may_exit=options.embedded)
        homes.remove_endpoint(frame.home)
        await listeners.stop(grace_s())


async def _is_idle(frame: Frame) -> bool:
    load = await frame.store.ask(lambda store: store.fleet_load())
    return not load.active_study_ids and not load.open_attempt_count


async def _until_ended(parts: Sequence[asyncio.Future[None]], ended: asyncio.Event) -> None:
    """Waits for the end; a part that fails ends the controller with its error."""
    waiting = asyncio.ensure_future(ended.wait())
    everything: list[asyncio.Future[Any]] = [*parts, waiting]
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            if part.done():
                part.result()
        # A part that is over has set the end itself.
        await ended.wait()
    finally:
        for item in everything:
            item.cancel()
        await asyncio.gather(*everything, return_exceptions=True)


async def listen(frame: Frame, options: Options, activity: Linger, stop: Callable[[], None]) -> Listeners:
    """Opens the listeners of a controller, with certificates of its own data folder.

    Raises:
        UsageError: the address cannot be listened on.
    """
    home, names = frame.home, _names(options)

    def current_pair() -> identity.KeyPair:
        return identity.ensure_server(home.ca_dir, frame.authority, names, identity.utc_now())

    identity.ensure_operator(home.ca_dir, frame.authority, "local", identity.utc_now())
    return await open_listeners(
        frame,
        current_pair(),
        host=options.listen,
        advertise=advertised(options),
        ports=options.ports,
        activity=activity,
        stop=stop,
        insecure_loopback=options.insecure_loopback,
        current_pair=current_pair,
    )


async def keep_operator(frame: Frame, *, every_s: float = _OPERATOR_LOOK_S) -> None:
    """Renews the certificate of this machine's operator in time, as long as the controller runs."""
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(_renew_operator, frame)


def _renew_operator(frame: Frame) -> None:
    folder = frame.home.ca_dir
    try:
        before = identity.stored_serial(folder / "operator.pem")
        # Commands that run for days go on with what they have.
        frame.earlier_operators.add(before)
        now = datetime.fromtimestamp(frame.clock(), timezone.utc)
        identity.ensure_operator(folder, frame.authority, "local", now)
        if before == identity.stored_serial(folder / "operator.pem"):
            frame.earlier_operators.discard(before)
        else:
            _log.info("the local operator has a new certificate")
    except (EdgerigError, OSError) as error:
        # The old one is good for another month.
        _log.error("the certificate of the local operator was not renewed: %s", error)


def publish(frame: Frame, options: Options, listeners: Listeners) -> Endpoint:
    """Says where the controller listens: to commands on this machine, and in the log."""
    endpoint = _endpoint(frame, options, listeners)
    homes.write_endpoint(frame.home, endpoint)
    _log.info("control %s, agents %s, enroll %s", endpoint.control, endpoint.agents, endpoint.enroll)
    if listeners.insecure_control_port:
        _log.warning(_INSECURE_WARNING, listeners.insecure_control_port)
        sys.stderr.write(_INSECURE_WARNING % listeners.insecure_control_port + "\n")
    return endpoint


def advertised(options: Options) -> str:
    """Returns the name by which others reach this machine."""
    if options.advertise:
        return options.advertise[0]
    return socket.gethostname() if options.listen in _ANY else options.listen


def _names(options: Options) -> list[str]:
    """Returns every name that the server certificate must bear."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *options.advertise]
    if options.listen not in _ANY:
        names.append(options.listen)
    return list(dict.fromkeys(name for name in names if name))


def _endpoint(frame: Frame, options: Options, listeners: Listeners) -> Endpoint:
    # The CLI runs on this machine: it can use loopback wherever loopback is listened on.
    host = "127.0.0.1" if options.listen in _ANY else options.listen
    if ":" in host:
        host = f"[{host}]"
    return Endpoint(
        pid=os.getpid(),
        fleet_id=frame.authority.fleet_id,
        control=f"{host}:{listeners.control_port}",
        agents=f"{host}:{listeners.agents_port}",
        enroll=f"{host}:{listeners.enroll_port}",
        ca_spki_sha256=frame.authority.spki_sha256,
        embedded=options.embedded,
    )
