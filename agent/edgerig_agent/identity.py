"""Who this agent is: the files of `identity/` in its home, read and written.

Knows nothing of X.509: the validity of the certificate is written down at
enrolment, so that the daemon needs no certificate parser to check its clock.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig import durable
from edgerig.errors import DeviceError, StorageError, UsageError
from edgerig.version import CLOCK_FLOOR_UNIX_S
from edgerig_agent.processes import ProcessRef, is_alive

# How far a device's clock may be behind the controller's when both are set.
_CLOCK_TOLERANCE_S = 300.0

_ENROLL_HINT = (
    "edgerig-agent enroll --help (the controller prints the whole command: edgerig device add NAME)"
)


@dataclass(frozen=True)
class Enrollment:
    """What enrolment settled. Addresses are host:port; times are Unix seconds, 0 = not recorded."""

    device_id: str
    fleet_id: str
    agents: str
    enroll: str
    not_before_unix_s: float = 0.0
    not_after_unix_s: float = 0.0


@dataclass(frozen=True)
class Identity:
    """An enrolment with the PEM bytes that prove it."""

    enrollment: Enrollment
    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes


def folder(home: Path) -> Path:
    """Returns the folder of the identity files inside an agent's home."""
    return home / "identity"


def is_enrolled(home: Path) -> bool:
    """Says whether the home holds a finished enrolment; enrollment.json is written last."""
    _finish_replacement(home)
    return (folder(home) / "enrollment.json").is_file()


def load(home: Path) -> Identity:
    """Reads the identity of a home.

    Raises:
        UsageError: the home is not enrolled.
        StorageError: a file is missing, unreadable or not what enrolment writes.
    """
    place = folder(home)
    if not is_enrolled(home):
        raise UsageError(f"this agent is not enrolled: {place} has no enrollment.json", hint=_ENROLL_HINT)
    try:
        document = json.loads((place / "enrollment.json").read_text())
        return Identity(
            enrollment=_enrollment(document),
            key_pem=(place / "key.pem").read_bytes(),
            certificate_pem=(place / "certificate.pem").read_bytes(),
            ca_pem=(place / "ca.pem").read_bytes(),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"the identity in {place} cannot be read: {error}", hint="edgerig-agent enroll --replace ..."
        ) from error


def save(home: Path, identity: Identity) -> None:
    """Writes an identity durably and all at once: at every instant the old or the new one is whole.

    Raises:
        StorageError: the disk is full or refuses.
    """
    place, fresh = folder(home), _fresh_folder(home)
    enrollment = identity.enrollment
    document = {
        "device_id": enrollment.device_id,
        "fleet_id": enrollment.fleet_id,
        "agents": enrollment.agents,
        "enroll": enrollment.enroll,
        "not_before_unix_s": enrollment.not_before_unix_s,
        "not_after_unix_s": enrollment.not_after_unix_s,
    }
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A fresh folder without enrollment.json is what a crash left; it counts for nothing.
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        durable.replace(fresh / "key.pem", identity.key_pem, mode=0o600)
        durable.replace(fresh / "certificate.pem", identity.certificate_pem)
        durable.replace(fresh / "ca.pem", identity.ca_pem)
        durable.replace(fresh / "enrollment.json", json.dumps(document, indent=1).encode())
        if place.exists():
            shutil.rmtree(_old_folder(home), ignore_errors=True)
            place.rename(_old_folder(home))
        _finish_replacement(home)
        durable.sync(home)
    except OSError as error:
        raise StorageError(f"cannot write {place}: {error}", hint=f"df -h {home}") from error


def check_clock_floor(now_unix_s: float) -> None:
    """Refuses a clock that shows a time before this program was written.

    Raises:
        DeviceError: it does; certificates and stamps would be wrong.
    """
    if now_unix_s < CLOCK_FLOOR_UNIX_S:
        shown = time.strftime("%Y-%m-%d", time.gmtime(max(now_unix_s, 0.0)))
        floor = time.strftime("%Y-%m-%d", time.gmtime(CLOCK_FLOOR_UNIX_S))
        raise DeviceError(
            f"this device's clock shows {shown}, before this program was made ({floor}); "
            "a board without a battery boots with an old date",
            hint="timedatectl set-ntp true",
        )


def check_clock(enrollment: Enrollment, now_unix_s: float) -> None:
    """Refuses a clock outside the certificate's validity: TLS would fail with no useful words.

    Raises:
        DeviceError: the clock is before the certificate's begin, or the certificate has expired.
    """
    check_clock_floor(now_unix_s)
    begin, end = enrollment.not_before_unix_s, enrollment.not_after_unix_s
    if begin and now_unix_s < begin - _CLOCK_TOLERANCE_S:
        raise DeviceError(
            f"this device's clock is {begin - now_unix_s:.0f} s before its certificate becomes valid; "
            "a board without a battery boots with an old date",
            hint="timedatectl set-ntp true",
        )
    if end and now_unix_s > end:
        raise DeviceError(
            f"this agent's certificate expired {(now_unix_s - end) / 86400:.1f} days ago "
            "(or the device's clock is ahead)",
            hint="edgerig-agent enroll --replace ...",
        )


# More than this many people do not watch one machine; the folder is not ours to trust.
MAX_VIEWERS = 32


@dataclass(frozen=True)
class LocalController:
    """The controller of an embedded run, whose endpoint file lies one above the agent's home.

    It gets a new port and a new process with every start.
    """

    home: Path
    enrollment: Enrollment

    def address(self) -> str:
        """Returns where it listens now, or the last known address while none runs."""
        return str(self._endpoint().get("agents") or self.enrollment.agents)

    def pids(self) -> tuple[int, ...]:
        """Returns its process and the viewers', whose processor time is edgerig's own on this machine."""
        pid = self._endpoint().get("pid")
        return ((pid,) if isinstance(pid, int) and pid > 0 else ()) + self._viewers()

    def _viewers(self) -> tuple[int, ...]:
        """Command lines that follow a study: each leaves a file PID-STARTTICKS while it does."""
        try:
            names = sorted(entry.name for entry in (self.home.parent / "viewers").iterdir())
        except OSError:
            return ()
        marks = [name.partition("-") for name in names[:MAX_VIEWERS]]
        refs = [
            ProcessRef(int(pid), int(ticks))
            for pid, _, ticks in marks
            if pid.isdecimal() and ticks.isdecimal()
        ]
        # A killed viewer leaves its mark; what then has its id is somebody else.
        return tuple(ref.pid for ref in refs if is_alive(ref))

    def _endpoint(self) -> dict[str, Any]:
        try:
            document = json.loads((self.home.parent / "endpoint.json").read_text())
        except (OSError, ValueError):
            # No controller runs, or it is just writing the file.
            return {}
        ours = isinstance(document, dict) and document.get("fleet_id") == self.enrollment.fleet_id
        return document if ours else {}


def _enrollment(document: dict[str, Any]) -> Enrollment:
    return Enrollment(
        device_id=str(document["device_id"]),
        fleet_id=str(document["fleet_id"]),
        agents=str(document["agents"]),
        enroll=str(document["enroll"]),
        not_before_unix_s=float(document.get("not_before_unix_s", 0.0)),
        not_after_unix_s=float(document.get("not_after_unix_s", 0.0)),
    )


def _fresh_folder(home: Path) -> Path:
    return home / "identity.new"


def _old_folder(home: Path) -> Path:
    return home / "identity.old"


def _finish_replacement(home: Path) -> None:
    """Puts a whole new identity in its place where a crash has left that undone."""
    fresh, place = _fresh_folder(home), folder(home)
    if not place.exists() and (fresh / "enrollment.json").is_file():
        fresh.rename(place)
        shutil.rmtree(_old_folder(home), ignore_errors=True)
    elif not place.exists() and (_old_folder(home) / "enrollment.json").is_file():
        _old_folder(home).rename(place)
