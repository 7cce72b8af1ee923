"""Committing results: durable once, canonical once, nothing dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from edgerig import documents
from edgerig.v1.trial_pb2 import FileRef
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.results import Submission
from edgerig_controller.study.prepared import RetryRule
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
from tests.controller.store.conftest import Place


def commit(repository: Repository, submission: Submission) -> str:
    return repository.commit_result(submission, now_unix_s=T0 + 10).outcome


def test_a_result_is_stored_with_all_that_it_brings(repository: Repository) -> None:
    study_id = create(repository, study())
    offer = take(repository)
    trace = FileRef(path="trace/memory.trace", sha256="b" * 64, size_bytes=5)
    assert commit(repository, submission_of(offer, files=[trace])) == "canonical"
    row = next(item for item in repository.attempts(study_id) if item.canonical)
    assert (row.status, row.quality, row.duration_s, row.flags) == ("ok", 0.5, 2.5, ["indicative"])
    assert [(item.name, item.phase, item.value) for item in repository.measurements(study_id)] == [
        ("ttft_s", "inference", 0.1),
        ("energy_j", "train", None),
    ]
    assert repository.measurements(study_id)[1].unavailable_reason == "no sensor"
    assert [item.item_id for item in repository.scores(study_id)] == ["i0", "i1"]
    assert repository.trace_files(study_id) == [(row.attempt_id, "trace/memory.trace", "b" * 64)]
    assert "b" * 64 in repository.referenced_blobs()


def test_committing_the_same_twice_changes_nothing(repository: Repository) -> None:
    study_id = create(repository, study())
    submission = submission_of(take(repository))
    commit(repository, submission)
    assert commit(repository, submission) == "already_have"
    assert len(repository.scores(study_id)) == 2


def test_another_result_of_the_same_attempt_is_kept_as_a_conflict(repository: Repository) -> None:
    study_id = create(repository, study())
    offer = take(repository)
    commit(repository, submission_of(offer, quality=0.5))
    second = submission_of(offer, quality=0.9)
    assert commit(repository, second) == "conflict"
    assert commit(repository, second) == "already_have"
    assert [row.quality for row in repository.attempts(study_id) if row.canonical] == [0.5]
    assert {item.score for item in repository.scores(study_id)} == {0.5}
    assert {file.sha256 for file in second.manifest.files} <= repository.referenced_blobs()


def test_a_second_canonical_result_is_impossible_in_the_database(
    repository: Repository, place: Place
) -> None:
    create(repository, study())
    offer = take(repository)
    commit(repository, submission_of(offer, quality=0.5))
    commit(repository, submission_of(offer, quality=0.9))
    engine = place.engine()
    with pytest.raises(IntegrityError, match="trial_id"), engine.begin() as connection:
        connection.execute(text("UPDATE result SET canonical = true"))
    engine.dispose()


@pytest.mark.parametrize(
    "change",
    [{"attempt_id": "nosuch"}, {"device_id": "orin"}, {"epoch": 99}],
)
def test_results_of_strangers_are_discarded(repository: Repository, change: dict[str, object]) -> None:
    study_id = create(repository, study())
    submission = replace(submission_of(take(repository)), **change)  # type: ignore[arg-type]
    assert commit(repository, submission) == "discarded"
    assert repository.scores(study_id) == []


def test_a_result_of_another_trial_is_discarded(repository: Repository) -> None:
    create(repository, study())
    submission = submission_of(take(repository))
    submission.result.trial_digest = "0" * 64
    assert commit(repository, submission) == "discarded"


def test_a_result_after_its_study_was_deleted_is_discarded(repository: Repository) -> None:
    add_device(repository, "orin", labels=["local"])
    first = create(repository, study())
    offer = take(repository)
    repository.expire_leases(now_unix_s=T0 + 1e4)
    repository.expire_leases(now_unix_s=T0 + 2e4)
    repository.delete_study(first, now_unix_s=T0)
    assert commit(repository, submission_of(offer)) == "discarded"


def test_a_failure_is_a_result_with_its_class(repository: Repository) -> None:
    study_id = create(repository, study())
    assert commit(repository, submission_of(take(repository), failure="oom_cuda", scores=0)) == "canonical"
    row = next(item for item in repository.attempts(study_id) if item.canonical)
    assert (row.status, row.failure_class, row.quality) == ("failed", "oom_cuda", None)
    assert repository.find_study(study_id).failed_count == 1


def test_a_committed_result_survives_a_killed_controller(repository: Repository, place: Place) -> None:
    study_id = create(repository, study())
    run_all(repository)
    # No close: the database is found as a killed process leaves it.
    other = place.open_readonly()
    assert other.find_study(study_id).done_count == 4
    assert len(other.scores(study_id)) == 8
    other.close()


def test_the_whole_message_is_kept(repository: Repository, place: Place) -> None:
    create(repository, study())
    submission = submission_of(take(repository))
    commit(repository, submission)
    engine = place.engine()
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT document FROM result")).scalar_one()
    engine.dispose()
    assert documents.to_json(type(submission.result).FromString(stored)) == documents.to_json(
        submission.result
    )


def retrying(repository: Repository, max_attempts: int) -> str:
    prepared = replace(
        study(cells=1, seeds=(1,)), retry=RetryRule(max_attempts, ("killed", "rebooted", "agent_lost"))
    )
    return create(repository, prepared)


def test_a_killed_trial_runs_again_where_its_study_says_so(repository: Repository) -> None:
    study_id = retrying(repository, 2)
    assert finish(repository, take(repository), failure="killed") == "superseded"
    assert repository.trials(study_id)[0].state == "queued"
    # The second time it stands.
    assert finish(repository, take(repository, now=T0 + 20), failure="killed", now=T0 + 30) == "canonical"
    assert repository.trials(study_id)[0].state == "done"
    assert [row.failure_class for row in repository.attempts(study_id)] == ["killed", "killed"]


def test_a_result_that_says_something_of_the_cell_is_not_tried_again(repository: Repository) -> None:
    study_id = retrying(repository, 5)
    assert finish(repository, take(repository), failure="timeout") == "canonical"
    assert repository.trials(study_id)[0].state == "done"


def test_a_lost_device_frees_its_trial_where_the_study_says_so(repository: Repository) -> None:
    study_id = retrying(repository, 2)
    take(repository)
    repository.expire_leases(now_unix_s=T0 + 1000)
    assert repository.expire_leases(now_unix_s=T0 + 5000).freed
    assert repository.trials(study_id)[0].state == "queued"
    take(repository, now=T0 + 5001)
    repository.expire_leases(now_unix_s=T0 + 6000)
    assert not repository.expire_leases(now_unix_s=T0 + 9000).freed
    assert [row.failure_class for row in repository.attempts(study_id) if row.canonical] == ["agent_lost"]
