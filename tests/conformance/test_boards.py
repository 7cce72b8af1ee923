"""The agent's own probe on every fake board, and the suite itself on probes that err as known ones do."""

import json
import sys
from pathlib import Path

import pytest

from tests.conformance.check import check, compare, own_probe
from tests.fakes.boards import BOARDS


@pytest.mark.parametrize("board", BOARDS)
def test_the_agents_probe_conforms(board: str, tmp_path: Path) -> None:
    verdict = check(board, tmp_path, BOARDS[board](tmp_path), own_probe())
    if verdict.passed_over:
        pytest.skip(verdict.passed_over)
    assert verdict.wrong == ()


def test_a_total_that_adds_a_branch_to_its_input_is_found(tmp_path: Path) -> None:
    expected = BOARDS["agx_orin"](tmp_path)
    every_rail = sum(source["power_w"] for source in expected["sources"].values())
    found = {**expected, "totals": {"rails_sum": every_rail}}
    assert [line.partition(":")[0] for line in compare(expected, found)] == ["total rails_sum"]


def test_a_total_where_there_is_none_is_found(tmp_path: Path) -> None:
    expected = BOARDS["two_of_a_kind"](tmp_path)
    assert "this board has none" in compare(expected, {**expected, "totals": {"rails_sum": 9.0}})[0]


def test_a_rail_that_is_missed_and_one_that_is_none_are_both_named(tmp_path: Path) -> None:
    expected = BOARDS["orin_nano"](tmp_path)
    (first, *rest) = expected["sources"]
    sources = {name: expected["sources"][name] for name in rest}
    sources["ina3221:1-0040:7:sum"] = {"boundary": "rail", "power_w": 1.0}
    wrong = compare(expected, {**expected, "sources": sources})
    assert {line.partition(": ")[0] for line in wrong} == {first, "ina3221:1-0040:7:sum"}


def test_a_boundary_and_a_unit_that_are_wrong_are_named(tmp_path: Path) -> None:
    expected = BOARDS["agx_thor"](tmp_path)
    sources = json.loads(json.dumps(expected["sources"]))
    sources["ina238:1-0044:VIN"] = {"boundary": "module_in", "power_w": 38250.0}
    wrong = compare(expected, {**expected, "sources": sources})
    assert len(wrong) == 2


def test_a_command_that_prints_no_document_is_wrong_and_quoted(tmp_path: Path) -> None:
    expected = BOARDS["nano"](tmp_path)
    verdict = check(
        "nano", tmp_path, expected, [sys.executable, "-c", "import sys; sys.exit('no sensor here')"]
    )
    assert "no sensor here" in verdict.wrong[0]
