"""Leases in the database: nothing lost, nothing run twice unnoticed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from edgerig import documents
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.trial_pb2 import Trial
from edgerig_controller.store.leases import Expired, Held
from edgerig_controller.store.repository import Repository
from edgerig_controller.study.prepared import PlannedTrial, PreparedStudy, RetryRule
from tests.controller.store.building import T0, add_device, create, finish, start, study, submission_of, take
from tests.controller.store.conftest import Place


def one_trial(repository: Repository) -> str:
    return create(repository, study(cells=1, seeds=(1,)))


def trial_state(repository: Repository, study_id: str) -> str:
    return repository.trials(study_id)[0].state


def test_an_offer_is_repeated_until_it_is_answered(repository: Repository) -> None:
    create(repository, study())
    first = repository.sync("local", [], wants_work=True, now_unix_s=T0).offer
    again = repository.sync("local", [], wants_work=True, now_unix_s=T0 + 60).offer
    assert first is not None
    assert again is not None
    assert again.lease.attempt_id == first.lease.attempt_id
    assert again.lease.deadline_unix_s == T0 + 150


def test_a_device_has_one_trial_at_a_time(repository: Repository) -> None:
    create(repository, study())
    offer = take(repository)
    held = [Held(offer.lease.attempt_id, offer.lease.epoch, "running")]
    assert repository.sync("local", held, wants_work=True, now_unix_s=T0).offer is None


def test_two_open_leases_of_one_device_are_impossible_in_the_database(
    repository: Repository, place: Place
) -> None:
    create(repository, study())
    take(repository)
    engine = place.engine()
    copy = "INSERT INTO attempt SELECT 'other', trial_id, device_id, 9, state, budget_s, began, "
    copy += "deadline_unix_s, quiet_until_unix_s, cancel_reason, boot_id, created_unix_s, began_unix_s, "
    copy += "ended_unix_s FROM attempt"
    with pytest.raises(IntegrityError, match="device_id"), engine.begin() as connection:
        connection.execute(text(copy))
    engine.dispose()


def test_a_device_that_wants_no_work_gets_none(repository: Repository) -> None:
    create(repository, study())
    assert repository.sync("local", [], wants_work=False, now_unix_s=T0).offer is None


def test_a_device_without_the_labels_gets_none(repository: Repository) -> None:
    add_device(repository, "orin", labels=["lab"])
    create(repository, study())
    assert repository.sync("orin", [], wants_work=True, now_unix_s=T0).offer is None


def test_the_offer_is_granted_only_to_its_device_and_epoch(repository: Repository) -> None:
    add_device(repository, "orin", labels=["local"])
    create(repository, study())
    offer = repository.sync("local", [], wants_work=True, now_unix_s=T0).offer
    assert offer is not None
    attempt_id, epoch = offer.lease.attempt_id, offer.lease.epoch
    assert repository.accept_lease("orin", attempt_id, epoch, now_unix_s=T0).verdict == "discard"
    assert repository.accept_lease("local", attempt_id, epoch + 1, now_unix_s=T0).verdict == "discard"
    assert repository.accept_lease("local", "nosuch", epoch, now_unix_s=T0).verdict == "discard"
    assert repository.accept_lease("local", attempt_id, epoch, now_unix_s=T0).verdict == "continue"


def test_an_expired_offer_is_leased_anew_with_a_higher_epoch(repository: Repository) -> None:
    study_id = one_trial(repository)
    first = repository.sync("local", [], wants_work=True, now_unix_s=T0).offer
    assert first is not None
    assert repository.expire_leases(now_unix_s=T0 + 90) == Expired(frozenset({study_id}), freed=True)
    assert trial_state(repository, study_id) == "queued"
    late = repository.accept_lease("local", first.lease.attempt_id, first.lease.epoch, now_unix_s=T0 + 91)
    assert late.verdict == "discard"
    second = take(repository, now=T0 + 100)
    assert second.lease.epoch == first.lease.epoch + 1
    # An offer that nobody took is no attempt.
    assert len(repository.attempts(study_id)) == 1


def test_an_expired_lease_is_not_given_to_another_device(repository: Repository) -> None:
    add_device(repository, "orin", labels=["local"])
    study_id = one_trial(repository)
    take(repository)
    assert repository.next_deadline() == T0 + 60 + 90
    repository.expire_leases(now_unix_s=T0 + 150)
    assert repository.attempts(study_id)[0].state == "unknown"
    assert repository.sync("orin", [], wants_work=True, now_unix_s=T0 + 150).offer is None


def test_an_agent_that_reappears_goes_on_with_its_attempt(repository: Repository) -> None:
    study_id = one_trial(repository)
    offer = take(repository)
    repository.expire_leases(now_unix_s=T0 + 150)
    held = [Held(offer.lease.attempt_id, offer.lease.epoch, "running")]
    synced = repository.sync("local", held, wants_work=False, now_unix_s=T0 + 500)
    assert synced.orders[0].verdict == "continue"
    assert repository.attempts(study_id)[0].state == "running"


def test_a_silent_device_ends_as_agent_lost(repository: Repository) -> None:
    study_id = one_trial(repository)
    take(repository)
    repository.expire_leases(now_unix_s=T0 + 150)
    assert repository.expire_leases(now_unix_s=T0 + 150 + 120 + 600).touched == {study_id}
    row = repository.attempts(study_id)[0]
    assert (row.state, row.failure_class, row.canonical) == ("lost", "agent_lost", True)
    assert repository.find_study(study_id).state == "finished"
    assert repository.next_deadline() is None


def test_a_late_result_takes_the_place_of_agent_lost(repository: Repository) -> None:
    study_id = one_trial(repository)
    offer = take(repository)
    repository.expire_leases(now_unix_s=T0 + 150)
    repository.expire_leases(now_unix_s=T0 + 5000)
    held = [Held(offer.lease.attempt_id, offer.lease.epoch, "finished")]
    assert repository.sync("local", held, wants_work=True, now_unix_s=T0 + 6000).orders[0].verdict == "send"
    assert finish(repository, offer, now=T0 + 6001) == "canonical"
    rows = repository.attempts(study_id)
    assert [(row.status, row.canonical, row.state) for row in rows] == [("ok", True, "committed")]
    assert repository.find_study(study_id).failed_count == 0


def test_a_late_result_is_kept_beside_that_of_a_newer_attempt(repository: Repository) -> None:
    study_id = one_trial(repository)
    first = take(repository)
    repository.expire_leases(now_unix_s=T0 + 150)
    repository.expire_leases(now_unix_s=T0 + 5000)
    repository.resume_study(study_id, now_unix_s=T0 + 5000)
    add_device(repository, "orin", labels=["local"])
    second = take(repository, "orin", now=T0 + 5001)
    newer = submission_of(second, device_id="orin")
    assert repository.commit_result(newer, now_unix_s=T0 + 5100).outcome == "canonical"
    assert finish(repository, first, now=T0 + 6000) == "superseded"
    canonical = [row.attempt_id for row in repository.attempts(study_id) if row.canonical]
    assert canonical == [second.lease.attempt_id]


def test_a_late_result_withdraws_an_offer_that_nobody_has_taken(repository: Repository) -> None:
    study_id = one_trial(repository)
    first = take(repository)
    repository.expire_leases(now_unix_s=T0 + 150)
    repository.expire_leases(now_unix_s=T0 + 5000)
    repository.resume_study(study_id, now_unix_s=T0 + 5000)
    add_device(repository, "orin", labels=["local"])
    offer = repository.sync("orin", [], wants_work=True, now_unix_s=T0 + 5001).offer
    assert offer is not None
    assert finish(repository, first, now=T0 + 5002) == "canonical"
    late = repository.accept_lease("orin", offer.lease.attempt_id, offer.lease.epoch, now_unix_s=T0 + 5003)
    assert late.verdict == "discard"
    assert repository.find_study(study_id).state == "finished"


def test_an_attempt_that_began_and_that_the_device_forgot_is_agent_lost(repository: Repository) -> None:
    study_id = one_trial(repository)
    take(repository)
    synced = repository.sync("local", [], wants_work=True, now_unix_s=T0 + 20)
    assert synced.offer is None
    assert repository.attempts(study_id)[0].failure_class == "agent_lost"


def test_an_attempt_that_never_began_and_that_the_device_forgot_runs_again(repository: Repository) -> None:
    study_id = one_trial(repository)
    offer = repository.sync("local", [], wants_work=True, now_unix_s=T0).offer
    assert offer is not None
    repository.accept_lease("local", offer.lease.attempt_id, offer.lease.epoch, now_unix_s=T0)
    synced = repository.sync("local", [], wants_work=True, now_unix_s=T0 + 20)
    assert synced.offer is not None
    assert synced.offer.lease.attempt_id != offer.lease.attempt_id
    assert synced.touched == {study_id}
    assert start(repository, offer, now=T0 + 21) == "cancel"


def test_an_attempt_unknown_here_is_to_be_discarded(repository: Repository) -> None:
    held = [Held("nosuch", 1, "running"), Held("nosuch2", 1, "finished")]
    synced = repository.sync("local", held, wants_work=False, now_unix_s=T0)
    assert [order.verdict for order in synced.orders] == ["discard", "discard"]


def test_another_devices_attempt_is_to_be_discarded(repository: Repository) -> None:
    add_device(repository, "orin")
    one_trial(repository)
    offer = take(repository)
    held = [Held(offer.lease.attempt_id, offer.lease.epoch, "running")]
    synced = repository.sync("orin", held, wants_work=False, now_unix_s=T0)
    assert synced.orders[0].verdict == "discard"


def test_renewing_keeps_an_accepted_lease(repository: Repository) -> None:
    one_trial(repository)
    offer = repository.sync("local", [], wants_work=True, now_unix_s=T0).offer
    assert offer is not None
    repository.accept_lease("local", offer.lease.attempt_id, offer.lease.epoch, now_unix_s=T0)
    repository.renew_lease("local", offer.lease.attempt_id, offer.lease.epoch, now_unix_s=T0 + 80)
    assert repository.next_deadline() == T0 + 170


def test_leases_survive_the_controller(repository: Repository, place: Place) -> None:
    study_id = one_trial(repository)
    offer = take(repository)
    repository.close()
    reopened = place.open()
    held = [Held(offer.lease.attempt_id, offer.lease.epoch, "finished")]
    assert reopened.sync("local", held, wants_work=True, now_unix_s=T0 + 9).orders[0].verdict == "send"
    assert finish(reopened, offer) == "canonical"
    assert reopened.find_study(study_id).state == "finished"
    reopened.close()


def test_a_device_that_does_not_come_back_from_its_restart_fails_its_trial_with_a_class_of_its_own(
    repository: Repository,
) -> None:
    study_id = create(repository, replace(study(cells=1, seeds=(1,)), retry=RetryRule(3, ("agent_lost",))))
    offer = repository.sync("local", [], wants_work=True, now_unix_s=T0).offer
    assert offer is not None
    lease = offer.lease
    repository.accept_lease("local", lease.attempt_id, lease.epoch, now_unix_s=T0)
    held = [Held(lease.attempt_id, lease.epoch, "rebooting", back_s=600.0)]
    assert repository.sync("local", held, wants_work=False, now_unix_s=T0).orders[0].verdict == "continue"
    assert repository.expire_leases(now_unix_s=T0 + 600).touched == frozenset()
    assert repository.expire_leases(now_unix_s=T0 + 700).touched == {study_id}
    attempt = repository.attempts(study_id)[0]
    assert (attempt.failure_class, attempt.canonical) == ("reboot_failed", True)
    assert "did not come back in time" in attempt.failure_message
    # Back after all: nothing has run, and the word is to leave it.
    back = [Held(lease.attempt_id, lease.epoch, "accepted")]
    assert repository.sync("local", back, wants_work=False, now_unix_s=T0 + 900).orders[0].verdict == "cancel"


def of_units(units: int, *, repeats: int = 1) -> PreparedStudy:
    """Makes a study of two cells that runs on several units."""
    one = study(cells=2, seeds=(1,), labels=())
    trials = []
    for planned in one.trials:
        for repeat in range(1, units * repeats + 1):
            trial = Trial()
            trial.CopyFrom(planned.trial)
            trial.repeat, trial.digest = repeat, ""
            trial.digest = documents.digest(documents.to_json(trial))
            trials.append(PlannedTrial(planned.cell_index, trial, unit=(repeat - 1) // repeats + 1))
    return replace(one, trials=tuple(trials), units=units)


def boards(repository: Repository, *names: str, machine: str = "Jetson Orin Nano") -> None:
    for name in names:
        add_device(repository, name)
        repository.store_facts(name, DeviceFacts(machine=machine, memory_bytes=8 * 2**30), now_unix_s=T0)


def work_off(repository: Repository, device_id: str) -> list[tuple[int, int]]:
    """Does all that a device gets; returns (cell, repeat) of each, in order."""
    done = []
    while (offer := repository.sync(device_id, [], wants_work=True, now_unix_s=T0).offer) is not None:
        lease = offer.lease
        repository.accept_lease(device_id, lease.attempt_id, lease.epoch, now_unix_s=T0)
        start(repository, offer, device_id)
        repository.commit_result(submission_of(offer, device_id=device_id), now_unix_s=T0)
        done.append(offer.lease.attempt_id)
    study_id = repository.studies()[0].study_id
    rows = {row.attempt_id: row for row in repository.attempts(study_id)}
    return [(rows[attempt_id].cell_index, rows[attempt_id].repeat) for attempt_id in done]


def test_each_unit_runs_the_whole_study_and_no_device_is_two_units(repository: Repository) -> None:
    boards(repository, "a", "b", "c")
    create(repository, of_units(2, repeats=2))
    first, second, third = (sorted(work_off(repository, name)) for name in "abc")
    assert first == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert second == [(0, 3), (0, 4), (1, 3), (1, 4)]
    assert third == []
    assert repository.studies()[0].state == "finished"


def test_the_list_of_devices_promises_nothing_to_a_device_that_is_no_unit(repository: Repository) -> None:
    boards(repository, "a", "b", "c")
    create(repository, of_units(2, repeats=2))
    for name in ("a", "b"):
        take(repository, name)
    (backlog,) = repository.fleet.overview(now_unix_s=T0).backlogs
    assert (backlog.count, backlog.device_ids) == (6, ("a", "b"))


def test_units_are_of_one_type(repository: Repository) -> None:
    boards(repository, "a")
    boards(repository, "x", machine="Jetson AGX Xavier")
    study_id = create(repository, of_units(2))
    assert len(work_off(repository, "a")) == 2
    assert work_off(repository, "x") == []
    units = repository.progress(study_id).units
    assert units is not None
    assert (units.devices, units.kind) == ({1: "a"}, "Jetson Orin Nano, 8 GiB")
    boards(repository, "b")
    assert len(work_off(repository, "b")) == 2


def test_a_device_whose_offer_came_to_nothing_is_no_unit(repository: Repository) -> None:
    boards(repository, "a", "b")
    study_id = create(repository, of_units(1 + 1))
    assert repository.sync("a", [], wants_work=True, now_unix_s=T0).offer is not None
    repository.expire_leases(now_unix_s=T0 + 100)
    units = repository.progress(study_id).units
    assert units is not None and units.devices == {}
    assert len(work_off(repository, "b")) == 2


def test_stored_results_do_not_stand_for_units(repository: Repository) -> None:
    boards(repository, "a", "b")
    create(repository, of_units(2))
    work_off(repository, "a")
    work_off(repository, "b")
    again = replace(of_units(2), name="again", digest="d" * 64)
    row, _, reused = repository.create_study(again, reuse=True, now_unix_s=T0)
    assert (row.state, reused) == ("active", 0)
