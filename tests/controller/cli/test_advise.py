"""`edgerig advise` on exports of studies that were made up, through the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_controller.export import export
from tests.controller.cli.conftest import Edgerig
from tests.controller.evidence import made


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Exports a study of two models on one board; returns the folder."""
    export(made.study(), "parquet", tmp_path / "export")
    return str(tmp_path / "export")


def test_advice_lists_what_fits_the_best_first(edgerig: Edgerig, folder: str) -> None:
    ran = edgerig("advise", "--from", folder, "--device", "orin-01", "--task", "lamp-2", "--json")
    assert ran.code == 0
    advice = ran.document["advice"]
    quality = [option["quality"]["value"] for option in advice["options"]]
    assert len(quality) == 6 and quality == sorted(quality, reverse=True)
    assert advice["boundary"] == "module_in"
    assert sum(option["probability_best"] for option in advice["options"]) == pytest.approx(1.0)
    assert ran.document["limits"]["ram_bytes"] == 8 * made.GIB


def test_a_limit_that_nothing_keeps_has_its_own_exit_code(edgerig: Edgerig, folder: str) -> None:
    ran = edgerig("advise", "--from", folder, "--ram", "1MiB", "--task", "lamp-2", "--json")
    assert ran.code == ran.document["exit_code"] == 1
    advice = ran.document["advice"]
    assert not advice["options"] and len(advice["excluded"]) == 6
    assert "the limit is 1 MiB" in advice["excluded"][0]["reasons"][0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--task", "lamp-7", "--device", "orin-01"), "lamp-7 was not measured; measured tasks: lamp-2"),
        (
            ("--task", "lamp-2", "--device", "pi-5", "--ram", "8GiB"),
            "measured on orin-01, whose time and energy",
        ),
    ],
)
def test_without_evidence_it_says_so(
    edgerig: Edgerig, folder: str, asked: tuple[str, ...], said: str
) -> None:
    ran = edgerig("advise", "--from", folder, *asked, "--json")
    assert ran.code == 5
    assert ran.document["advice"] is None
    assert said in ran.document["no_evidence"]


def test_an_unknown_device_is_named_with_those_that_have_results(edgerig: Edgerig, folder: str) -> None:
    ran = edgerig("advise", "--from", folder, "--device", "pi-5", "--task", "lamp-2")
    assert ran.code == 5
    assert "orin-01" in ran.stderr


def test_advice_for_a_person_says_how_far_it_holds(edgerig: Edgerig, folder: str) -> None:
    ran = edgerig(
        "advise", "--from", folder, "--device", "orin-01", "--task", "lamp-2", "--requests-per-day", "50"
    )
    assert ran.code == 0
    assert "hold for orin-01 only" in ran.stdout
    assert "P(best)" in ran.stdout


def test_which_box_must_be_said(edgerig: Edgerig, folder: str) -> None:
    ran = edgerig("advise", "--from", folder, "--task", "lamp-2")
    assert ran.code == 2 and "--device" in ran.stderr


@pytest.mark.parametrize("size", ["8 parsecs", "0", "-1GiB"])
def test_a_size_that_is_none_is_refused(edgerig: Edgerig, folder: str, size: str) -> None:
    assert edgerig("advise", "--from", folder, "--ram", size, "--task", "lamp-2").code == 2
