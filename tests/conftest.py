"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import guardian


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_a_killed_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with guardian.watching(tmp_path_factory.getbasetemp()):
        yield
