"""The controller process: puts the parts together, listens, and ends in good order.

`python -m edgerig_controller.serve --data DIR [--embedded]` is the same as
`edgerig serve`. Knows nothing of studies; it owns lock, endpoint file, log,
signals and lifetime.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import logging.handlers
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgerig.errors import EXIT_INTERRUPTED, EXIT_OK, EdgerigError, UsageError
from edgerig_controller import home as homes
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.golden import GoldenPlan
from edgerig_controller.home import Endpoint, Home
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.golden import GoldenKeeper
from edgerig_controller.rpc.linger import LINGER_S, Linger
from edgerig_controller.rpc.listeners import Listeners, Ports, open_listeners
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper

_log = logging.getLogger("edgerig_controller.serve")

_GRACE_S = 3.0
_LOG_BYTES = 4 * 1024 * 1024
_LOG_FILES = 3
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_INSECURE_WARNING = (
    "INSECURE: control calls on 127.0.0.1:%d need no certificate. "
    "Every user of this machine can run, delete and stop studies."
)


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


async def serve(
    home: Home,
    options: Options,
    *,
    on_ready: Callable[[Endpoint], None] = lambda _endpoint: None,
    stop: asyncio.Event | None = None,
) -> None:
    """Runs a controller on a data folder until it is stopped, by `stop`, by a call, or by idleness.

    The caller holds the folder's lock.

    Raises:
        UsageError: the address cannot be listened on.
        StorageError: the data folder cannot be used.
    """
    stopping = stop or asyncio.Event()
    frame = _open_frame(home)
    try:
        await _run(home, frame, options, stopping, on_ready)
    finally:
        homes.remove_endpoint(home)
        # Waits for what is being committed.
        await asyncio.get_running_loop().run_in_executor(None, frame.store.close)


def run(
    home: Home,
    *,
    embedded: bool = False,
    listen: str = "127.0.0.1",
    advertise: Sequence[str] = (),
    ports: Ports | None = None,
    insecure_loopback: bool = False,
    golden: GoldenPlan | None = None,
) -> int:
    """Runs a controller in the foreground and returns an exit code.

    Raises:
        UsageError: another controller uses the folder, or the address cannot be had.
        StorageError: the data folder cannot be used.
    """
    options = Options(
        embedded=embedded,
        listen=check_listen(listen),
        advertise=tuple(advertise),
        ports=ports or Ports(),
        insecure_loopback=insecure_loopback,
        golden=golden or GoldenPlan(),
    )
    with homes.lock(home):
        homes.remove_endpoint(home)
        _log_to_file(home)
        try:
            asyncio.run(_serve_until_signal(home, options))
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except EdgerigError as error:
            _log.error("%s", error)
            raise
        except Exception:
            _log.exception("the controller has a fault")
            raise
    return EXIT_OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `python -m edgerig_controller.serve`."""
    parser = argparse.ArgumentParser(prog="edgerig serve", description="Run an edgerig controller.")
    parser.add_argument("--data", help="data folder (default: $EDGERIG_HOME)")
    parser.add_argument("--embedded", action="store_true", help="end 60 s after the last study")
    parser.add_argument("--listen", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--advertise", action="append", default=[], help="name by which devices reach it")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--agents-port", type=int, default=0)
    parser.add_argument("--enroll-port", type=int, default=0)
    parser.add_argument(
        "--insecure-loopback", action="store_true", help="also take control calls without certificates"
    )
    given = parser.parse_args(arguments)
    try:
        return run(
            homes.resolve(given.data, os.environ),
            embedded=given.embedded,
            listen=given.listen,
            advertise=given.advertise,
            ports=Ports(given.control_port, given.agents_port, given.enroll_port),
            insecure_loopback=given.insecure_loopback,
        )
    except EdgerigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


async def _serve_until_signal(home: Home, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(home, options, stop=stop)


def _open_frame(home: Home) -> Frame:
    authority = identity.open_authority(home.ca_dir, identity.utc_now())
    blobs = BlobStore(home.blobs_dir)
    blobs.recover()
    return Frame(
        home=home,
        authority=authority,
        store=StoreThread(Repository.open(home)),
        blobs=blobs,
        traces=TraceKeeper(home, blobs),
        clock=time.time,
    )


async def _run(
    home: Home,
    frame: Frame,
    options: Options,
    stopping: asyncio.Event,
    on_ready: Callable[[Endpoint], None],
) -> None:
    async def is_idle() -> bool:
        load = await frame.store.ask(lambda store: store.fleet_load())
        return not load.active_study_ids and not load.open_attempt_count

    linger = Linger(is_idle=is_idle, end=stopping.set, linger_s=options.linger_s)
    timer = frame.lease_timer()

    def on_leases() -> None:
        timer.poke()
        linger.poke()

    keeper = GoldenKeeper(frame, options.golden)
    frame.golden = options.golden

    def on_moved() -> None:
        timer.replan()
        linger.poke()

    frame.on_leases, frame.on_moved = on_leases, on_moved
    frame.on_result = keeper.poke
    listeners = await _listen(home, frame, options, linger, stopping)
    endpoint = _endpoint(frame, options, listeners)
    homes.write_endpoint(home, endpoint)
    _log.info("control %s, agents %s, enroll %s", endpoint.control, endpoint.agents, endpoint.enroll)
    if listeners.insecure_control_port:
        _log.warning(_INSECURE_WARNING, listeners.insecure_control_port)
        sys.stderr.write(_INSECURE_WARNING % listeners.insecure_control_port + "\n")
    on_ready(endpoint)
    parts = [timer.run(), keeper.run()] + ([linger.run()] if options.embedded else [])
    await _until_stopped([asyncio.ensure_future(part) for part in parts], stopping)
    # The agent of an embedded run may end with its controller.
    frame.hub.goodbye(agent_may_exit=options.embedded)
    homes.remove_endpoint(home)
    await listeners.stop(_GRACE_S)
    _log.info("ended")


async def _until_stopped(parts: Sequence[asyncio.Future[None]], stopping: asyncio.Event) -> None:
    """Waits for the stop; a part that fails ends the controller with its error."""
    waiting = asyncio.ensure_future(stopping.wait())
    everything: list[asyncio.Future[Any]] = [*parts, waiting]
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            if part.done():
                part.result()
        # A linger that is over has set the stop itself.
        await stopping.wait()
    finally:
        for item in everything:
            item.cancel()
        await asyncio.gather(*everything, return_exceptions=True)


async def _listen(
    home: Home, frame: Frame, options: Options, linger: Linger, stopping: asyncio.Event
) -> Listeners:
    names = _names(options)

    def current_pair() -> identity.KeyPair:
        return identity.ensure_server(home.ca_dir, frame.authority, names, identity.utc_now())

    identity.ensure_operator(home.ca_dir, frame.authority, "local", identity.utc_now())
    return await open_listeners(
        frame,
        current_pair(),
        host=options.listen,
        advertise=_advertised(options),
        ports=options.ports,
        activity=linger,
        stop=stopping.set,
        insecure_loopback=options.insecure_loopback,
        current_pair=current_pair,
    )


def _names(options: Options) -> list[str]:
    """Returns every name that the server certificate must bear."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *options.advertise]
    if options.listen not in _ANY:
        names.append(options.listen)
    return list(dict.fromkeys(name for name in names if name))


def _advertised(options: Options) -> str:
    if options.advertise:
        return options.advertise[0]
    return socket.gethostname() if options.listen in _ANY else options.listen


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


def _log_to_file(home: Home) -> None:
    handler = logging.handlers.RotatingFileHandler(
        home.log_path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES - 1, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    # Alembic tells about each migration; only its warnings are of interest.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def check_listen(address: str) -> str:
    """Returns an address to listen on.

    Raises:
        UsageError: not an IP address; a name could mean several.
    """
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise UsageError(
            f"{address!r} is not an IP address to listen on.", hint="use --listen 0.0.0.0 or 127.0.0.1"
        ) from error
    return address


if __name__ == "__main__":
    sys.exit(main())
