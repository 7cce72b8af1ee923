"""Which controller may write: the one whose epoch is the newest, checked in its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from edgerig.errors import EdgerigError, UnreachableError
from edgerig_controller.home import Home
from edgerig_controller.store.audit import AuditRow
from edgerig_controller.store.controllers import FORGOTTEN_S, Member
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import T0, add_device, create, study, submission_of, take
from tests.controller.store.conftest import Place

A = Member("a", "a:9090", "a:9092", "a:9091")
B = Member("b", "b:9090", "b:9092", "b:9091")


@pytest.fixture
def repository(place: Place) -> Iterator[Repository]:
    """A store with two controllers, a device, and a study whose first trial is at work."""
    repository = place.open()
    repository.controllers.settle_files(lambda known: known or "files")
    for member in (A, B):
        repository.controllers.register(member, now_unix_s=T0)
    add_device(repository)
    create(repository, study(cells=1, seeds=(1, 2)))
    yield repository
    repository.close()


def claim(repository: Repository, member: Member) -> Repository:
    return repository.leading(repository.controllers.claim(member.controller_id, now_unix_s=T0))


def test_epochs_grow_and_the_newest_leader_is_named_first(repository: Repository) -> None:
    epochs = [repository.controllers.claim(name, now_unix_s=T0) for name in ("a", "b", "a", "b")]
    assert epochs == [1, 2, 3, 4]
    rows = repository.controllers.members(now_unix_s=T0)
    assert [(row.member, row.leads) for row in rows] == [(B, True), (A, False)]


def test_an_earlier_leader_can_change_nothing_and_is_told_who_leads(repository: Repository) -> None:
    first = claim(repository, A)
    offer = take(first)
    second = claim(repository, B)
    with pytest.raises(UnreachableError, match=r"listens for people at b:9090, for agents at b:9092"):
        first.commit_result(submission_of(offer), now_unix_s=T0 + 1)
    changes: list[Callable[[Repository], object]] = [
        lambda store: store.sync("local", [], wants_work=True, now_unix_s=T0 + 1),
        lambda store: store.expire_leases(now_unix_s=T0 + 1e6),
        lambda store: store.cancel_study(store.studies()[0].study_id, now_unix_s=T0),
        lambda store: store.controllers.note_connected(["local"]),
    ]
    for change in changes:
        with pytest.raises(UnreachableError, match="stands by"):
            change(first)
    (row,) = second.studies()
    assert (row.state, row.done_count) == ("active", 0)
    # What it had leased goes on under the new leader.
    assert second.commit_result(submission_of(offer), now_unix_s=T0 + 1).outcome == "canonical"


def test_who_stands_by_reads_and_writes_only_the_audit(repository: Repository) -> None:
    stands_by = repository.leading(0)
    claim(repository, A).controllers.note_connected(["local"])
    assert stands_by.studies()[0].trial_count == 2
    assert stands_by.controllers.connected() == {"local"}
    stands_by.fleet.add_audit(AuditRow(T0, "olga", "viewer", "GetStatus", "", "denied", ""))
    assert len(stands_by.fleet.audit()) == 1
    with pytest.raises(UnreachableError):
        stands_by.fleet.set_mode("local", "drain", by="", reason="r", for_s=0.0, force=False, now_unix_s=T0)


def test_a_new_leader_knows_of_no_connection_yet(repository: Repository) -> None:
    claim(repository, A).controllers.note_connected(["local"])
    assert claim(repository, B).controllers.connected() == frozenset()


def test_before_anybody_leads_that_is_said(repository: Repository) -> None:
    with pytest.raises(UnreachableError, match="none leads yet"):
        repository.leading(0).expire_leases(now_unix_s=T0)


def test_a_controller_that_was_away_for_long_is_no_longer_named(repository: Repository) -> None:
    repository.controllers.register(A, now_unix_s=T0 + FORGOTTEN_S)
    rows = repository.controllers.members(now_unix_s=T0 + FORGOTTEN_S)
    assert [row.member for row in rows] == [A]


def test_the_first_folder_is_the_stores_folder(repository: Repository) -> None:
    heard: list[str | None] = []

    def other(known: str | None) -> str:
        heard.append(known)
        return "other"

    repository.controllers.settle_files(other)
    repository.controllers.settle_files(other)
    assert heard == ["files", "files"]


def test_a_folder_that_is_refused_leaves_nothing(place: Place, home: Home) -> None:
    repository = place.open()

    def refuse(known: str | None) -> str:
        raise EdgerigError("no")

    with pytest.raises(EdgerigError):
        repository.controllers.settle_files(refuse)
    heard: list[str | None] = []

    def take(known: str | None) -> str:
        heard.append(known)
        return "files"

    repository.controllers.settle_files(take)
    assert heard == [None]
    repository.close()
