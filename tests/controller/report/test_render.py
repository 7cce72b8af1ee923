"""The pages: complete, self-contained, and no markup from outside."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgerig.errors import StorageError
from edgerig_controller.report import render
from edgerig_controller.report.build import build
from edgerig_controller.report.memory import prediction_report
from edgerig_controller.report.model import Report
from edgerig_controller.report.plots import plots
from edgerig_controller.report.svg import Dot, dot_plot
from edgerig_controller.report.weights import Weights
from tests.controller.report.rows import study_data

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Balance(HTMLParser):
    """Raises on the first end tag that does not close the last open one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report() -> Report:
    return build(study_data(), now_unix_s=1_780_000_300.0)


def test_tags_of_the_page_are_balanced(report: Report) -> None:
    parser = Balance()
    parser.feed(render.html(report))
    assert parser.open == []


def test_the_page_needs_no_network_and_no_script(report: Report) -> None:
    page = render.html(report)
    assert not re.search(r"https?://|<script|@import|url\(|\bsrc=|<link", page)


def test_text_of_a_device_cannot_become_markup(report: Report) -> None:
    assert "<b>" not in render.html(report)
    assert "killed for memory &lt;b&gt;| now" in render.html(report)
    assert "killed for memory &lt;b&gt;\\| now" in render.markdown(report)


@pytest.mark.parametrize("write", [render.html, render.markdown])
def test_both_forms_say_what_was_found_and_what_was_not(report: Report, write: object) -> None:
    text = write(report)  # type: ignore[operator]
    for phrase in (
        "starter/large none",
        "Indicative",
        "Instrument check",
        "no INA3221, RAPL or NVML energy sensor on this device",
        "the two sides share no item and seed",
        report.digest,
        "2026-05-28",
        "torch 2.9.0",
        "m" * 16,
        "rag-helps: method.kind rag better than method.kind none in accuracy by 2",
    ):
        assert phrase in text


def test_the_prediction_of_memory_stands_beside_the_measurement(report: Report) -> None:
    found = prediction_report(report.cells)
    assert found is not None
    # Five cells with runs; 80 MB were predicted, the largest run took 362 MB.
    assert (found.count, round(found.median, 3)) == (5, round(80 / 362, 3))
    for text in (render.html(report), render.markdown(report)):
        assert "over 5 cells: median 0.22, from 0.22 to 0.22" in text
        assert "predicted 76.3 MiB" in text


def test_a_markdown_table_has_as_many_cells_in_every_row(report: Report) -> None:
    text = render.markdown(report)
    table = text.split("## Results per cell")[1].split("## Differences")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 6
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {10}


def test_the_summary_is_json_in_stored_units(report: Report, tmp_path: Path) -> None:
    files = render.write(report, tmp_path / "reports" / "x")
    summary = json.loads(files.summary.read_text())
    assert summary["schema_version"] == 1
    assert summary["cells"][0]["devices"][0]["ttft"]["estimate"]["estimate"] == pytest.approx(0.0043)
    assert sorted(path.name for path in files.html.parent.iterdir()) == [
        "report.html",
        "report.md",
        "summary.json",
    ]


def test_a_folder_that_cannot_be_made_is_a_storage_error(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        render.write(report, tmp_path / "file" / "reports")


def test_every_plot_is_well_formed_and_keeps_a_row_for_the_failed_cell(report: Report) -> None:
    drawn = plots(report)
    assert [plot.title for plot in drawn] == [
        "Quality",
        "Difference to method none",
        "Time to first token",
        "Decode speed",
        "Peak memory",
    ]
    for plot in drawn:
        ElementTree.fromstring(plot.svg)
        assert "oom_host" in plot.svg


def test_a_plot_stays_inside_its_box() -> None:
    rows = [Dot("a", 1.0, -50.0, 70.0, runs=(-40.0, 60.0)), Dot("b", 2.0)]
    tree = ElementTree.fromstring(dot_plot(rows, title="t", zero=True))
    strokes = [float(path.attrib["d"][1:].split()[0]) for path in tree.iter("path")]
    assert min(strokes) > 0 and max(strokes) < 360


def test_a_plot_of_one_value_has_an_axis() -> None:
    assert dot_plot([Dot("a", 0.0)], title="t").count('class="tick"') >= 2


def test_a_report_before_the_first_result_renders(report: Report) -> None:
    data = study_data()
    empty = dataclasses.replace(data, trials=(), attempts=(), measurements=(), scores=())
    bare = build(empty, now_unix_s=1.0)
    assert "0 of 0 trials ok" in render.html(bare)
    assert render.markdown(bare)


def test_weights_stand_there_where_the_runs_said_what_they_took(report: Report) -> None:
    taken = (Weights("dense", 2**20, None, 0.5), Weights("dequantised", 2**18, 2**18 + 2**17, None))
    cells = (dataclasses.replace(report.cells[0], weights=taken), *report.cells[1:])
    told = dataclasses.replace(report, cells=cells)
    label = report.cells[0].label

    assert "## Weights" not in render.markdown(report)
    assert "<h2>Weights</h2>" not in render.html(report)
    assert f"| {label} | dense | 1.00 MiB | – | 50.0 % |\n" in render.markdown(told)
    assert f"| {label} | dequantised | 256 KiB | 384 KiB | – |\n" in render.markdown(told)
    page = render.html(told)
    Balance().feed(page)
    assert all(text in page for text in ("<h2>Weights</h2>", "384 KiB", "50.0 %"))
