"""The daemon of one device: one lock, one spool, one link, one attempt at a time.

Wires the parts together and ends them in good order; a running attempt is
left alone and taken up by the next daemon. Imports nothing but the standard
library, gRPC, protobuf and the contract, so that it is small while idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import logging.handlers
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from edgerig.errors import EXIT_OK, EdgerigError, StorageError, UsageError
from edgerig_agent import identity as identities
from edgerig_agent import inventory, processes, renewal, rounds, watchdog
from edgerig_agent.conductor import Conductor, Limits
from edgerig_agent.controllers import Controllers
from edgerig_agent.protocol.record import is_stale
from edgerig_agent.recorders import check_meters, configured_meters
from edgerig_agent.runner import Programs, Runner, programs
from edgerig_agent.server_programs import allowed_programs
from edgerig_agent.session import GrpcChannel, Link
from edgerig_agent.signals import Signals
from edgerig_agent.spool import Spool, open_spool

_log = logging.getLogger(__name__)

# A command that looks whether an agent runs holds the lock for an instant.
_LOCK_PATIENCE_S = 1.0
_LOG_BYTES = 1024 * 1024
_LOG_COUNT = 2
_CACHE_BYTES = 64 * 1024**3
_RESERVE_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Settings:
    """What `agent.json` of the home may set. Sizes in bytes."""

    worker_python: str = sys.executable
    cache_bytes: int = _CACHE_BYTES
    # Free disk below which no work is taken.
    spool_bytes: int = _RESERVE_BYTES
    # Addresses of external meters; the attempt process reads them from the same file.
    meters: list[str] = field(default_factory=list)
    # What a trial may have started as its server; the attempt process reads that too.
    server_programs: list[str] = field(default_factory=list)
    server_environment: list[str] = field(default_factory=list)


def read_settings(home: Path) -> Settings:
    """Reads `agent.json`; absent means all defaults.

    Raises:
        UsageError: it is not an object of known keys with values of the right type.
    """
    path = home / "agent.json"
    try:
        document: Any = json.loads(path.read_text())
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=f"python -m json.tool {path}") from error
    kinds = {"worker_python": str, "cache_bytes": int, "spool_bytes": int, "meters": list}
    kinds |= dict.fromkeys(("server_programs", "server_environment"), list)
    wrong = not isinstance(document, dict) or any(
        not isinstance(value, kinds.get(key, type(None))) for key, value in document.items()
    )
    if wrong:
        raise UsageError(f"{path} may hold {', '.join(kinds)} only", hint=f"python -m json.tool {path}")
    check_meters(configured_meters(home))
    allowed_programs(home)
    return Settings(**document)


def run(home: Path, embedded: bool) -> int:
    """Runs the daemon of a home until it is asked to end; returns its exit code.

    `embedded`: it also ends when its controller says so or is gone for 60 s.

    Raises:
        UsageError: the home is not enrolled, or another daemon runs in it.
        DeviceError: the clock is outside the certificate's validity.
        StorageError: the home cannot be used.
    """
    # Attempt processes get absolute paths, whatever their working directory.
    home = home.resolve()
    settings = read_settings(home)
    with sole_agent(home), logged(home):
        identity = identities.load(home)
        identities.check_clock(identity.enrollment, time.time())
        _put_settings_back(home)
        spool = open_spool(home / "spool.db")
        try:
            daemon = Daemon(home, identity, spool, settings, programs(settings.worker_python, home), embedded)
            asyncio.run(_until_signal(daemon))
        except EdgerigError as error:
            _log.error("%s", error)
            raise
        except Exception:
            # Nobody reads the standard error of a detached daemon.
            _log.exception("the daemon ends because of a fault of its own")
            raise
        finally:
            spool.close()
    return EXIT_OK


class Daemon:
    """The parts of a running agent. `run` returns when it has ended."""

    def __init__(
        self,
        home: Path,
        identity: identities.Identity,
        spool: Spool,
        settings: Settings,
        programs: Programs,
        embedded: bool,
    ) -> None:
        self._home = home
        self._identity = identity
        self._spool = spool
        self._settings = settings
        self._programs = programs
        self._embedded = embedded
        self._local = identities.LocalController(home, identity.enrollment)
        self._controllers = Controllers(home, identity.enrollment.agents)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Asks the daemon to end; a running attempt goes on."""
        self._ending.set()

    async def run(self) -> None:
        """Serves until `end` is called or an embedded run is over."""
        signals = Signals()
        runner = Runner(self._home, self._spool, self._programs, processes.boot_id())
        if self._spool.moved_aside is not None:
            _log.error("the spool was damaged and is kept as %s", self._spool.moved_aside)
        link = self._link(signals, runner.boot_id)
        conductor = Conductor(
            self._home,
            controller=link,
            signals=signals,
            spool=self._spool,
            runner=runner,
            limits=Limits(self._settings.cache_bytes, self._settings.spool_bytes),
            worker_python=self._settings.worker_python,
            collect_facts=lambda: inventory.collect(self._programs.facts, scratch=self._home),
            own_pids=lambda: (os.getpid(), *(self._local.pids() if self._embedded else ())),
        )
        # What is loaded by now stays; the collector need not walk through it again.
        gc.collect()
        gc.freeze()
        tasks = {
            asyncio.create_task(link.keep(), name="keep"),
            asyncio.create_task(
                rounds.serve(conductor, signals, link, embedded=self._embedded), name="serve"
            ),
            asyncio.create_task(self._ending.wait(), name="ending"),
        }
        # No end of the daemon: without a renewal it works on until the certificate ends.
        care = {
            asyncio.create_task(self._keep_renewed(link, runner), name="renewal"),
            asyncio.create_task(watchdog.keep(os.environ, sleep=asyncio.sleep), name="watchdog"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watchdog.notify(watchdog.STOPPING, os.environ)
            await _end_all({*tasks, *care})
            await link.close()
        _log.info("ended%s", ", an attempt goes on" if runner.is_running() else "")

    async def _keep_renewed(self, link: Link, runner: Runner) -> None:
        if not self._programs.renew:
            return

        async def use(renewed: identities.Identity) -> None:
            self._identity = renewed
            await link.redial()

        await renewal.keep_renewed(
            self._home,
            self._programs.renew,
            address=self._controller_address(),
            use=use,
            is_measuring=runner.is_running,
            clock=time.time,
            sleep=asyncio.sleep,
            rng=random.Random(),
        )

    def _controller_address(self) -> Callable[[], str]:
        return self._local.address if self._embedded else self._controllers.address

    def _link(self, signals: Signals, boot_id: str) -> Link:
        return Link(
            lambda address: GrpcChannel(self._identity, address),
            address=self._controller_address(),
            on_failed=self._controllers.failed,
            on_controllers=self._controllers.learn,
            listener=signals,
            boot_id=boot_id,
            session_epoch=self._spool.next_session_epoch,
        )


def _put_settings_back(home: Path) -> None:
    """Puts back what an attempt left that died with its settings helper; a living one keeps its own."""
    if not is_stale(home):
        return
    # Seldom needed, and more than an idle daemon wants to hold.
    from edgerig_agent.protocol.settings import restore_stale

    if left := restore_stale(home):
        _log.error("settings of an earlier attempt could not be put back: %s", left)


async def _until_signal(daemon: Daemon) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.end)
    await daemon.run()


async def _end_all(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def sole_agent(home: Path) -> Iterator[None]:
    """Holds the home's lock. Raises UsageError when another daemon does, StorageError without a disk."""
    path = home / "agent.lock"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("a+")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}", hint=f"ls -ld {home}") from error
    with file:
        deadline_s = time.monotonic() + _LOCK_PATIENCE_S
        while not _try_lock(file):
            if time.monotonic() > deadline_s:
                file.seek(0)
                pid = file.read(20).strip() or "unknown"
                raise UsageError(
                    f"an agent already runs in {home} (pid {pid})", hint=f"kill {pid}, or use another --home"
                )
            time.sleep(_LOCK_PATIENCE_S / 10)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def logged(home: Path) -> Iterator[None]:
    """Sends the log to `agent.log` of the home, bounded."""
    handler = logging.handlers.RotatingFileHandler(
        home / "agent.log", maxBytes=_LOG_BYTES, backupCount=_LOG_COUNT
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("edgerig_agent")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        handler.close()
