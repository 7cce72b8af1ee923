"""A database's rows as a JSON document, and back: what a revision of the tables held.

`python -m tests.controller.store.snapshot` writes the document of the newest
revision from a store that the code of today has filled. Do it when a migration
is added, and commit the document with it; the documents of earlier revisions
stay as they are.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, MetaData, create_engine, text

from edgerig.v1.fleet_service_pb2 import DeclaredDevice
from edgerig.v1.trial_pb2 import FileRef
from edgerig_controller import home as homes
from edgerig_controller.fleet.identity import Issued
from edgerig_controller.home import Home
from edgerig_controller.store.audit import AuditRow
from edgerig_controller.store.controllers import Member
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.studies import Terms
from edgerig_controller.store.tables import HEAD_REVISION
from tests.controller.store.building import T0, add_device, create, finish, study, submission_of, take

REVISIONS = Path(__file__).parent / "revisions"
VERSION_TABLE = "alembic_version"

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def dump(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Reads every row of every table."""
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in _reflected(connection).sorted_tables
        if table.name != VERSION_TABLE
    }


def load(connection: Connection, rows: Rows) -> None:
    """Writes rows into tables that are there, and lets numbering go on after them."""
    for table in _reflected(connection).sorted_tables:
        if not rows.get(table.name):
            continue
        connection.execute(table.insert(), [dict(row) for row in rows[table.name]])
        (key, *others) = table.primary_key.columns
        if connection.dialect.name == "postgresql" and not others and isinstance(key.type, Integer):
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{key.name}'), max({key.name})) "
                    f"FROM {table.name}"
                )
            )


def read(revision: str) -> dict[str, list[dict[str, Any]]]:
    """Reads the document of a revision."""
    rows: dict[str, list[dict[str, Any]]] = json.loads(
        (REVISIONS / f"{revision}.json").read_text(encoding="utf-8"), object_hook=_decoded
    )
    return rows


def write(revision: str, rows: Rows) -> None:
    """Writes the document of a revision."""
    document = json.dumps(rows, default=_encoded, indent=1, ensure_ascii=False)
    (REVISIONS / f"{revision}.json").write_text(document + "\n", encoding="utf-8")


def fill(repository: Repository) -> None:
    """Leaves something in every table, with what is rare: other alphabets, large numbers, nothing at all."""
    add_device(repository, labels=["küche", "räume"])
    prepared = study("größe", cells=3, unfit={2: "needs 9 GB"}, blobs=frozenset({"b" * 64}))
    create(repository, prepared)
    offer = take(repository)
    file = FileRef(path="trace/board.trace", sha256="c" * 64, size_bytes=2**40)
    repository.commit_result(submission_of(offer, files=[file]), now_unix_s=T0 + 10)
    finish(repository, take(repository), failure="oom_cuda")
    finish(repository, take(repository), failure="worker_error")
    create(repository, study("again"), now=T0 + 20)
    take(repository)
    fleet = repository.fleet
    repository.add_device("nano", [], token_sha256="d" * 64, expires_unix_s=T0, now_unix_s=T0)
    declared = DeclaredDevice(device_id="orin", labels=["lab"])
    fleet.apply_inventory([declared], prune=False, dry_run=False, by="olga", now_unix_s=T0)
    fleet.set_mode("nano", "hold", by="olga", reason="日本", for_s=60, force=False, now_unix_s=T0)
    fleet.reset_health("nano", rebaseline=True, by="", now_unix_s=T0)
    fleet.add_person("olga", "operator", token_sha256="t", expires_unix_s=T0, now_unix_s=T0, replace=False)
    (token,) = fleet.person_tokens()
    issued = Issued(certificate_pem=b"", serial="p1", not_after_unix_s=T0 + 100)
    fleet.record_person("olga", "operator", token_id=token.token_id, issued=issued, now_unix_s=T0)
    fleet.add_audit(AuditRow(T0, "olga", "operator", "hold", "nano", "allowed", "日本"))
    golden = study("golden", cells=1, seeds=(9,), names=("orin",), labels=(), salt="g")
    repository.create_study(golden, reuse=False, now_unix_s=T0, terms=Terms(purpose="golden", priority=-1))
    add_device(repository, "orin")
    offer = take(repository, "orin")
    repository.commit_result(submission_of(offer, device_id="orin"), now_unix_s=T0 + 30)
    fleet.judge_golden(now_unix_s=T0 + 31)
    controllers = repository.controllers
    controllers.register(Member("c1", "lab:9090", "lab:9092", "lab:9091"), now_unix_s=T0)
    controllers.settle_files(lambda known: known or "f1")
    controllers.claim("c1", now_unix_s=T0)
    controllers.note_connected(["orin"])


def _reflected(connection: Connection) -> MetaData:
    tables = MetaData()
    tables.reflect(connection)
    return tables


def _encoded(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r} has no JSON form")
    return {"base64": base64.b64encode(value).decode()}


def _decoded(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if set(value) == {"base64"} else value


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        homes.prepare(home)
        repository = Repository.open(home)
        fill(repository)
        repository.close()
        engine = create_engine(f"sqlite:///{home.store_path}")
        with engine.connect() as connection:
            write(HEAD_REVISION, dump(connection))
        engine.dispose()


if __name__ == "__main__":
    main()
