"""The controller's data folder: where it is, what lies in it, and who holds it.

One controller per folder: it holds a lock on `controller.lock` for its life and
leaves its addresses in `endpoint.json`. Readers trust the lock, not the process
id: ids are reused, and a killed controller leaves its endpoint file behind.
Where the store is a PostgreSQL database that several controllers share,
`store.json` says which, and where the files are that they share.
Knows nothing of what the files contain, but for these.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from edgerig.errors import StorageError, UsageError

# A reader that looks whether the lock is held holds it itself for an instant;
# a starting controller tries this often before it believes in another one.
_LOCK_TRIES = 10
_LOCK_PAUSE_S = 0.02
_DOCUMENT_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Home:
    """Paths inside one data folder, and of what it shares with those of other controllers."""

    root: Path
    # Address of a PostgreSQL database, without a password; empty: the file store.db.
    database: str = ""
    # Where blobs, traces, reports and the certificate authority lie; None: here.
    shared: Path | None = None

    @property
    def files(self) -> Path:
        return self.shared or self.root

    @property
    def lock_path(self) -> Path:
        return self.root / "controller.lock"

    @property
    def endpoint_path(self) -> Path:
        return self.root / "endpoint.json"

    @property
    def ca_dir(self) -> Path:
        """What this controller presents and asks for; in a shared store the authority's key is elsewhere."""
        return self.root / "ca"

    @property
    def authority_dir(self) -> Path:
        return self.files / "ca"

    @property
    def store_path(self) -> Path:
        return self.root / "store.db"

    @property
    def has_store(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.database) or self.store_path.exists()

    @property
    def blobs_dir(self) -> Path:
        return self.files / "blobs"

    @property
    def traces_dir(self) -> Path:
        return self.files / "traces"

    @property
    def reports_dir(self) -> Path:
        return self.files / "reports"

    @property
    def logs_dir(self) -> Path:
        return self.root / "logs"

    @property
    def log_path(self) -> Path:
        return self.logs_dir / "controller.log"

    @property
    def agent_dir(self) -> Path:
        return self.root / "agent"

    def trace_path(self, study_id: str, attempt_id: str) -> Path:
        return self.traces_dir / study_id / f"{attempt_id}.parquet"

    def report_dir(self, study_id: str) -> Path:
        return self.reports_dir / study_id


@dataclass(frozen=True)
class Endpoint:
    """Where a running controller listens; addresses are host:port."""

    pid: int
    fleet_id: str
    control: str
    agents: str
    enroll: str
    ca_spki_sha256: str
    embedded: bool


def resolve(data: str | None, environ: Mapping[str, str]) -> Home:
    """Finds the data folder: the argument, EDGERIG_HOME, XDG_DATA_HOME, ~/.local/share.

    Raises:
        StorageError: its store.json cannot be understood.
    """
    named = data or environ.get("EDGERIG_HOME")
    if named:
        return _with_store(Path(named).expanduser().absolute())
    # The XDG rules say that a relative XDG_DATA_HOME is to be ignored.
    xdg = Path(environ.get("XDG_DATA_HOME") or "")
    base = xdg if xdg.is_absolute() else Path(environ.get("HOME") or "~").expanduser() / ".local" / "share"
    return _with_store((base / "edgerig").absolute())


def write_store(home: Home) -> None:
    """Remembers the database and the shared folder, for every command on this data folder."""
    document = {"database": home.database, "shared": str(home.shared) if home.shared else ""}
    _write_document(_store_file(home.root), document)


def _with_store(root: Path) -> Home:
    path = _store_file(root)
    try:
        document = json.loads(path.read_bytes()[:_DOCUMENT_MAX_BYTES])
        shared = str(document["shared"])
        return Home(root, str(document["database"]), Path(shared) if shared else None)
    except (FileNotFoundError, NotADirectoryError):
        return Home(root)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged: {error}.", hint=f"rm {path}, then edgerig serve --store ... again"
        ) from error


def _store_file(root: Path) -> Path:
    return root / "store.json"


def prepare(home: Home) -> None:
    """Makes the folders that every controller needs; only the owner may look inside.

    Raises:
        StorageError: a folder cannot be made or written.
    """
    try:
        home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (home.blobs_dir, home.traces_dir, home.reports_dir, home.logs_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The data folder {home.root} cannot be used: {error.strerror}.",
            hint="choose another folder with --data DIR or EDGERIG_HOME",
        ) from error


class HomeLock:
    """A held data folder; `release` or the end of the process lets it go."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Lets the folder go; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock(home: Home, *, pause: Callable[[float], None] = time.sleep) -> HomeLock:
    """Takes the data folder for this process.

    Raises:
        UsageError: another controller holds it; the message names its process.
        StorageError: the folder cannot be written.
    """
    prepare(home)
    try:
        descriptor = os.open(home.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"{home.lock_path} cannot be opened: {error.strerror}.") from error
    for attempt in range(_LOCK_TRIES):
        if _try_lock(descriptor, fcntl.LOCK_EX):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return HomeLock(descriptor)
        if attempt < _LOCK_TRIES - 1:
            pause(_LOCK_PAUSE_S)
    pid = _pid_in(descriptor)
    os.close(descriptor)
    raise UsageError(
        f"Another controller (process {pid or 'unknown'}) already uses the data folder {home.root}.",
        hint="edgerig stop, or choose another folder with --data DIR",
    )


def holder(home: Home) -> int | None:
    """Returns the process id of the controller that holds the folder, or None."""
    try:
        descriptor = os.open(home.lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return None
        return _pid_in(descriptor)
    finally:
        os.close(descriptor)


def write_endpoint(home: Home, endpoint: Endpoint) -> None:
    """Publishes the addresses, atomically and for the owner only."""
    _write_document(home.endpoint_path, asdict(endpoint))


def _write_document(path: Path, document: Mapping[str, object]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def remove_endpoint(home: Home) -> None:
    """Takes the addresses back; the caller holds the lock."""
    home.endpoint_path.unlink(missing_ok=True)


def read_endpoint(home: Home) -> Endpoint | None:
    """Returns the addresses of the controller that runs now, or None when none does.

    Raises:
        StorageError: a running controller's endpoint file cannot be understood.
    """
    pid = holder(home)
    if pid is None:
        return None
    try:
        with home.endpoint_path.open("rb") as file:
            text = file.read(_DOCUMENT_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{home.endpoint_path} cannot be read: {error.strerror}.") from error
    endpoint = _parse_endpoint(text, home.endpoint_path)
    # The file of an earlier controller stays until the new one has its ports.
    return endpoint if endpoint.pid == pid else None


def _parse_endpoint(text: bytes, path: Path) -> Endpoint:
    try:
        document = json.loads(text)
        return Endpoint(
            pid=int(document["pid"]),
            fleet_id=str(document["fleet_id"]),
            control=str(document["control"]),
            agents=str(document["agents"]),
            enroll=str(document["enroll"]),
            ca_spki_sha256=str(document["ca_spki_sha256"]),
            embedded=bool(document["embedded"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged: {error}.", hint=f"stop the controller and remove {path.name}"
        ) from error


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
