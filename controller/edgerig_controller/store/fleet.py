"""The fleet part of the repository: certificates, people, administration, inventory, health, audit.

One method per question or change, one transaction each; the work is done in
the modules by noun beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from edgerig.v1.fleet_service_pb2 import DeclaredDevice, InventoryChange
from edgerig_controller.fleet.administration import Administration, Mode
from edgerig_controller.fleet.identity import Issued
from edgerig_controller.fleet.tokens import StoredToken
from edgerig_controller.store import administration, certificates, golden, people
from edgerig_controller.store import audit as audits
from edgerig_controller.store import overview as overviews

T = TypeVar("T")


class Reader(Protocol):
    """Answers a question in a transaction of its own."""

    def __call__(self, question: Callable[[Session], T]) -> T: ...


class Looker(Protocol):
    """Answers a question about columns, which needs no session."""

    def __call__(self, question: Callable[[Connection], T]) -> T: ...


class FleetStore:
    """What is stored of devices as people run them, of people, and of who did what."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Session]],
        read: Reader,
        look: Looker,
        append: Callable[[], AbstractContextManager[Session]],
    ) -> None:
        self._write = write
        self._read = read
        self._look = look
        # For records that are only added to; any controller may.
        self._append = append
        # No result up to this one waits to be judged.
        self._judged_result_id = 0

    # Certificates of devices

    def live_serials(self, device_id: str, *, now_unix_s: float) -> list[str]:
        """Lists the serials of a device's certificates that count, the oldest first."""
        return self._look(lambda connection: certificates.live_serials(connection, device_id, now_unix_s))

    def certificate_fault(self, serial: str, device_id: str, *, now_unix_s: float) -> str:
        """Says why a device's certificate does not count; '' when it does."""
        return self._look(
            lambda connection: certificates.certificate_fault(connection, serial, device_id, now_unix_s)
        )

    def signature_fault(self, serial: str, device_id: str) -> str:
        """Says why what was signed with a device's certificate does not count; '' when it does."""
        return self._look(lambda connection: certificates.signature_fault(connection, serial, device_id))

    def certificate_end_unix_s(self, serial: str) -> float:
        """Returns when a device's certificate ends."""
        return self._read(lambda session: certificates.end_unix_s(session, serial))

    def renew_certificate(
        self, device_id: str, *, old_serial: str, issued: Issued, now_unix_s: float
    ) -> None:
        """Adds a renewed certificate beside the old one."""
        with self._write() as session:
            certificates.renew_certificate(
                session,
                device_id,
                old_serial=old_serial,
                serial=issued.serial,
                not_after_unix_s=issued.not_after_unix_s,
                now_unix_s=now_unix_s,
            )

    def retire_older(self, device_id: str, serial: str, *, now_unix_s: float) -> int:
        """Ends the certificates that are older than the one in use; returns how many."""
        if len(self.live_serials(device_id, now_unix_s=now_unix_s)) < 2:
            return 0
        with self._write() as session:
            return certificates.retire_older(session, device_id, serial, now_unix_s)

    def revoke_device(self, device_id: str, serial: str, reason: str, *, now_unix_s: float) -> list[str]:
        """Ends certificates of a device; returns their serials."""
        with self._write() as session:
            return certificates.revoke(session, device_id, serial, reason, now_unix_s=now_unix_s)

    # People

    def add_person(self, name: str, role: str, **terms: Any) -> None:
        """Invites a person; see `people.add_person`."""
        with self._write() as session:
            people.add_person(session, name, role, **terms)

    def person_tokens(self) -> list[StoredToken]:
        """Lists all tokens of people."""
        return self._read(people.stored_tokens)

    def record_person(
        self, name: str, role: str, *, token_id: int, issued: Issued, now_unix_s: float
    ) -> bool:
        """Uses up a token for a certificate; False when it was used in the meantime."""
        with self._write() as session:
            return people.record_certificate(
                session,
                name,
                role,
                token_id=token_id,
                serial=issued.serial,
                not_after_unix_s=issued.not_after_unix_s,
                now_unix_s=now_unix_s,
            )

    def person_fault(self, serial: str, name: str, role: str, *, now_unix_s: float) -> str:
        """Says why a person's certificate does not count; '' when it does."""
        return self._read(lambda session: people.certificate_fault(session, serial, name, role, now_unix_s))

    def revoke_person(self, name: str, *, now_unix_s: float) -> int:
        """Ends the certificates and tokens of a person."""
        with self._write() as session:
            return people.revoke_person(session, name, now_unix_s=now_unix_s)

    def people(self, *, now_unix_s: float) -> list[people.PersonRow]:
        """Lists all people."""
        return self._read(lambda session: people.list_people(session, now_unix_s))

    # Administration, inventory, health

    def set_mode(
        self,
        device_id: str,
        mode: Mode,
        *,
        by: str,
        reason: str,
        for_s: float,
        force: bool,
        now_unix_s: float,
    ) -> Administration:
        """Carries out what somebody wants of a device."""
        with self._write() as session:
            return administration.set_mode(
                session,
                device_id,
                mode=mode,
                by=by,
                reason=reason,
                for_s=for_s,
                force=force,
                now_unix_s=now_unix_s,
            )

    def standings(self, *, now_unix_s: float) -> dict[str, administration.Standing]:
        """Returns what decides whether devices get work, by device id."""
        return self._read(lambda session: administration.standings(session, now_unix_s))

    def next_release_unix_s(self, *, now_unix_s: float) -> float | None:
        """Returns when the next hold ends by itself."""
        return self._read(lambda session: administration.next_release_unix_s(session, now_unix_s))

    def declared(self) -> dict[str, DeclaredDevice]:
        """Returns the declared intent by device id."""
        return self._read(administration.declared)

    def apply_inventory(
        self, devices: Sequence[DeclaredDevice], *, prune: bool, dry_run: bool, by: str, now_unix_s: float
    ) -> list[InventoryChange]:
        """Replaces declared intent; returns what that changes."""
        with self._write() as session:
            return administration.apply_inventory(
                session, devices, prune=prune, dry_run=dry_run, by=by, now_unix_s=now_unix_s
            )

    def reset_health(self, device_id: str, *, rebaseline: bool, by: str, now_unix_s: float) -> None:
        """Takes a device out of quarantine."""
        with self._write() as session:
            administration.reset_health(
                session, device_id, rebaseline=rebaseline, by=by, now_unix_s=now_unix_s
            )

    def golden_times(self, *, since_unix_s: float = 0.0) -> tuple[dict[str, float], set[str]]:
        """Returns when each device had its last golden study after then, and which have one open."""
        return self._read(
            lambda session: (golden.last_golden(session, since_unix_s), golden.open_golden(session))
        )

    def health_points(self, device_id: str) -> list[golden.Point]:
        """Lists the points of a device's control charts, the newest first."""
        return self._read(lambda session: golden.points(session, device_id))

    def judge_golden(self, *, now_unix_s: float) -> list[golden.Judged]:
        """Judges golden results that were not judged yet."""
        # Asked after every commit: only what is new is looked at, and for nothing no write is begun.
        after = self._judged_result_id
        newest, waiting = self._read(
            lambda session: golden.waiting(session, after_result_id=after, now_unix_s=now_unix_s)
        )
        judged: list[golden.Judged] = []
        if waiting:
            with self._write() as session:
                judged = golden.judge(session, waiting, now_unix_s=now_unix_s)
        self._judged_result_id = newest
        return judged

    def recount(self) -> None:
        """Says that results were removed: their numbers may be given again."""
        self._judged_result_id = 0

    def overview(self, *, now_unix_s: float) -> overviews.Overview:
        """Reads everything that a list of devices shows, but for who is connected."""
        return self._read(lambda session: overviews.read(session, now_unix_s))

    # Attempts

    def attempt_events(self, attempt_id: str, *, after_event_id: int = 0) -> list[overviews.EventRow]:
        """Lists what happened to an attempt, the oldest first."""
        return self._read(lambda session: overviews.attempt_events(session, attempt_id, after_event_id))

    def attempt_place(self, attempt_id: str) -> overviews.AttemptPlace:
        """Finds an attempt by id or by the beginning of one."""
        return self._read(lambda session: overviews.attempt_place(session, attempt_id))

    # Audit

    def add_audit(self, row: audits.AuditRow) -> None:
        """Adds an entry to the audit."""
        with self._append() as session:
            audits.add(session, row)

    def audit(self, *, before_entry_id: int = 0, limit: int = 100) -> list[audits.AuditRow]:
        """Lists entries of the audit, the newest first."""
        return self._read(
            lambda session: audits.entries(session, before_entry_id=before_entry_id, limit=limit)
        )
