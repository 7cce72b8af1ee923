"""The same repository on a real SQLite file and on a real PostgreSQL server, with one enrolled device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from edgerig_controller import home as homes
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import add_device
from tests.controller.store.cluster import Cluster, NoServerError, running

SYSTEMS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Place:
    """Where a store lies: opened by as many as a test wants."""

    home: Home
    database: URL | None

    def open(self) -> Repository:
        return Repository.open(self.home, database=self.database)

    def open_readonly(self) -> Repository:
        return Repository.open_readonly(self.home, database=self.database)

    def engine(self) -> Engine:
        """Makes a plain engine, to look and to write behind the repository's back."""
        if self.database is None:
            return create_engine(f"sqlite:///{self.home.store_path}", poolclass=NullPool)
        return create_engine(self.database.set(drivername="postgresql+psycopg"), poolclass=NullPool)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    try:
        with running() as cluster:
            yield cluster
    except NoServerError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    homes.prepare(home)
    return home


@pytest.fixture(params=SYSTEMS)
def place(request: pytest.FixtureRequest, home: Home) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(home, None)
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    with cluster.migrated() as url:
        yield Place(home, url)


@pytest.fixture
def repository(place: Place) -> Iterator[Repository]:
    repository = place.open()
    add_device(repository)
    yield repository
    repository.close()
