"""Reading: finding studies as people name them, beside a controller or without one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgerig.errors import NotFoundError, StorageError
from edgerig.v1 import attempt_pb2
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.rows import PointRow
from edgerig_controller.study.prepared import Prediction
from tests.controller.store.building import T0, create, finish, run_all, study, submission_of, take
from tests.controller.store.conftest import Place


def test_a_name_means_the_newest_study_of_that_name(repository: Repository) -> None:
    create(repository, study("quick", salt="old"))
    newest = create(repository, study("quick", salt="new"))
    assert repository.find_study("quick").study_id == newest
    assert next(row.study_id for row in repository.studies()) == newest


def test_an_id_its_prefix_and_the_digest_mean_the_same(repository: Repository) -> None:
    study_id = create(repository, study())
    digest = repository.find_study(study_id).digest
    for reference in (study_id, study_id[:4], digest, digest[:30], study_id.upper()):
        assert repository.find_study(reference).study_id == study_id


@pytest.mark.parametrize("reference", ["abc", "", "%%%%", "____", "nosuch"])
def test_what_means_no_study_is_not_found(repository: Repository, reference: str) -> None:
    create(repository, study())
    with pytest.raises(NotFoundError):
        repository.find_study(reference)


def test_a_misspelt_name_gets_a_suggestion(repository: Repository) -> None:
    create(repository, study("quickstart"))
    with pytest.raises(NotFoundError, match="quickstart"):
        repository.find_study("quickstrat")


def test_a_folder_without_a_store_reads_as_empty(home: Home) -> None:
    repository = Repository.open_readonly(home)
    assert repository.studies() == []
    repository.close()
    assert not home.store_path.exists()


def test_reading_works_while_a_controller_writes(repository: Repository, place: Place) -> None:
    study_id = create(repository, study())
    reader = place.open_readonly()
    assert reader.find_study(study_id).done_count == 0
    run_all(repository)
    assert reader.find_study(study_id).done_count == 4
    reader.close()


def test_a_reader_cannot_write(repository: Repository, place: Place) -> None:
    study_id = create(repository, study())
    reader = place.open_readonly()
    with pytest.raises(StorageError, match=r"read-?only"):
        reader.cancel_study(study_id, now_unix_s=T0)
    reader.close()


def test_an_open_attempt_is_listed_without_a_result(repository: Repository) -> None:
    study_id = create(repository, study())
    take(repository)
    row = repository.attempts(study_id)[0]
    assert (row.state, row.status, row.canonical, row.ended_unix_s) == ("running", "", False, None)


def test_progress_counts_and_names_what_runs(repository: Repository) -> None:
    study_id = create(repository, study())
    finish(repository, take(repository))
    take(repository)
    progress = repository.progress(study_id)
    assert (progress.queued_count, progress.leased_count, progress.study.done_count) == (2, 1, 1)
    assert [item.device_id for item in progress.running] == ["local"]
    assert progress.finished_mean_s == 10.0
    assert not progress.finished


def test_what_is_predicted_counts_only_where_all_of_it_is(repository: Repository) -> None:
    prepared = study(cells=2, seeds=(1, 2))
    known = [replace(cell, duration_s=Prediction(5.0, "measured")) for cell in prepared.cells]
    whole = create(repository, replace(prepared, cells=tuple(known)))
    assert repository.progress(whole).predicted_s == 20.0
    half = create(repository, replace(prepared, cells=(known[0], prepared.cells[1]), digest="d" * 64))
    assert repository.progress(half).predicted_s is None
    assert repository.progress(half).finished_mean_s is None
    # What has been measured counts more: then nobody adds up predictions.
    finish(repository, take(repository))
    after = repository.progress(whole)
    assert (after.predicted_s, after.finished_mean_s) == (None, 10.0)


def test_devices_are_listed_with_their_facts_or_without(repository: Repository) -> None:
    facts = DeviceFacts(hostname="orin", memory_bytes=2**33)
    repository.store_facts("local", facts, now_unix_s=T0)
    (whole,), (small,) = repository.devices(), repository.devices(facts=False)
    assert whole.facts == facts
    assert small.facts is None
    assert small.facts_unix_s == whole.facts_unix_s == T0
    assert (small.labels, small.enrolled) == (whole.labels, whole.enrolled)


def test_durations_of_earlier_trials_are_found_by_digest(repository: Repository) -> None:
    create(repository, study())
    offer = take(repository)
    finish(repository, offer, now=T0 + 40)
    assert repository.trial_durations() == {offer.trial.digest: 40.0}


def test_points_of_training_are_read_with_their_energy(repository: Repository) -> None:
    study_id = create(repository, study())
    offer = take(repository)
    submission = submission_of(offer)
    point = submission.result.points.add(index=1, budget_share=0.25, samples=60, duration_s=1.5, score=0.4)
    point.energy.add(source="ina", boundary=attempt_pb2.BOUNDARY_MODULE_IN, energy_j=7.0)
    for source in ("rapl:0", "rapl:1"):
        point.energy.add(source=source, boundary=attempt_pb2.BOUNDARY_CPU_PKG, energy_j=3.0)
    submission.result.points.add(index=2, samples=240)
    repository.commit_result(submission, now_unix_s=T0 + 10)
    first, second = repository.points(study_id)
    # Two sources of one boundary are no sum that anybody measured.
    assert first == PointRow(offer.lease.attempt_id, 1, 0.25, 60, 1.5, {"module_in": 7.0}, 0.4)
    assert (second.index, second.score, second.energy_j) == (2, None, {})
