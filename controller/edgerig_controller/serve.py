"""The controller process: puts the parts together, listens, and ends in good order.

`python -m edgerig_controller.serve --data DIR [--embedded]` is the same as
`edgerig serve`. Knows nothing of studies; it owns lock, log, signals and
lifetime. What a controller does is in `leading`, how several take turns in
`succession`.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import logging.handlers
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgerig.errors import EXIT_INTERRUPTED, EXIT_OK, EdgerigError, UsageError
from edgerig_controller import home as homes
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.golden import GoldenPlan
from edgerig_controller.home import Endpoint, Home
from edgerig_controller.leading import Options, lead
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.listeners import Ports
from edgerig_controller.store import postgres
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from edgerig_controller.store.traces import TraceKeeper
from edgerig_controller.succession import serve_in_turn

__all__ = ["Options", "Ports", "check_listen", "located", "main", "run", "serve"]

_log = logging.getLogger("edgerig_controller.serve")

_LOG_BYTES = 4 * 1024 * 1024
_LOG_FILES = 3


async def serve(
    home: Home,
    options: Options,
    *,
    on_ready: Callable[[Endpoint], None] = lambda _endpoint: None,
    stop: asyncio.Event | None = None,
) -> None:
    """Runs a controller on a data folder until it is stopped, by `stop`, by a call, or by idleness.

    The caller holds the folder's lock. On a database that several controllers
    share it leads when its turn comes.

    Raises:
        UsageError: the address cannot be listened on.
        StorageError: the data folder or the database cannot be used.
    """
    stopping = stop or asyncio.Event()
    if home.database:
        await serve_in_turn(home, options, stopping, on_ready=on_ready)
        _log.info("ended")
        return
    frame = _open_frame(home)
    try:
        await lead(frame, options, stopping, stop=stopping.set, on_ready=on_ready)
        _log.info("ended")
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
    store: str = "",
    shared: Path | None = None,
) -> int:
    """Runs a controller in the foreground and returns an exit code.

    `store` is the address of a PostgreSQL database, `shared` the folder of the
    files that the controllers on it share; without them, what the data folder
    remembers.

    Raises:
        UsageError: another controller uses the folder, or the address cannot be had.
        StorageError: the data folder or the database cannot be used.
    """
    home = located(home, store, shared)
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
    parser.add_argument(
        "--store", default="", help="PostgreSQL database instead of a file, without a password"
    )
    parser.add_argument("--shared", type=Path, help="folder of the files that controllers share")
    given = parser.parse_args(arguments)
    try:
        return run(
            homes.resolve(given.data, os.environ),
            embedded=given.embedded,
            listen=given.listen,
            advertise=given.advertise,
            ports=Ports(given.control_port, given.agents_port, given.enroll_port),
            insecure_loopback=given.insecure_loopback,
            store=given.store,
            shared=given.shared,
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
    authority = identity.open_authority(home.authority_dir, identity.utc_now())
    blobs = BlobStore(home.blobs_dir)
    blobs.recover()
    return Frame(
        home=home,
        authority=authority,
        store=StoreThread(Repository.open(home), Repository.open_readonly(home)),
        blobs=blobs,
        traces=TraceKeeper(home, blobs),
        clock=time.time,
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


def located(home: Home, store: str, shared: Path | None) -> Home:
    """Returns the data folder with the database and the shared folder that are asked for.

    Raises:
        UsageError: they do not go with this data folder, or the address is none.
    """
    database = postgres.parse_address(store).render_as_string(hide_password=False) if store else home.database
    if not database:
        if shared is not None:
            raise UsageError("--shared is for a store on a server.", hint="--store postgresql://...")
        return home
    if home.store_path.exists():
        raise UsageError(
            f"The data folder {home.root} holds a store of its own, store.db.",
            hint="name another data folder with --data DIR",
        )
    return replace(home, database=database, shared=shared.absolute() if shared else home.shared)


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
