"""Sentence encoders of a study: found like models, and part of the trials that search by meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig.errors import StudyProblems
from edgerig_controller.study.catalog import local_catalog
from tests.controller.study.building import planned, write_model

STUDY = """\
edgerig: 1
name: meaning
protocol: quick
tasks: [{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}]
factors:
  model: [./small]
  method: [{kind: rag, retriever: [bm25, dense], encoder: ./encoder}]
"""


def test_only_trials_that_search_by_meaning_carry_the_encoder(tmp_path: Path) -> None:
    write_model(tmp_path / "small")
    write_model(tmp_path / "encoder", hidden=16)

    study = planned(tmp_path, STUDY, catalog=local_catalog())

    words, meaning = (one.trial for one in study.trials)
    assert not words.HasField("encoder")
    assert meaning.encoder.name == "./encoder"
    assert {file.sha256 for file in meaning.encoder.files} <= study.blobs
    assert study.resolved["resolved_models"]["./encoder"]["digest"] == meaning.encoder.digest


def test_an_encoder_that_is_not_there_is_told_at_its_place(tmp_path: Path) -> None:
    write_model(tmp_path / "small")

    with pytest.raises(StudyProblems) as caught:
        planned(tmp_path, STUDY, catalog=local_catalog())

    assert "there is no model `./encoder`" in str(caught.value)
    assert ":7:" in str(caught.value)


def test_a_search_by_meaning_without_an_encoder_is_left_out_with_the_reason(tmp_path: Path) -> None:
    write_model(tmp_path / "small")

    study = planned(tmp_path, STUDY.replace(", encoder: ./encoder", ""), catalog=local_catalog())

    assert [exclusion.reason for exclusion in study.exclusions] == [
        "a search by meaning needs a sentence encoder: give `encoder`"
    ]
