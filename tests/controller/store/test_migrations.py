"""A store of every earlier version is brought up to date with all that it held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine, inspect, text

from edgerig_controller.home import Home
from edgerig_controller.store.engine import configure, migration_config, open_engine
from edgerig_controller.store.leases import Held
from edgerig_controller.store.postgres import make_engine
from edgerig_controller.store.tables import HEAD_REVISION, Base
from tests.controller.store import snapshot
from tests.controller.store.building import T0, create, study, submission_of, take
from tests.controller.store.cluster import Cluster
from tests.controller.store.conftest import SYSTEMS, Place

EVERY = [item.revision for item in ScriptDirectory.from_config(migration_config()).walk_revisions()]


@pytest.fixture(params=SYSTEMS)
def place(request: pytest.FixtureRequest, home: Home) -> Iterator[Place]:
    """A database without tables."""
    if request.param == "sqlite":
        yield Place(home, None)
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    with cluster.empty() as url:
        yield Place(home, url)


def where(place: Place) -> Path | URL:
    return place.database or place.home.store_path


def made_by(place: Place, revision: str) -> snapshot.Rows:
    """Makes the store as the version with this revision left it; returns its rows."""
    rows = snapshot.read(revision)
    if place.database is None:
        engine = create_engine(f"sqlite:///{place.home.store_path}")
        configure(engine, begin="BEGIN IMMEDIATE", pragmas=())
    else:
        engine = make_engine(place.database, readonly=False)
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), revision)
        snapshot.load(connection, rows)
    engine.dispose()
    return rows


def test_every_revision_has_a_document_with_rows_in_every_table() -> None:
    for revision in EVERY:
        empty = [name for name, rows in snapshot.read(revision).items() if not rows]
        assert empty == [], f"{revision}: python -m tests.controller.store.snapshot"
    assert set(snapshot.read(HEAD_REVISION)) == set(Base.metadata.tables)


@pytest.mark.parametrize("revision", EVERY)
def test_nothing_is_lost_on_the_way_to_the_newest_tables(place: Place, revision: str) -> None:
    before = made_by(place, revision)
    engine = open_engine(where(place))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        after = snapshot.dump(connection)
    engine.dispose()
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert sorted(kept, key=repr) == sorted((dict(row) for row in rows), key=repr), table


@pytest.mark.parametrize("revision", EVERY)
def test_work_goes_on_in_a_store_of_an_earlier_version(place: Place, revision: str) -> None:
    made_by(place, revision)
    repository = place.open()
    old = repository.find_study("größe")
    assert (old.trial_count, old.done_count, old.failed_count) == (6, 5, 4)
    assert len(repository.scores(old.study_id)) == 6
    # What a device ran when the older controller stopped, it runs on.
    (running,) = repository.progress(old.study_id).running
    row = next(item for item in repository.attempts(old.study_id) if item.attempt_id == running.attempt_id)
    held = [Held(row.attempt_id, row.epoch, "running")]
    synced = repository.sync(running.device_id, held, wants_work=True, now_unix_s=T0 + 50)
    assert [order.verdict for order in synced.orders] == ["continue"]
    # New rows are numbered after the old ones, and what was measured is known.
    new_id = create(repository, study("new", names=("orin",), labels=(), salt="new"), now=T0 + 60)
    submission = submission_of(take(repository, "orin", now=T0 + 70), device_id="orin")
    assert repository.commit_result(submission, now_unix_s=T0 + 80).outcome == "canonical"
    assert repository.find_study(new_id).done_count == 1
    assert repository.create_study(study("third"), reuse=True, now_unix_s=T0 + 90)[2] == 2
    repository.close()


def test_certificates_that_were_replaced_are_told_from_revoked_ones(place: Place) -> None:
    made_by(place, "2026_11_22_lookups")
    engine = place.engine()
    with engine.begin() as connection:
        for serial, reason in (("r1", "a newer one is in use"), ("r2", "stolen")):
            connection.execute(
                text("INSERT INTO certificate VALUES (:serial, 'orin', 0, 1, 1, :reason)"),
                {"serial": serial, "reason": reason},
            )
    engine.dispose()
    repository = place.open()
    assert repository.fleet.signature_fault("r1", "orin") == ""
    assert "stolen" in repository.fleet.signature_fault("r2", "orin")
    repository.close()


def test_migrations_can_be_taken_back(place: Place) -> None:
    made_by(place, HEAD_REVISION)
    engine = open_engine(where(place))
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {snapshot.VERSION_TABLE}
    engine.dispose()


def test_taking_one_back_keeps_what_the_older_tables_hold(place: Place) -> None:
    made_by(place, HEAD_REVISION)
    engine = open_engine(where(place))
    for revision in EVERY[1:]:
        with engine.begin() as connection:
            command.downgrade(migration_config(connection), revision)
        with engine.connect() as connection:
            for table, rows in snapshot.read(revision).items():
                count = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                assert count == len(rows), (revision, table)
    engine.dispose()
