"""The folder that controllers share belongs to their store, and no other folder does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgerig.errors import EdgerigError, UsageError
from edgerig_controller import home as homes
from edgerig_controller import shared
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    home = Home(tmp_path / "store")
    homes.prepare(home)
    repository = Repository.open(home)
    yield repository
    repository.close()


def home_of(tmp_path: Path, name: str, folder: str = "shared") -> Home:
    home = Home(tmp_path / name, "postgresql:///edgerig", tmp_path / folder)
    homes.prepare(home)
    return home


def test_the_first_controller_makes_the_authority_and_the_others_find_it(
    tmp_path: Path, repository: Repository
) -> None:
    homes_of_two = [home_of(tmp_path, name) for name in ("a", "b")]
    first, second = (shared.settle(home, repository) for home in homes_of_two)
    assert first.fleet_id == second.fleet_id
    for home in homes_of_two:
        assert (home.ca_dir / "ca.pem").read_bytes() == first.ca_pem
        assert not (home.ca_dir / "ca.key").exists()
    assert (tmp_path / "shared" / "store.id").stat().st_mode & 0o777 == 0o600


def test_another_folder_is_refused(tmp_path: Path, repository: Repository) -> None:
    shared.settle(home_of(tmp_path, "a"), repository)
    with pytest.raises(UsageError, match="not marked as its own") as caught:
        shared.settle(home_of(tmp_path, "b", "elsewhere"), repository)
    assert "--shared" in caught.value.hint
    assert not (tmp_path / "elsewhere" / "ca").exists()


def test_the_folder_of_another_store_is_refused(tmp_path: Path, repository: Repository) -> None:
    other_home = Home(tmp_path / "other")
    homes.prepare(other_home)
    other = Repository.open(other_home)
    home = home_of(tmp_path, "a")
    shared.settle(home, other)
    BlobStore(home.blobs_dir).put_bytes(b"weights")
    with pytest.raises(UsageError, match="files of another store"):
        shared.settle(home_of(tmp_path, "b"), repository)
    # Nor may the first one move to the folder of a second.
    shared.settle(home_of(tmp_path, "c", "second"), repository)
    with pytest.raises(UsageError, match="another store's"):
        shared.settle(home_of(tmp_path, "d", "second"), other)
    other.close()


def test_a_crash_between_the_two_marks_is_mended(tmp_path: Path, repository: Repository) -> None:
    home = home_of(tmp_path, "a")
    (home.files / "store.id").write_text("1234\n")
    shared.settle(home, repository)
    shared.settle(home, repository)
    assert (home.files / "store.id").read_text() == "1234\n"


def test_a_folder_of_one_controller_is_its_own_shared_folder(tmp_path: Path, repository: Repository) -> None:
    home = replace(home_of(tmp_path, "a"), shared=None)
    authority = shared.settle(home, repository)
    assert (home.root / "ca" / "ca.key").exists()
    # A second controller joins by naming it.
    second = home_of(tmp_path, "b", "a")
    assert shared.settle(second, repository).fleet_id == authority.fleet_id


def test_a_data_folder_with_an_authority_of_its_own_is_refused(
    tmp_path: Path, repository: Repository
) -> None:
    home = home_of(tmp_path, "a")
    home.ca_dir.mkdir()
    (home.ca_dir / "ca.key").write_text("a key")
    with pytest.raises(UsageError, match="authority of its own"):
        shared.settle(home, repository)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, repository: Repository) -> None:
    home = home_of(tmp_path, "a")
    (home.files / "store.id").mkdir()
    with pytest.raises(EdgerigError, match=r"store\.id cannot be read"):
        shared.settle(home, repository)
