"""People, intent, health and the audit: the same answers whichever database keeps them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from edgerig.v1.fleet_service_pb2 import DeclaredDevice
from edgerig.v1.trial_pb2 import FileRef
from edgerig_controller.fleet.identity import Issued
from edgerig_controller.store.audit import AuditRow
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.studies import Terms
from tests.controller.store.building import T0, add_device, create, finish, study, submission_of, take
from tests.controller.store.conftest import Place


def golden(repository: Repository, name: str, device_id: str, *, now: float) -> str:
    row, _, _ = repository.create_study(
        study(name, cells=1, seeds=(1,), names=(device_id,), labels=(), salt=name),
        reuse=False,
        now_unix_s=now,
        terms=Terms(purpose="golden"),
    )
    return row.study_id


@pytest.mark.parametrize(
    "change",
    ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"],
)
def test_the_database_refuses_to_change_the_audit(repository: Repository, place: Place, change: str) -> None:
    entry = AuditRow(T0, "olga", "operator", "hold", "local", "allowed", "why")
    repository.fleet.add_audit(entry)
    engine = place.engine()
    with pytest.raises(DBAPIError, match="only ever added to"), engine.begin() as connection:
        connection.execute(text(change))
    assert [replace(row, entry_id=0) for row in repository.fleet.audit()] == [entry]


def test_golden_times_are_those_of_the_newest_golden_study_of_each_device(repository: Repository) -> None:
    add_device(repository, "orin")
    golden(repository, "g1", "local", now=T0)
    finish(repository, take(repository))
    golden(repository, "g2", "local", now=T0 + 100)
    golden(repository, "g3", "orin", now=T0 + 50)
    create(repository, study(names=("orin",)), now=T0 + 200)
    times, unfinished = repository.fleet.golden_times()
    assert times == {"local": T0 + 100, "orin": T0 + 50}
    assert unfinished == {"local", "orin"}


def test_a_golden_result_is_judged_once(repository: Repository) -> None:
    golden(repository, "g1", "local", now=T0)
    finish(repository, take(repository))
    (judged,) = repository.fleet.judge_golden(now_unix_s=T0 + 20)
    assert judged.device_id == "local"
    assert repository.fleet.judge_golden(now_unix_s=T0 + 21) == []
    points = repository.fleet.health_points("local")
    assert [point.value for point in points] == [0.1]


def bring(repository: Repository, name: str, ttft_s: float, *, now: float) -> None:
    """Runs a golden trial that measures this."""
    golden(repository, name, "local", now=now)
    offer = take(repository, now=now)
    submission = submission_of(offer)
    submission.result.measurements[0].value = ttft_s
    assert repository.commit_result(submission, now_unix_s=now).outcome == "canonical"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_says_nothing_of_a_device(repository: Repository, value: float) -> None:
    bring(repository, "g1", value, now=T0)
    bring(repository, "g2", 0.1, now=T0 + 100)
    states = [item.state for item in repository.fleet.judge_golden(now_unix_s=T0 + 200)]
    assert states == ["", ""]
    assert [point.value for point in repository.fleet.health_points("local")] == [0.1]
    assert repository.fleet.judge_golden(now_unix_s=T0 + 201) == []


def test_a_result_that_cannot_be_judged_keeps_no_other_from_it(repository: Repository) -> None:
    for index in range(9):
        # Their spread is no number any more.
        bring(repository, f"g{index}", 1.7e308 * (-1) ** index, now=T0 + 100 * index)
    golden(repository, "g9", "local", now=T0 + 1000)
    finish(repository, take(repository, now=T0 + 1000), failure="worker_error", now=T0 + 1000)
    *_, ninth, tenth = repository.fleet.judge_golden(now_unix_s=T0 + 2000)
    assert (ninth.state, tenth.state) == ("unjudged", "quarantined")
    assert repository.fleet.judge_golden(now_unix_s=T0 + 2001) == []


def test_a_person_is_invited_joins_and_is_revoked(repository: Repository) -> None:
    fleet = repository.fleet
    fleet.add_person(
        "olga", "operator", token_sha256="t", expires_unix_s=T0 + 60, now_unix_s=T0, replace=False
    )
    (token,) = fleet.person_tokens()
    issued = Issued(serial="p1", certificate_pem=b"", not_after_unix_s=T0 + 100)
    joined = [
        fleet.record_person("olga", "operator", token_id=token.token_id, issued=issued, now_unix_s=T0)
        for _ in range(2)
    ]
    assert joined == [True, False]
    assert fleet.person_fault("p1", "olga", "operator", now_unix_s=T0) == ""
    assert fleet.revoke_person("olga", now_unix_s=T0 + 1) == 1
    assert "revoked" in fleet.person_fault("p1", "olga", "operator", now_unix_s=T0 + 2)
    assert [(row.name, row.state) for row in fleet.people(now_unix_s=T0 + 2)] == [("olga", "revoked")]


def test_intent_holds_and_the_overview(repository: Repository) -> None:
    fleet = repository.fleet
    declared = DeclaredDevice(device_id="orin", labels=["lab"])
    fleet.apply_inventory([declared], prune=False, dry_run=False, by="olga", now_unix_s=T0)
    fleet.set_mode("orin", "hold", by="olga", reason="hands on", for_s=60, force=False, now_unix_s=T0)
    assert fleet.declared() == {"orin": declared}
    assert fleet.next_release_unix_s(now_unix_s=T0) == T0 + 60
    assert fleet.standings(now_unix_s=T0)["orin"].administration.owner == "olga"
    create(repository, study())
    overview = fleet.overview(now_unix_s=T0)
    assert overview == fleet.overview(now_unix_s=T0)
    assert fleet.apply_inventory([], prune=True, dry_run=False, by="", now_unix_s=T0)[0].kind == "removed"
    assert fleet.declared() == {}


def test_people_share_by_what_they_have_used(repository: Repository) -> None:
    add_device(repository, "orin", labels=["local"])
    for owner in ("olga", "peter"):
        repository.create_study(
            study(owner, salt=owner), reuse=False, now_unix_s=T0, terms=Terms(owner=owner)
        )
    finish(repository, take(repository), now=T0 + 500)
    second = take(repository, now=T0 + 501)
    owners = [name for name in ("olga", "peter") if holds(repository, name, second.lease.attempt_id)]
    assert owners == ["peter"]


def test_bytes_that_nothing_refers_to_are_a_whole_number(repository: Repository, place: Place) -> None:
    create(repository, study(cells=1, seeds=(1,)))
    offer = take(repository)
    file = FileRef(path="trace/board.trace", sha256="b" * 64, size_bytes=2**40)
    repository.commit_result(submission_of(offer, files=[file]), now_unix_s=T0)
    assert repository.orphans().attempt_ids == ()
    engine = place.engine()
    with engine.begin() as connection:
        connection.execute(text("UPDATE trial SET canonical_attempt_id = NULL"))
        connection.execute(text("UPDATE attempt SET trial_id = NULL"))
    orphans = repository.orphans()
    assert orphans.attempt_ids == (offer.lease.attempt_id,)
    # The trace and result.json.
    assert (orphans.file_bytes, type(orphans.file_bytes)) == (2**40 + 10, int)


def holds(repository: Repository, name: str, attempt_id: str) -> bool:
    study_id = repository.find_study(name).study_id
    return attempt_id in {row.attempt_id for row in repository.attempts(study_id)}
