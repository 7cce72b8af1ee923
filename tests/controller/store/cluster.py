"""A private PostgreSQL cluster of an installed server, as an unprivileged user and on a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL

from bench import guardian
from edgerig_controller.store.engine import open_engine

OWNER = "edgerig"
_START_S = 60
# Nothing of a test cluster outlives the tests, so nothing waits for a disk.
_SETTINGS = (
    "listen_addresses=''",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=16MB",
    "max_connections=20",
)
_TEMPLATE = "migrated"


class NoServerError(Exception):
    """No cluster can be had here, and why."""


class Cluster:
    """A running server whose databases are made by the test that needs one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        with self.empty() as url:
            open_engine(url).dispose()
            self._copy(_TEMPLATE, str(url.database))

    def url(self, database: str) -> URL:
        return URL.create("postgresql", username=OWNER, database=database, query={"host": str(self._folder)})

    @contextmanager
    def empty(self) -> Iterator[URL]:
        """Makes a database without tables."""
        with self._database("template0") as url:
            yield url

    @contextmanager
    def migrated(self) -> Iterator[URL]:
        """Makes a database with the tables of today, faster than by migrating."""
        with self._database(_TEMPLATE) as url:
            yield url

    @contextmanager
    def _database(self, template: str) -> Iterator[URL]:
        self._count += 1
        name = f"test{self._count}"
        self._copy(name, template)
        try:
            yield self.url(name)
        finally:
            self._tell(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _copy(self, name: str, template: str) -> None:
        self._tell(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )

    def _tell(self, statement: sql.Composed) -> None:
        host = str(self._folder)
        with psycopg.connect(host=host, user=OWNER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running() -> Iterator[Cluster]:
    """Starts a cluster and ends it.

    Raises:
        NoServerError: no server is installed, or it may not be started here.
    """
    programs = _programs()
    # A socket's path is short, and TMPDIR and the folders that pytest makes may be closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="edgerig-pg-", dir="/tmp"))
    user = _unprivileged(folder)
    try:
        _run(user, programs / "initdb", "-D", folder / "data", "-U", OWNER, "-A", "trust", "-E", "UTF8", "-N")
        settings = " ".join(f"-c {item}" for item in (*_SETTINGS, f"unix_socket_directories='{folder}'"))
        control = (programs / "pg_ctl", "-D", folder / "data", "-w", "-t", _START_S)
        _run(user, *control, "-l", folder / "log", "-o", settings, "start")
        try:
            with guardian.watching(folder):
                yield Cluster(folder)
        finally:
            _run(user, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        # Beside the real file: Debian's links on PATH need not have all programs.
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not installed:
        raise NoServerError("no PostgreSQL server is installed here (initdb is not found)")
    return installed[-1].parent


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Returns under which user the server runs: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoServerError("PostgreSQL does not run as root, and there is no user postgres or nobody here")


def _run(user: dict[str, Any], *command: object) -> None:
    words = [str(word) for word in command]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        # Not a pipe: the server would keep it open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                words, check=False, stdout=output, stderr=output, cwd="/", env=environment, **user
            )
            output.seek(0)
            said = output.read()
    except PermissionError as error:
        raise NoServerError(f"no process of another user can be started here: {error}") from error
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {said[-2000:]}")
