"""Leaving trials out: once, with a reason, and never one that a device has."""

from __future__ import annotations

from sqlalchemy import text

from edgerig_controller.store.repository import Repository
from tests.controller.store.building import T0, create, finish, study, take
from tests.controller.store.conftest import Place


def ids(repository: Repository, study_id: str, state: str) -> set[str]:
    return {trial.trial_id for trial in repository.trials(study_id) if trial.state == state}


def test_a_block_has_ended_with_its_last_result(repository: Repository) -> None:
    study_id = create(repository, study(cells=2, seeds=(1, 2)))
    ended = []
    for _ in range(4):
        offer = take(repository)
        finish(repository, offer)
        ended.append(repository.block_ended(study_id, offer.lease.attempt_id))
    # At the very end nothing waits, so there is nothing to ask.
    assert ended == [False, True, False, False]
    assert not repository.block_ended(study_id, "no such attempt")


def test_what_is_left_out_is_offered_to_nobody_and_ends_the_study(
    repository: Repository, place: Place
) -> None:
    study_id = create(repository, study(cells=2, seeds=(1, 2)))
    for _ in range(2):
        finish(repository, take(repository))
    waiting = ids(repository, study_id, "queued")
    assert repository.leave_out(study_id, dict.fromkeys(waiting, "settled: c"), now_unix_s=T0 + 20) == 2
    assert ids(repository, study_id, "settled") == waiting
    assert repository.find_study(study_id).state == "finished"
    assert repository.sync("local", [], wants_work=True, now_unix_s=T0 + 21).offer is None
    with place.engine().connect() as connection:
        (detail,) = connection.execute(text("SELECT detail FROM event WHERE kind = 'trials_left_out'")).one()
    assert detail == "2 trials: settled: c"


def test_a_trial_that_a_device_has_taken_runs_on(repository: Repository) -> None:
    study_id = create(repository, study(cells=2, seeds=(1,)))
    offer = take(repository)
    every = {trial.trial_id for trial in repository.trials(study_id)}
    assert repository.leave_out(study_id, dict.fromkeys(every, "why"), now_unix_s=T0 + 1) == 1
    assert finish(repository, offer) == "canonical"
    assert repository.find_study(study_id).state == "finished"


def test_a_settled_trial_is_not_resumed(repository: Repository) -> None:
    study_id = create(repository, study(cells=1, seeds=(1, 2)))
    finish(repository, take(repository))
    waiting = ids(repository, study_id, "queued")
    repository.leave_out(study_id, dict.fromkeys(waiting, "why"), now_unix_s=T0 + 20)
    assert repository.resume_study(study_id, now_unix_s=T0 + 30) == 0
