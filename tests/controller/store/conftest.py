"""A repository on a real SQLite file with one enrolled device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerig_controller import home as homes
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import add_device


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    homes.prepare(home)
    return home


@pytest.fixture
def repository(home: Home) -> Iterator[Repository]:
    repository = Repository.open(home)
    add_device(repository)
    yield repository
    repository.close()
