"""Registering, attaching, reusing, cancelling, resuming and deleting studies."""

from __future__ import annotations

import pytest

from edgerig.errors import NotFoundError, UsageError
from edgerig_controller.store.leases import Held
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import (
    T0,
    add_device,
    create,
    finish,
    run_all,
    study,
    submission_of,
    take,
)


def states(repository: Repository, study_id: str) -> list[str]:
    return sorted(row.state for row in repository.trials(study_id))


def test_a_study_is_stored_with_cells_trials_and_registration(repository: Repository) -> None:
    row, attached, reused = repository.create_study(study(), reuse=True, now_unix_s=T0)
    assert (attached, reused, row.trial_count, row.state) == (False, 0, 4, "active")
    assert row.claims == [{"id": "c"}]
    assert row.exclusions == [{"factors": {"method": "x"}, "reason": "why", "source": "study"}]
    assert [cell.label for cell in repository.cells(row.study_id)] == ["cell 0", "cell 1"]
    assert states(repository, row.study_id) == ["queued"] * 4


def test_the_same_digest_attaches(repository: Repository) -> None:
    first = create(repository, study())
    row, attached, _ = repository.create_study(study(), reuse=True, now_unix_s=T0 + 1)
    assert (row.study_id, attached) == (first, True)
    assert len(repository.studies()) == 1


def test_a_study_without_trials_left_is_finished_at_once(repository: Repository) -> None:
    study_id = create(repository, study(unfit={0: "needs 9 GiB of 8 GiB", 1: "too"}))
    assert repository.find_study(study_id).state == "finished"


def test_a_cell_that_fits_nowhere_is_a_result_without_an_attempt_on_a_device(repository: Repository) -> None:
    study_id = create(repository, study(unfit={1: "needs 9 GiB of 8 GiB"}))
    unfit = [row for row in repository.attempts(study_id) if row.cell_index == 1]
    assert [(row.status, row.failure_class, row.device_id, row.canonical) for row in unfit] == [
        ("failed", "does_not_fit", "", True)
    ] * 2
    assert unfit[0].failure_message == "needs 9 GiB of 8 GiB"
    assert states(repository, study_id) == ["done", "done", "queued", "queued"]
    assert repository.find_study(study_id).failed_count == 2


def test_identical_trials_are_reused(repository: Repository) -> None:
    run_all_of_first = create(repository, study("first"))
    run_all(repository)
    row, _, reused = repository.create_study(study("second", cells=3), reuse=True, now_unix_s=T0)
    assert reused == 4
    assert states(repository, row.study_id) == ["done"] * 4 + ["queued"] * 2
    own = {item.attempt_id for item in repository.attempts(run_all_of_first)}
    again = repository.attempts(row.study_id)
    assert {item.attempt_id for item in again} == own
    assert all(item.reused and item.canonical for item in again)
    assert len(repository.scores(row.study_id)) == 8


def test_reuse_can_be_declined(repository: Repository) -> None:
    create(repository, study("first"))
    run_all(repository)
    _, _, reused = repository.create_study(study("second"), reuse=False, now_unix_s=T0)
    assert reused == 0


def test_results_under_another_environment_are_not_reused(repository: Repository) -> None:
    create(repository, study("first"))
    run_all(repository)
    facts = repository.devices()[0].facts
    assert facts is not None
    facts.environment_digest = "f" * 64
    repository.store_facts("local", facts, now_unix_s=T0)
    assert repository.create_study(study("second"), reuse=True, now_unix_s=T0)[2] == 0


def test_results_of_devices_that_the_study_does_not_name_are_not_reused(repository: Repository) -> None:
    create(repository, study("first"))
    run_all(repository)
    other = study("second", names=("orin-07",), labels=())
    assert repository.create_study(other, reuse=True, now_unix_s=T0)[2] == 0


@pytest.mark.parametrize(
    ("failure", "reused"), [("oom_cuda", 4), ("timeout", 4), ("worker_error", 0), ("killed", 0)]
)
def test_failures_are_reused_only_when_they_are_results(
    repository: Repository, failure: str, reused: int
) -> None:
    create(repository, study("first"))
    run_all(repository, failure=failure)
    assert repository.create_study(study("second"), reuse=True, now_unix_s=T0)[2] == reused


def test_a_study_is_finished_with_its_last_result(repository: Repository) -> None:
    study_id = create(repository, study())
    run_all(repository, now=T0 + 100)
    row = repository.find_study(study_id)
    assert (row.state, row.done_count, row.failed_count) == ("finished", 4, 0)
    assert row.finished_unix_s == T0 + 105


def test_studies_are_served_in_the_order_of_their_submission(repository: Repository) -> None:
    first = create(repository, study("first"))
    second = create(repository, study("second", salt="x"))
    offers = run_all(repository)
    order = {
        row.attempt_id: study_id for study_id in (first, second) for row in repository.attempts(study_id)
    }
    assert [order[offer.lease.attempt_id] for offer in offers] == [first] * 4 + [second] * 4


def test_cancelling_empties_the_queue_and_withdraws_the_running_attempt(repository: Repository) -> None:
    study_id = create(repository, study())
    offer = take(repository)
    cancelled = repository.cancel_study(study_id, now_unix_s=T0)
    assert cancelled.cancelled_count == 4
    assert [lease.attempt_id for lease in cancelled.held] == [offer.lease.attempt_id]
    assert states(repository, study_id) == ["cancelled"] * 3 + ["leased"]
    held = [Held(offer.lease.attempt_id, offer.lease.epoch, "running")]
    synced = repository.sync("local", held, wants_work=False, now_unix_s=T0)
    assert synced.orders[0].verdict == "cancel"
    assert finish(repository, offer, failure="killed") == "superseded"
    assert states(repository, study_id) == ["cancelled"] * 4
    assert repository.progress(study_id).finished


def test_a_cancelled_attempt_that_had_already_ended_well_counts(repository: Repository) -> None:
    study_id = create(repository, study())
    offer = take(repository)
    repository.cancel_study(study_id, now_unix_s=T0)
    assert finish(repository, offer) == "canonical"
    assert states(repository, study_id) == ["cancelled"] * 3 + ["done"]


def test_resume_queues_cancelled_trials_again(repository: Repository) -> None:
    study_id = create(repository, study())
    repository.cancel_study(study_id, now_unix_s=T0)
    assert repository.resume_study(study_id, now_unix_s=T0) == 4
    assert repository.find_study(study_id).state == "active"
    assert len(run_all(repository)) == 4


def test_a_trial_whose_withdrawn_attempt_ends_after_resume_is_queued_again(repository: Repository) -> None:
    study_id = create(repository, study(cells=1, seeds=(1,)))
    offer = take(repository)
    repository.cancel_study(study_id, now_unix_s=T0)
    assert repository.resume_study(study_id, now_unix_s=T0) == 0
    finish(repository, offer, failure="killed")
    assert states(repository, study_id) == ["queued"]


@pytest.mark.parametrize(
    ("failure", "again"),
    [("worker_error", 4), ("killed", 4), ("not_installed", 4), ("oom_host", 0), ("does_not_fit", 0), ("", 0)],
)
def test_resume_repeats_what_died_and_keeps_what_is_a_result(
    repository: Repository, failure: str, again: int
) -> None:
    study_id = create(repository, study())
    run_all(repository, failure=failure)
    assert repository.resume_study(study_id, now_unix_s=T0) == again
    assert repository.find_study(study_id).state == ("active" if again else "finished")


def test_after_a_resume_the_new_result_counts_and_the_old_one_is_kept(repository: Repository) -> None:
    study_id = create(repository, study(cells=1, seeds=(1,)))
    run_all(repository, failure="worker_error")
    repository.resume_study(study_id, now_unix_s=T0)
    run_all(repository, now=T0 + 50)
    rows = repository.attempts(study_id)
    assert [(row.status, row.canonical, row.epoch) for row in rows] == [("failed", False, 1), ("ok", True, 2)]
    assert repository.find_study(study_id).failed_count == 0
    assert repository.trials(study_id)[0].attempt_count == 2


def test_a_running_study_is_not_deleted(repository: Repository) -> None:
    study_id = create(repository, study())
    take(repository)
    with pytest.raises(UsageError, match="still running"):
        repository.delete_study(study_id, now_unix_s=T0)


def test_deleting_removes_a_study_with_all_its_rows(repository: Repository) -> None:
    study_id = create(repository, study(blobs=frozenset({"b" * 64})))
    run_all(repository)
    assert "b" * 64 in repository.referenced_blobs()
    repository.delete_study(study_id, now_unix_s=T0)
    assert repository.studies() == []
    assert repository.referenced_blobs() == set()
    assert repository.orphans().attempt_ids == ()


def test_results_that_another_study_reuses_survive_a_deletion(repository: Repository) -> None:
    first = create(repository, study("first"))
    run_all(repository)
    second = create(repository, study("second"))
    repository.delete_study(first, now_unix_s=T0)
    assert len(repository.scores(second)) == 8
    third = repository.create_study(study("third"), reuse=True, now_unix_s=T0)
    assert third[2] == 4
    repository.delete_study(second, now_unix_s=T0)
    repository.delete_study(third[0].study_id, now_unix_s=T0)
    assert repository.referenced_blobs() == set()


def test_deleting_one_of_two_studies_keeps_shared_blobs(repository: Repository) -> None:
    first = create(repository, study("first", blobs=frozenset({"b" * 64, "c" * 64})))
    create(repository, study("second", blobs=frozenset({"c" * 64})))
    repository.delete_study(first, now_unix_s=T0)
    assert repository.referenced_blobs() == {"c" * 64}


@pytest.mark.parametrize("use", ["cancel_study", "resume_study", "delete_study"])
def test_an_unknown_study_is_named(repository: Repository, use: str) -> None:
    with pytest.raises(NotFoundError, match="nosuch"):
        getattr(repository, use)("nosuch", now_unix_s=T0)


def test_a_second_device_takes_another_trial(repository: Repository) -> None:
    add_device(repository, "orin", labels=["local"])
    create(repository, study())
    first, second = take(repository), take(repository, "orin")
    assert first.trial.digest != second.trial.digest


def test_a_large_study_is_stored_in_one_go(repository: Repository) -> None:
    study_id = create(repository, study(cells=600, seeds=(1, 2)))
    assert repository.find_study(study_id).trial_count == 1200
    assert submission_of(take(repository)).device_id == "local"
