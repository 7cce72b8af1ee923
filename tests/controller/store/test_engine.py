"""The database file: durability, migrations, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from edgerig.errors import StorageError
from edgerig_controller.store.engine import migration_config, open_engine, open_readonly_engine
from edgerig_controller.store.tables import HEAD_REVISION


def test_there_is_one_newest_migration_and_the_code_knows_it() -> None:
    script = ScriptDirectory.from_config(migration_config())
    assert script.get_heads() == [HEAD_REVISION]


def test_every_migration_file_bears_its_date_and_revision() -> None:
    script = ScriptDirectory.from_config(migration_config())
    for revision in script.walk_revisions():
        assert Path(revision.path).name == f"rev_{revision.revision}.py"
        assert revision.revision[:4].isdigit()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)]
)
def test_commits_are_durable_and_keys_are_kept(tmp_path: Path, pragma: str, value: object) -> None:
    engine = open_engine(tmp_path / "store.db")
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value
    engine.dispose()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    open_engine(tmp_path / "store.db").dispose()
    assert (tmp_path / "store.db").stat().st_mode & 0o077 == 0


def test_reopening_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    engine = open_engine(path)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO event VALUES (1, 0, 'k', '', '', '', '')"))
    engine.dispose()
    again = open_engine(path)
    with again.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM event")).scalar_one() == 1
    again.dispose()


@pytest.mark.parametrize("opener", [open_engine, open_readonly_engine])
def test_a_file_that_is_no_database_is_reported(tmp_path: Path, opener: object) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(StorageError, match="aside"):
        opener(path)  # type: ignore[operator]


def test_tables_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_engine(path).dispose()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '2099_01_01_future'"))
    engine.dispose()
    with pytest.raises(StorageError, match="newer edgerig"):
        open_engine(path)
    with pytest.raises(StorageError, match="another version"):
        open_readonly_engine(path)


def test_a_path_with_marks_of_urls_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "50% of a?b#c"
    folder.mkdir()
    open_engine(folder / "store.db").dispose()
    assert (folder / "store.db").exists()
    open_readonly_engine(folder / "store.db").dispose()
