"""The report of guidelines: complete, self-contained, every sentence linked, nothing silently missing."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest

from edgerig_controller.evidence.build import build as build_evidence
from edgerig_controller.evidence.judge import judge
from edgerig_controller.guidelines.utility import Utility
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.guide import draw, render
from edgerig_controller.report.guide.build import build
from edgerig_controller.report.guide.model import FrontPlot, GuideReport
from edgerig_controller.store.rows import PointRow
from tests.controller.evidence.made import GIB, LORA, NONE, RAG, RAG_HELPS, study
from tests.controller.report.test_render import Balance

INT4 = {"kind": "rtn-int4", "group": 64}
SECTIONS = (
    "1. What to deploy",
    "2. Coverage",
    "3. Claims and effects",
    "4. Fronts per device",
    "5. Training budget",
    "6. History",
    "7. Compression x history",
    "8. Decision rule",
    "9. Published statements",
    "10. Threats, limits, raw records",
)


def report_of(*studies: StudyData, utility: Utility | None = None) -> GuideReport:
    return build(judge(build_evidence(studies)), now_unix_s=1_780_000_300.0, utility=utility)


def oom(factors: dict[str, object]) -> str:
    dear = (factors["model"], factors["method"], factors["task"]) == ("org/large", LORA, "lamp-3")
    return "oom_cuda" if dear else ""


@cache
def rich() -> GuideReport:
    """Two studies: three tasks, two compressions, two histories, one failing cell, two budgets, two boxes."""
    tasks, histories = ("lamp-1", "lamp-2", "lamp-3"), (4, "all")
    first = study("first", tasks=tasks, compressions=(NONE, INT4), histories=histories, fails=oom)
    second = study("second", tasks=tasks[:1], histories=histories, steps=120)
    small = study("small", device="nano-02", memory_bytes=4 * GIB, limit_bytes=2 * GIB, histories=histories)
    return report_of(first, second, small)


@cache
def bare() -> GuideReport:
    """Nothing but failures."""
    return report_of(study(fails=lambda factors: "oom_host", claims=()))


@pytest.mark.parametrize("report", [rich, bare])
def test_tags_are_balanced_and_the_page_needs_nothing_from_outside(report: object) -> None:
    page = render.html(report())  # type: ignore[operator]
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"https?://|<script|@import|url\(|\bsrc=|<link", page)


@pytest.mark.parametrize("report", [rich, bare])
@pytest.mark.parametrize("write", [render.html, render.markdown])
def test_no_section_vanishes(report: object, write: object) -> None:
    text = write(report())  # type: ignore[operator]
    assert [text.index(name) for name in SECTIONS] == sorted(text.index(name) for name in SECTIONS)


def test_sections_without_data_say_why() -> None:
    text = render.markdown(bare())
    for reason in (
        "no configuration gave scores",
        "no claim is registered",
        "no device has scores and a cost",
        "no training was scored at points of its budget",
        "no configuration was run with two amounts of history",
        "no configuration was compressed",
        "no task has two actions that can be compared",
    ):
        assert f"No data: {reason}" in text


@pytest.mark.parametrize("write", [render.html, render.markdown])
def test_every_link_to_a_run_leads_to_its_line(write: object) -> None:
    text = write(rich())  # type: ignore[operator]
    targets = set(re.findall(r'(?:href="|\()#(run-[^")]+)', text))
    lines = set(re.findall(r'id="(run-[^"]+)"', text))
    assert targets and targets <= lines
    assert len(lines) == len(rich().raw)


def test_every_statement_with_an_effect_names_its_runs() -> None:
    found = [entry for entry in rich().guide.guidelines if entry.estimate is not None]
    assert found and all(entry.origin.run_ids for entry in found)


def test_every_tier_and_every_failure_is_on_the_first_page() -> None:
    tiers = {tier.name: tier for tier in rich().tiers}
    assert list(tiers) == ["2 GiB, emulated", "8 GiB"]
    assert tiers["2 GiB, emulated"].emulated and tiers["2 GiB, emulated"].devices == ("nano-02",)
    (hurt,) = [choice for choice in tiers["8 GiB"].choices if choice.task == "lamp-3"]
    assert len(hurt.failed) == 4 and all("oom_cuda" in entry for entry in hurt.failed)
    assert not hurt.config.startswith("org/large lora")


def test_the_best_is_chosen_on_one_half_and_estimated_on_the_other() -> None:
    data = study(models=("org/small",), methods=(NONE, RAG), users=40, skill=lambda f: 0.5)
    (choice,) = report_of(data).tiers[0].choices
    table = build_evidence([data]).records.tasks[0].table
    other = table.half(False).contrast({choice.config: 1.0})
    assert other is not None and choice.quality.value == other.estimate
    assert choice.certainty == "either" and choice.rivals


def test_a_clear_winner_is_clear() -> None:
    data = study(
        models=("org/small",),
        methods=(NONE, RAG),
        users=40,
        skill=lambda f: 0.9 if f["method"] == RAG else 0.1,
    )
    (choice,) = report_of(data).tiers[0].choices
    assert (choice.certainty, choice.config, choice.rivals) == ("clear", "org/small rag", ())


def test_fronts_hold_the_good_and_cheap_and_exclude_the_dominated() -> None:
    def skill(factors: dict[str, object]) -> float:
        return 0.9 if factors["model"] == "org/small" else 0.2

    (plot,) = report_of(study(methods=(NONE,), users=60, skill=skill)).fronts.plots
    assert {point.config: point.state for point in plot.points} == {
        "org/small none": "certified",
        "org/large none": "excluded",
    }
    assert plot.axes == ("quality", "j_per_request", "ttft_s", "rss_peak_bytes")


def test_a_cost_that_one_configuration_lacks_is_no_axis() -> None:
    data = study(models=("org/small",), methods=(NONE, RAG))
    rag = next(cell.cell_index for cell in data.cells if cell.factors["method"] == RAG)
    kept = tuple(row for row in data.measurements if not (row.boundary and row.cell_index == rag))
    (plot,) = report_of(dataclasses.replace(data, measurements=kept)).fronts.plots
    assert plot.axes == ("quality", "ttft_s", "rss_peak_bytes")


def test_budgets_are_drawn_in_samples_seconds_and_joules() -> None:
    plots = [plot for plot in rich().budgets.plots if plot.task == "lamp-1"]
    assert {plot.title for plot in plots} == {
        "Training budget in samples",
        "Training budget in seconds of orin-01",
        "Training budget in joules of orin-01",
    }
    (samples,) = [plot for plot in plots if plot.title.endswith("samples")]
    assert [point.x for point in samples.curves[0].points] == [240.0, 480.0]


def test_points_inside_trainings_are_drawn_too() -> None:
    data = study(methods=(NONE, LORA))
    lora = {cell.cell_index for cell in data.cells if cell.factors["method"] == LORA}
    points = tuple(
        PointRow(
            row.attempt_id, index, index / 4, 60 * index, 2.0 * index, {"module_in": 9.0 * index}, 0.1 * index
        )
        for row in data.attempts
        if row.cell_index in lora
        for index in (1, 2, 4)
    )
    found = report_of(dataclasses.replace(data, points=points)).budgets
    assert {plot.title for plot in found.plots} == {
        "Inside trainings, in samples",
        "Inside trainings, in seconds of orin-01",
        "Inside trainings, in joules of orin-01",
    }
    (joules,) = [plot for plot in found.plots if "joules" in plot.title]
    assert [curve.name for curve in joules.curves] == ["org/large lora", "org/small lora"]
    assert [(p.x, round(p.y.value, 6)) for p in joules.curves[0].points] == [
        (9.0, 10.0),
        (18.0, 20.0),
        (36.0, 40.0),
    ]
    assert len(joules.curves[0].run_ids) == 3 and found.note == ""


def test_all_of_the_history_stands_last() -> None:
    plot = rich().histories.plots[0]
    assert [point.label for point in plot.curves[0].points] == ["4", "all"]


def test_what_compression_does_is_drawn_per_history() -> None:
    plot = rich().interactions.plots[0]
    assert [curve.name for curve in plot.curves] == ["rtn-int4 group=64"]
    assert len(plot.curves[0].points) == 2


def test_one_history_says_that_the_interaction_is_unknown() -> None:
    found = report_of(study(compressions=(NONE, INT4))).interactions
    assert "is unknown" in found.note


def test_without_a_pattern_no_rule_is_stated() -> None:
    tasks = tuple(f"lamp-{n}" for n in range(1, 7))
    found = report_of(study(tasks=tasks, models=("org/small",), histories=(4, 16, 64))).rules
    assert not found.published and found.fixed_action == "org/small lora alpha=16 r=8"
    assert found.contexts == 18 and found.validations[0][0] == "task"
    assert "No rule supported" in render.markdown(
        report_of(study(tasks=tasks, models=("org/small",), histories=(4, 16, 64)))
    )


def test_a_rule_that_generalises_is_stated_with_its_regret() -> None:
    def skill(factors: dict[str, object]) -> float:
        scarce = factors["history"] == 4
        return {"rag": 0.8 if scarce else 0.3, "lora": 0.3 if scarce else 0.8, "none": 0.1}[
            factors["method"]["kind"]  # type: ignore[index]
        ]

    tasks = tuple(f"lamp-{n}" for n in range(1, 11))
    data = study(tasks=tasks, models=("org/small",), histories=(4, 64), users=30, skill=skill)
    found = report_of(data).rules
    assert found.published and "if items of history per user <= " in found.words
    _, gain, own, fixed, chance = found.validations[0]
    assert gain is not None and (gain.low or 0) > 0 and own < fixed < chance


TEN_TASKS = tuple(f"lamp-{n}" for n in range(1, 11))


def test_a_rule_keeps_to_limits_and_failures_of_the_place() -> None:
    """Two boxes; the large model is better, and gets out of memory on the small one."""

    def skill(factors: dict[str, object]) -> float:
        return 0.8 if "large" in str(factors["model"]) else 0.4

    def small_box(factors: dict[str, object]) -> str:
        return "oom_host" if "large" in str(factors["model"]) else ""

    usual = {"tasks": TEN_TASKS, "methods": (RAG,), "users": 30, "skill": skill}
    boxes = (
        study("big", device="agx", memory_bytes=32 * GIB, **usual),  # type: ignore[arg-type]
        study("nano", device="nano", memory_bytes=4 * GIB, fails=small_box, **usual),  # type: ignore[arg-type]
    )
    found = report_of(*boxes).rules
    assert found.published and found.contexts == 20
    assert found.words.startswith("if memory of the box in GiB <= 4:\n  org/small rag")
    assert "else:\n  org/large rag" in found.words
    # With a limit that the large model breaks everywhere (3 x 3 J a request) there is nothing to decide.
    limited = report_of(*boxes, utility=Utility(energy_j=5.0)).rules
    assert not limited.published and limited.fixed_action == "org/small rag k=4 retriever=bm25"
    assert limited.utility == "quality in points; 0 where energy per request at most 5 J does not hold"


def test_a_price_of_energy_changes_what_is_best() -> None:
    def skill(factors: dict[str, object]) -> float:
        return 0.62 if "large" in str(factors["model"]) else 0.60

    data = study(tasks=TEN_TASKS[:4], methods=(NONE,), users=60, skill=skill)
    assert report_of(data).rules.fixed_action == "org/large none"
    # 6 J against 2 J: four joules more for two points.
    priced = report_of(data, utility=Utility(points_per_joule=5.0))
    assert priced.rules.fixed_action == "org/small none"
    best = dict(priced.fronts.plots[0].best)
    assert best["org/small none"] > 0.9
    assert sum(best.values()) == pytest.approx(1.0)
    assert report_of(data).fronts.plots[0].best == ()


def test_methods_are_compared_by_hypervolume_against_a_stated_reference() -> None:
    plot = report_of(study(models=("org/small",), users=30)).fronts.plots[0]
    assert [entry.axis for entry in plot.reference] == ["j_per_request", "ttft_s", "rss_peak_bytes"]
    # Twice the dearest run: RAG takes 3 J.
    assert plot.reference[0].value == pytest.approx(2 * 3, rel=0.1)
    by_method = {volume.group: volume for volume in plot.volumes}
    assert set(by_method) == {"no adaptation", "RAG", "LoRA"}
    lora, rag = by_method["LoRA"], by_method["RAG"]
    assert 0 < lora.low < lora.volume < lora.high < 1
    # LoRA is better than RAG and cheaper: RAG adds nothing, LoRA all that lies above no adaptation.
    assert lora.volume > rag.volume and rag.lost == pytest.approx(0.0, abs=0.02) and lora.lost > 0.02
    assert "train_j" in plot.axes


def test_what_does_not_fit_is_not_on_the_front_and_is_listed() -> None:
    def reasons(plot: FrontPlot) -> dict[str, str]:
        return dict(plot.left_out)

    data = study(users=30, memory_bytes=GIB)
    (plot,) = report_of(data).fronts.plots
    # Three times 400 MB and the margin do not fit into 1 GiB.
    assert {name for name, why in reasons(plot).items() if "memory reaches" in why} == {
        "org/large lora", "org/large none", "org/large rag",
    }  # fmt: skip
    assert {point.config for point in plot.points} == {"org/small lora", "org/small none", "org/small rag"}
    (slow,) = report_of(data, utility=Utility(energy_j=2.5)).fronts.plots
    assert "energy per request is" in reasons(slow)["org/small rag"]


def test_every_published_statement_stands_beside_our_verdict() -> None:
    rows = {row.statement_id: row for row in rich().published}
    assert list(rows) == [f"G{n}" for n in range(1, 11)]
    assert [entry.claim_id for entry in rows["G8"].verdicts] == ["H3a", "H3b"]
    assert rows["G10"].verdicts == ()


def test_threats_name_what_is_weak_here() -> None:
    text = " ".join(report_of(study(models=("starter/small",), limit_bytes=GIB)).threats)
    assert "instrument check" in text and "emulate smaller boxes" in text


def test_text_from_outside_cannot_become_markup() -> None:
    evil = RAG_HELPS | {"id": "x<script>alert(1)</script>"}
    page = render.html(report_of(study("<b>n</b>", claims=(evil,), fails=lambda f: "oom_host")))
    assert "<script" not in page and "<b>n</b>" not in page


def test_every_drawing_is_well_formed_and_inside_its_box() -> None:
    report = rich()
    drawings = [draw.front_plot(plot) for plot in report.fronts.plots]
    for curves in (report.budgets, report.histories, report.interactions):
        drawings += [draw.curve_plot(plot) for plot in curves.plots]
    drawings += [draw.forest(found) for found in report.guide.guidelines if found.estimate is not None]
    assert len(drawings) > 10
    for svg in drawings:
        tree = ElementTree.fromstring(svg)
        circles = [float(node.attrib["cx"]) for node in tree.iter("circle")]
        assert all(0 <= x <= 372 for x in circles)


def test_measured_and_emulated_hardware_have_different_marks() -> None:
    (emulated,) = [plot for plot in rich().fronts.plots if plot.device == "nano-02"]
    assert "<rect" in draw.front_plot(emulated)
    assert (
        "<rect" not in draw.front_plot(rich().fronts.plots[0]) or rich().fronts.plots[0].device == "nano-02"
    )


def test_excluded_and_undetermined_are_told_apart_by_shape() -> None:
    plot = next(plot for plot in rich().fronts.plots if {p.state for p in plot.points} > {"excluded"})
    svg = draw.front_plot(plot)
    assert 'class="excluded"' in svg and ('class="hollow"' in svg or 'class="dot"' in svg)


def test_the_delta_band_and_the_prediction_interval_are_drawn() -> None:
    found = next(g for g in rich().guide.family("study file") if g.prediction is not None)
    svg = draw.forest(found)
    assert 'class="band"' in svg and 'class="prediction"' in svg and svg.count('class="dot"') == 4


def test_lora_is_trained_and_others_are_not() -> None:
    assert {
        c.factors["method"]["kind"] for c in rich().guide.evidence.records.configs if "trains" in c.facts
    } == {LORA["kind"]}


def test_costs_that_two_runs_hardly_bound_do_not_overflow() -> None:
    data = study(models=("org/small",), seeds=(1, 2))
    wild = tuple(
        dataclasses.replace(row, value=row.value * 1e6 ** (row.seed - 1))
        if row.name == "ttft_s" and row.value is not None
        else row
        for row in data.measurements
    )
    with np.errstate(over="raise"):
        (plot,) = report_of(dataclasses.replace(data, measurements=wild)).fronts.plots
    assert all(0 <= volume.low <= volume.high for volume in plot.volumes)
