"""What is particular to a PostgreSQL server: turns of writers, texts, durability, who is not let in."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, text

from edgerig.errors import StorageError
from edgerig_controller.home import Home
from edgerig_controller.store.engine import open_engine, open_readonly_engine
from edgerig_controller.store.postgres import LOCK_TIMEOUT_MS, make_engine
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import T0, add_device, create, study, submission_of, take
from tests.controller.store.cluster import Cluster
from tests.controller.store.conftest import Place


@pytest.fixture
def place(cluster: Cluster, home: Home) -> Iterator[Place]:
    with cluster.migrated() as url:
        yield Place(home, url)


def address(place: Place) -> URL:
    assert place.database is not None
    return place.database


def test_the_file_of_the_data_folder_is_not_made(repository: Repository, home: Home) -> None:
    create(repository, study())
    assert not home.store_path.exists()


def test_an_empty_database_gets_its_tables_and_a_reader_does_not_make_them(cluster: Cluster) -> None:
    with cluster.empty() as url:
        with pytest.raises(StorageError, match=r"another version of edgerig \(none\)"):
            open_readonly_engine(url)
        open_engine(url).dispose()
        open_readonly_engine(url).dispose()


def test_a_commit_is_durable_whatever_the_server_says(place: Place) -> None:
    engine = place.engine()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = address(place).database
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit TO off"))
    engine = open_engine(address(place))
    with engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == f"{LOCK_TIMEOUT_MS // 1000}s"
    engine.dispose()


def test_two_writers_take_turns(repository: Repository, place: Place) -> None:
    """The second reads what the first has written, so one trial is never leased to two devices."""
    add_device(repository, "orin", labels=["local"])
    create(repository, study(cells=1, seeds=(1,)))
    first, second = open_engine(address(place)), place.open()
    offers = []
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    def ask() -> None:
        offers.append(second.sync("orin", [], wants_work=True, now_unix_s=T0).offer)

    thread = threading.Thread(target=ask)
    with first.begin() as connection:
        thread.start()
        while thread.is_alive() and connection.execute(waiting).scalar_one() == 0:
            pass
        # Between the other's question and its turn the trial is taken.
        connection.execute(text("UPDATE trial SET state = 'leased'"))
        assert offers == []
    thread.join()
    assert offers == [None]
    first.dispose()
    second.close()


def test_a_reader_sees_one_moment_and_waits_for_no_writer(repository: Repository, place: Place) -> None:
    create(repository, study())
    reader, writer = open_readonly_engine(address(place)), open_engine(address(place))
    count = text("SELECT count(*) FROM event")
    with reader.connect() as reading:
        before = reading.execute(count).scalar_one()
        with writer.begin() as writing:
            writing.execute(text("DELETE FROM event"))
            assert reading.execute(count).scalar_one() == before
        assert reading.execute(count).scalar_one() == before > 0
    reader.dispose()
    writer.dispose()


def test_a_text_with_a_nul_is_stored_and_the_message_keeps_it(repository: Repository, place: Place) -> None:
    study_id = create(repository, study())
    submission = submission_of(take(repository))
    submission.scores[0].output = "a\0b"
    submission.result.failure_message = "x\0"
    submission.result.flags.append("f\0")
    assert repository.commit_result(submission, now_unix_s=T0 + 1).outcome == "canonical"
    assert repository.scores(study_id)[0].output == "a\ufffdb"
    assert repository.attempts(study_id)[0].flags == ["indicative", "f\0"]
    with place.engine().connect() as connection:
        document = connection.execute(text("SELECT document FROM result")).scalar_one()
    assert type(submission.result).FromString(document).failure_message == "x\0"


def test_a_server_that_is_gone_is_reported_without_the_password(home: Home) -> None:
    url = URL.create("postgresql", "olga", "s3cret", database="edgerig", query={"host": str(home.root)})
    for opener in (open_engine, open_readonly_engine):
        with pytest.raises(StorageError, match=r"olga:\*\*\*@") as caught:
            opener(url)
        assert "s3cret" not in f"{caught.value} {caught.value.hint}"
        assert "psql" in caught.value.hint


def test_an_address_of_another_system_is_refused() -> None:
    with pytest.raises(StorageError, match="no address of a PostgreSQL database") as caught:
        make_engine(URL.create("mysql", "olga", "s3cret", "host"), readonly=False)
    assert "s3cret" not in str(caught.value)
