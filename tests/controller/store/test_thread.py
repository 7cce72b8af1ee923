"""Asking from an event loop: changes in turn, and people's questions beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from edgerig.errors import StorageError
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.thread import StoreThread
from tests.controller.store.building import T0, create, study

PATIENCE_S = 20.0


@pytest.fixture
def store(home: Home) -> Iterator[StoreThread]:
    store = StoreThread(Repository.open(home), Repository.open_readonly(home))
    yield store
    store.close()


async def test_who_looks_sees_what_was_answered_before(store: StoreThread) -> None:
    study_id = await store.ask(lambda repository: create(repository, study()))
    assert (await store.look(lambda repository: repository.progress(study_id))).queued_count == 4


async def test_a_long_look_keeps_no_change_waiting(store: StoreThread) -> None:
    study_id = await store.ask(lambda repository: create(repository, study()))
    go_on = threading.Event()

    def look(repository: Repository) -> int:
        with repository._transaction():
            before = repository.progress(study_id).queued_count
            assert go_on.wait(PATIENCE_S)
            return before

    looking = asyncio.ensure_future(store.look(look))
    changed = await asyncio.wait_for(
        store.ask(lambda repository: repository.cancel_study(study_id, now_unix_s=T0)), PATIENCE_S
    )
    assert changed.cancelled_count == 4
    assert not looking.done()
    go_on.set()
    assert await looking in (0, 4)
    assert (await store.look(lambda repository: repository.progress(study_id))).queued_count == 0


async def test_who_looks_can_change_nothing(store: StoreThread) -> None:
    with pytest.raises(StorageError, match="readonly"):
        await store.look(lambda repository: create(repository, study()))


async def test_without_a_reader_everything_is_asked_in_turn(home: Home) -> None:
    store = StoreThread(Repository.open(home))
    study_id = await store.ask(lambda repository: create(repository, study()))
    assert (await store.look(lambda repository: repository.find_study(study_id))).trial_count == 4
    store.close()
