"""`--store`: which addresses are taken, and that no password gets anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig.errors import StorageError, UnreachableError, UsageError
from edgerig_controller import embedded
from edgerig_controller import home as homes
from edgerig_controller.home import Home
from edgerig_controller.serve import located
from edgerig_controller.store.postgres import parse_address

SECRET = "s3cret"


@pytest.mark.parametrize(
    "text",
    ["postgresql://", "postgresql:///edgerig", "postgresql://olga@db.lab:5433/edgerig?sslmode=verify-full"],
)
def test_addresses_of_a_database(text: str) -> None:
    assert parse_address(text).get_backend_name() == "postgresql"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://olga:{SECRET}@db/edgerig",
        f"postgresql://db/edgerig?password={SECRET}",
        f"postgresql://db/edgerig?sslpassword={SECRET}",
        f"postgresql://olga:{SECRET}@db:port/edgerig",
        f"mysql://olga:{SECRET}@db/edgerig",
        f"olga:{SECRET}",
        "",
        "/var/lib/store.db",
    ],
)
def test_what_is_no_address_or_holds_a_password_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    error = caught.value
    assert SECRET not in f"{error} {error.__cause__} {error.__suppress_context__ or error.__context__}"
    assert "postgresql://USER@HOST/DATABASE" in error.hint


def test_a_data_folder_remembers_its_store(tmp_path: Path) -> None:
    home = located(Home(tmp_path), "postgresql://olga@db/edgerig", tmp_path / "shared")
    homes.write_store(home)
    again = homes.resolve(str(tmp_path), {})
    assert again == home
    assert again.has_store
    assert again.blobs_dir == tmp_path / "shared" / "blobs"
    assert again.authority_dir == tmp_path / "shared" / "ca"
    assert again.ca_dir == tmp_path / "ca"
    # And is served from it without being told again, or from where it has moved to.
    assert located(again, "", None) == home
    assert located(again, "postgresql://other/edgerig", None).shared == home.shared


def test_a_damaged_memory_is_said(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(StorageError, match=r"store\.json is damaged"):
        homes.resolve(str(tmp_path), {})


def test_a_folder_with_a_store_of_its_own_is_not_left_behind(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.store_path.touch()
    with pytest.raises(UsageError, match="store of its own"):
        located(home, "postgresql:///edgerig", None)


def test_a_shared_folder_needs_a_shared_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--shared"):
        located(Home(tmp_path), "", tmp_path)


def test_no_controller_is_started_behind_ones_back_on_a_shared_store(tmp_path: Path) -> None:
    home = Home(tmp_path, "postgresql:///edgerig")
    with pytest.raises(UnreachableError, match="whose store is on a server") as caught:
        embedded.ensure_controller(home)
    assert "edgerig serve" in caught.value.hint


def test_the_password_is_in_no_log_no_error_and_no_file(tmp_path: Path) -> None:
    """A server that is not there: every word about it is said, and none of the password."""
    data = tmp_path / "data"
    store = f"postgresql://olga@localhost/edgerig?host={tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", "edgerig_controller.serve", "--data", str(data), "--store", store],
        env={**os.environ, "PGPASSWORD": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert "olga@localhost" in done.stderr
    written = [path.read_text() for path in data.rglob("*") if path.is_file()]
    assert any("cannot be used" in text for text in written)
    assert SECRET not in done.stdout + done.stderr + json.dumps(written)
