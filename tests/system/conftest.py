"""A rig for each test; whatever it started is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(data=tmp_path / "home", folder=tmp_path / "work")
    rig.folder.mkdir()
    try:
        yield rig
    finally:
        rig.kill_everything()
