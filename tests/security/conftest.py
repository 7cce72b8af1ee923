"""A real controller for each test, and the means to see that nothing of it has changed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from sqlalchemy import text

from tests.controller.rpc.rig import Rig, running


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path / "controller") as rig:
        yield rig


async def stored(rig: Rig) -> dict[str, str]:
    """Returns a digest of every table and of every file but the database's own and the audit of refusals."""

    def tables(store: object) -> dict[str, str]:
        engine = store._engine  # type: ignore[attr-defined]
        with engine.connect() as connection:
            names = connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            ).scalars()
            return {
                name: hashlib.sha256(
                    repr(connection.execute(text(f'SELECT * FROM "{name}"')).all()).encode()
                ).hexdigest()
                for name in list(names)
                if name not in ("audit", "sqlite_sequence")
            }

    found = await rig.frame.store.ask(tables)
    for path in sorted(rig.home.root.rglob("*")):
        if path.is_file() and not path.name.startswith("store.db"):
            relative = str(path.relative_to(rig.home.root))
            found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    outside = sorted(str(path) for path in rig.home.root.parent.iterdir())
    return {**found, "beside the data folder": repr(outside)}
