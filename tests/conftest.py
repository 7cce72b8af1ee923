"""What holds for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from bench import guardian


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_a_killed_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with guardian.watching(tmp_path_factory.getbasetemp()):
        yield


# A worker is started through a real fork (it must die with its parent). In a process in which other tests
# have used gRPC, the fork would start gRPC's threads again, and they abort the child once its
# descriptors are closed for the new program. What starts workers outside of tests never loads gRPC.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def pytest_configure() -> None:
    """Started in the background of a script, a process ignores Ctrl-C, and so does whatever it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _signals_are_as_they_were() -> Iterator[None]:
    """A program that was called in this process may ignore signals; whatever is started later would, too."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


# Tests that start whole systems wait much: begun first, they leave the cores to those that compute.
_FIRST = ("tests/system/", "tests/sim/", "tests/bench/", "tests/deploy/", "tests/tools/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take longest, so that no process is left with a long one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
