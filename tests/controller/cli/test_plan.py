"""`edgerig plan --next` on a store that was filled through the real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_controller.home import Home
from tests.controller.cli.conftest import Edgerig
from tests.controller.cli.stored import STUDY, finished

CLAIM = "claims: [{id: rag-helps, better: {method.kind: rag}, than: {method.kind: none}, metric: accuracy}]\n"


@pytest.fixture
def claimed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stores the finished tiny study with a claim; returns its id."""
    monkeypatch.setattr("tests.controller.cli.stored.STUDY", STUDY + CLAIM)
    monkeypatch.setattr("tests.controller.cli.stored.write_study.__defaults__", (STUDY + CLAIM,))
    return finished(home, tmp_path).study_id


def test_the_plan_names_every_claim_once(edgerig: Edgerig, claimed: str) -> None:
    ran = edgerig("plan", "--next", "tiny", "--json")
    assert ran.code == 0
    plan = ran.document["plan"]
    names = [entry["claim_id"] for entry in plan["claims"]] + [text.split(":")[0] for text in plan["settled"]]
    assert names == ["rag-helps"]
    assert ran.document["study_id"] == claimed


def test_the_registered_family_can_be_planned_as_well(edgerig: Edgerig, claimed: str) -> None:
    ran = edgerig("plan", "--next", "tiny", "--registered", "--json")
    assert len(ran.document["plan"]["claims"]) + len(ran.document["plan"]["settled"]) == 14


def test_a_person_reads_what_is_open(edgerig: Edgerig, claimed: str) -> None:
    ran = edgerig("plan", "--next", "tiny")
    assert ran.code == 0 and "rag-helps" in ran.stdout


def test_a_study_without_claims_has_nothing_to_settle(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path)
    assert "no claim" in edgerig("plan", "--next", "tiny").stdout


def test_an_unknown_study_is_not_found(edgerig: Edgerig, claimed: str) -> None:
    assert edgerig("plan", "--next", "nope").code == 5
