"""A study file becomes cells, trials and digests, or a list of problems."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from edgerig import documents
from edgerig.errors import ProtocolError, StudyProblems
from edgerig.v1 import trial_pb2
from edgerig_controller.data import lamp_write, synthetic
from edgerig_controller.study import plan, trials
from edgerig_controller.study.catalog import local_catalog
from edgerig_controller.study.prepared import Exclusion
from edgerig_controller.study.template import template
from tests.controller.study.building import STUDY, catalog, planned, row, write_model, write_rows


def problems(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(StudyProblems) as caught:
        planned(folder, text, **options)
    return [str(problem) for problem in caught.value.problems]


def test_factors_are_crossed_in_the_order_of_the_file(tmp_path: Path) -> None:
    write_model(tmp_path / "large", hidden=16)
    text = STUDY.replace("[./small]", "[./small, ./large]").replace(
        "factors:\n", "factors:\n  history: [4, all]\n"
    )
    study = planned(tmp_path, text)
    assert len(study.cells) == 12
    assert [cell.index for cell in study.cells] == list(range(12))
    assert study.cells[1].factors == {
        "task": "lamp-2",
        "model": "./small",
        "method": {"kind": "none"},
        "compression": {"kind": "none"},
        "history": "all",
    }


def test_lists_inside_a_level_are_crossed(tmp_path: Path) -> None:
    study = planned(
        tmp_path,
        STUDY.replace("{kind: lora, r: 8}", "{kind: lora, alpha: [1, 2], r: [4, 8]}, {kind: [rag], k: 9}"),
    )
    levels = [cell.factors["method"] for cell in study.cells]
    assert [level["kind"] for level in levels] == ["none", "rag", "lora", "lora", "lora", "lora", "rag"]
    assert [(level["alpha"], level["r"]) for level in levels[2:6]] == [(1, 4), (1, 8), (2, 4), (2, 8)]


def test_several_kinds_in_an_entry_need_parameters_of_all(tmp_path: Path) -> None:
    assert problems(tmp_path, STUDY.replace("{kind: lora, r: 8}", "{kind: [lora, rag], r: [8, 0]}")) == [
        "study.yaml:8:57: method `rag` has no parameter `r` (known: k, retriever)",
        "study.yaml:8:60: `r` of method `lora`: expected a whole number from 1 to 1024, found 0",
    ]


def test_a_level_that_a_list_repeats_is_named_with_its_entry(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, STUDY.replace("{kind: lora, r: 8}", "{kind: lora, r: [8, 8]}"))
    assert found == "study.yaml:8:37: this method stands in the list twice (remove one of the two)"


def test_defaults_of_the_catalogue_are_filled_in(tmp_path: Path) -> None:
    factors = planned(tmp_path).cells[2].factors["method"]
    assert factors == {"kind": "lora", "r": 8, "alpha": 16, "merge": False, "batch": 16, "max_tokens": 128}


def test_every_cell_gets_a_trial_for_each_seed_and_repeat(tmp_path: Path) -> None:
    study = planned(tmp_path, STUDY.replace("seeds: [1, 2]", "seeds: [0, 7]\nrepeats: 2"))
    made = [(p.cell_index, p.trial.seed, p.trial.repeat) for p in study.trials]
    assert made == [(cell, seed, repeat) for cell in range(3) for seed in (0, 7) for repeat in (1, 2)]


def test_a_trial_carries_the_whole_task(tmp_path: Path) -> None:
    trial = planned(tmp_path).trials[-1].trial
    assert trial.protocol == trial_pb2.PROTOCOL_QUICK
    assert trial.method.kind == "lora"
    assert trial.method.parameters["r"] == 8
    assert (trial.history, trial.budgets.train.steps, trial.inference.new_tokens) == (16, 5, 32)
    assert trial.task.kind == trial_pb2.TASK_KIND_CLASSIFICATION
    assert (trial.task.prompt, trial.task.item_count, trial.task.answer_tokens) == ("lamp-2", 6, 12)
    assert [file.path for file in trial.model.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert dict(trial.factors)["model"] == "./small"


def test_the_digest_of_a_trial_is_that_of_its_json_form(tmp_path: Path) -> None:
    study = planned(tmp_path, STUDY.replace("seeds: [1, 2]", "seeds: [0, 3]"))
    assert [p.trial.digest for p in study.trials] == [trials.digest(p.trial) for p in study.trials]
    form = documents.to_json(study.trials[0].trial)
    del form["digest"], form["factors"]
    assert study.trials[0].trial.digest == documents.digest(form)


def test_trials_differ_in_their_digests(tmp_path: Path) -> None:
    study = planned(tmp_path)
    assert len({p.trial.digest for p in study.trials}) == len(study.trials) == 6


def test_the_same_trial_of_another_study_has_the_same_digest(tmp_path: Path) -> None:
    one = planned(tmp_path)
    other = planned(tmp_path, STUDY.replace("trial-run", "other").replace("none, ", ""))
    assert [p.trial.digest for p in other.trials] == [p.trial.digest for p in one.trials[2:]]
    assert one.digest != other.digest


def test_the_digest_of_a_study_ignores_comments_and_written_defaults(tmp_path: Path) -> None:
    written = (
        STUDY.replace("{kind: lora, r: 8}", "{r: 8.0, kind: lora, alpha: 16}") + "# a word\ndtype: auto\n"
    )
    assert planned(tmp_path, written).digest == planned(tmp_path).digest


def test_another_content_of_a_model_is_another_study(tmp_path: Path) -> None:
    before = planned(tmp_path).digest
    (tmp_path / "small" / "tokenizer.json").write_text('{"other": 1}')
    assert planned(tmp_path).digest != before


def test_another_content_of_a_data_file_is_another_study(tmp_path: Path) -> None:
    text = STUDY.replace(
        "{name: lamp-2, source: synthetic, users: 3, items_per_user: 2}",
        "{name: own, source: jsonl, path: own.jsonl, kind: generation}",
    )
    write_rows(tmp_path / "own.jsonl", [row(1)])
    before = planned(tmp_path, text)
    write_rows(tmp_path / "own.jsonl", [row(1), row(2)])
    after = planned(tmp_path, text)
    assert before.digest != after.digest
    assert before.trials[0].trial.digest != after.trials[0].trial.digest


def test_the_blobs_are_those_of_models_and_data(tmp_path: Path) -> None:
    study = planned(tmp_path)
    trial = study.trials[0].trial
    assert study.blobs == {*(file.sha256 for file in trial.model.files), trial.task.data.sha256}


def test_excluded_combinations_keep_their_reasons(tmp_path: Path) -> None:
    text = STUDY + "exclude: [{method.kind: rag, compression.kind: rtn, reason: not of interest}]\n"
    text = text.replace("factors:\n", "factors:\n  compression: [none, {kind: rtn, bits: 4}]\n")
    study = planned(tmp_path, text)
    assert [(e.factors["method"]["kind"], e.reason, e.source) for e in study.exclusions] == [
        ("rag", "not of interest", "study"),
        ("lora", "rounded weights have no gradient", "catalogue"),
    ]
    assert all(isinstance(e, Exclusion) for e in study.exclusions)
    assert len(study.cells) == 4


def test_labels_name_what_varies_and_are_unique(tmp_path: Path) -> None:
    text = STUDY.replace("{kind: lora, r: 8}", "{kind: lora, r: 8}, {kind: lora, r: 2}").replace(
        "factors:\n", "factors:\n  history: [4, all]\n"
    )
    labels = [cell.label for cell in planned(tmp_path, text).cells]
    assert labels[-2:] == ["./small lora(r=2) history=4", "./small lora(r=2) history=all"]
    assert len(set(labels)) == len(labels)


def test_earlier_durations_are_marked_as_measured(tmp_path: Path) -> None:
    digests = [p.trial.digest for p in planned(tmp_path).trials]
    study = planned(tmp_path, durations={digests[0]: 10.0, digests[1]: 20.0}.get)
    assert [(cell.duration_s.value, cell.duration_s.basis) for cell in study.cells] == [
        (15.0, "measured"),
        (None, "unknown"),
        (None, "unknown"),
    ]


def test_problems_of_all_kinds_come_out_together(tmp_path: Path) -> None:
    text = (
        STUDY.replace("protocol: quick", "protocl: quick")
        .replace("./small", "starter/no-such")
        .replace("{kind: rag, k: 4}", "{kind: rga}")
        .replace("r: 8", "rnk: 8")
    )
    assert [line.partition(" (")[0] for line in problems(tmp_path, text)] == [
        "study.yaml:3:1: unknown key `protocl`",
        "study.yaml:7:11: there is no model `starter/no-such`",
        "study.yaml:8:25: unknown method `rga`",
        "study.yaml:8:44: method `lora` has no parameter `rnk`",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("lora, r: 8", "lora, r: 0", "`r` of method `lora`: expected a whole number from 1 to 1024, found 0"),
        ("lora, r: 8", "lora, r: 1.5", "expected a whole number from 1 to 1024, found 1.5"),
        (
            "lora, r: 8",
            "lora, alpha: x",
            '`alpha` of method `lora`: expected a number of at least 0, found "x"',
        ),
        ("lora, r: 8", "lora, merge: 1", "`merge` of method `lora`: expected true or false, found 1"),
        ("rag, k: 4", "rag, retriever: bm24", 'one of bm25, dense, found "bm24" (did you mean `bm25`?)'),
        ("rag, k: 4", "lora", "this method stands in the list twice"),
        ("[1, 2]", "[1, 1]", "this seed stands in the list twice"),
        ("budgets: {train: {steps: 5}}", "", "`lora` trains, and nothing says when to stop"),
        ("steps: 5", "steps: 5, points: [0.5, 0.25]", "`points` must ascend"),
        ("steps: 5", "steps: 5, patience_points: 2", "`patience_points` compares points"),
        ("steps: 5", "steps: 5, held_out_share: 0.2", "nothing is held out without `patience_points`"),
        ("name: lamp-2", "name: lamp-22", "there is no synthetic task `lamp-22` (did you mean `lamp-2`?)"),
        ("users: 3", "users: 99999", "users x items_per_user x history is"),
        ("users: 3", "path: x", "`path` does not go with `source: synthetic`"),
        ("users: 3", "metric: rating", "`rating` does not score a classification (known: accuracy)"),
        ("synthetic, users: 3, items_per_user: 2", "jsonl, path: x", "needs `kind`"),
        ("./small", "./nothing", "there is no model `./nothing`"),
        ("protocol: quick", "devices: {}", "`devices` needs either `names` or `labels`"),
        (
            "protocol: quick",
            "devices: {names: [a], labels: [b]}",
            "`devices` needs either `names` or `labels`",
        ),
        (
            "protocol: quick",
            "exclude: [{method.kind: lra, reason: x}]",
            "this exclusion matches no combination",
        ),
        (
            "protocol: quick",
            "exclude: [{method.knd: a, reason: x}]",
            "no factor `method.knd` (did you mean `method.kind`?)",
        ),
        ("protocol: quick", "exclude: [{reason: x}]", "this exclusion has no condition"),
        ("protocol: quick", "exclude: [{task: lamp-2, reason: x}]", "every combination is excluded"),
        ("repeats: 1", "repeats: 1", "cells and 200000 trials are the most"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    if old == "repeats: 1":
        text = STUDY.replace("seeds: [1, 2]", f"seeds: {list(range(1000))}\nrepeats: 1000")
    else:
        assert old in STUDY
        text = STUDY.replace(old, new)
    found = problems(tmp_path, text)
    assert any(expected in line for line in found), found


def test_a_parameter_without_default_is_needed(tmp_path: Path) -> None:
    text = STUDY.replace("factors:\n", "factors:\n  compression: [rtn]\n")
    assert "compression `rtn` needs the parameter `bits`" in problems(tmp_path, text)[0]


def test_a_hub_model_is_not_fetched_for_a_faulty_study(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(repo: str, revision: str, offline: bool) -> tuple[Path, str]:
        asked.append(repo)
        return write_model(tmp_path / "hub"), "c0ffee"

    text = STUDY.replace("./small", "org/name@main")
    problems(tmp_path, text.replace("quick", "quik"), fetch=fetch)
    assert asked == []
    model = planned(tmp_path, text, fetch=fetch).trials[0].trial.model
    assert (asked, model.name, model.revision) == (["org/name"], "org/name@main", "c0ffee")


def test_a_faulty_task_file_is_a_problem_at_its_path(tmp_path: Path) -> None:
    write_rows(tmp_path / "own.jsonl", [row(1), row(1)])
    text = STUDY.replace(
        "{name: lamp-2, source: synthetic, users: 3, items_per_user: 2}",
        "{name: own, source: jsonl, path: own.jsonl, kind: generation}",
    )
    (found,) = problems(tmp_path, text)
    assert found.startswith("study.yaml:5:42: ")
    assert "line 2 (item 'q1'): the id was used before, on line 1" in found


def test_a_catalogue_without_the_documented_shape_is_refused(tmp_path: Path) -> None:
    broken = copy.deepcopy(catalog())
    broken["methods"]["lora"]["parameters"]["r"]["type"] = "integer"
    with pytest.raises(ProtocolError, match=r"methods\.lora\.parameters\.r\.type"):
        planned(tmp_path, catalog=broken)


def test_the_catalogue_of_this_interpreter_takes_the_template(tmp_path: Path) -> None:
    study = planned(tmp_path, template(), catalog=plan.local_catalog())
    assert [cell.factors["method"]["kind"] for cell in study.cells] == ["none", "rag", "lora"]


def test_the_quickstart_is_a_good_study(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "examples" / "quickstart.yaml").read_text()
    study = planned(tmp_path, text, catalog=plan.local_catalog())
    assert (len(study.cells), len(study.trials)) == (6, 12)
    assert {cell.ram_peak_bytes.basis for cell in study.cells} == {"formula"}


def test_a_task_of_lamp_is_scored_as_the_catalogue_says(tmp_path: Path) -> None:
    rows = synthetic.generate("lamp-3", users=3, items_per_user=2, history=4, seed=1)
    lamp_write.write("lamp-3", rows, tmp_path / "lamp", "dev")
    task = "{name: lamp-3, source: lamp, path: lamp, users: 2}"
    text = STUDY.replace("{name: lamp-2, source: synthetic, users: 3, items_per_user: 2}", task)
    assert task in text

    study = planned(tmp_path, text.replace("metric: accuracy", "metric: rating"), catalog=local_catalog())

    [found] = {one.trial.task.SerializeToString(deterministic=True) for one in study.trials}
    message = trial_pb2.Task.FromString(found)
    assert (message.prompt, message.metric, message.user_count) == ("lamp-3-published", "rating", 2)
    assert message.data.sha256 in study.blobs


def test_faults_of_lamp_data_are_told_at_the_path(tmp_path: Path) -> None:
    text = STUDY.replace("source: synthetic, users: 3, items_per_user: 2", "source: lamp, path: nowhere")

    assert any("there is no folder" in problem for problem in problems(tmp_path, text))


ORDERS = "  compression: [{kind: rtn-int4, order: [compress-then-tune, tune-then-compress]}]\n"


def test_the_order_of_compression_and_tuning_is_a_factor_where_it_makes_a_difference(tmp_path: Path) -> None:
    text = STUDY.replace("factors:\n", "factors:\n" + ORDERS)

    study = planned(tmp_path, text, catalog=local_catalog())

    ran = [(cell.factors["method"]["kind"], cell.factors["compression"]["order"]) for cell in study.cells]
    assert ran == [
        ("none", "compress-then-tune"),
        ("rag", "compress-then-tune"),
        ("lora", "compress-then-tune"),
        ("lora", "tune-then-compress"),
    ]
    assert {e.reason.partition(",")[0] for e in study.exclusions} == {"this method changes no weights"}


def test_what_learns_before_it_is_packed_is_not_excluded_and_takes_dense_memory(tmp_path: Path) -> None:
    write_model(
        tmp_path / "small",
        hidden_size=512,
        num_hidden_layers=8,
        intermediate_size=2048,
        num_key_value_heads=4,
    )
    text = STUDY.replace("factors:\n", "factors:\n" + ORDERS).replace("none, {kind: rag, k: 4}, ", "")
    peaks = [cell.ram_peak_bytes.value for cell in planned(tmp_path, text, catalog=local_catalog()).cells]
    assert peaks[0] is not None and peaks[1] is not None
    # 28 bits a weight less of 8 layers; only of packed layers one is spelled out at a time.
    linear = 8 * (4 * 512 * 512 + 3 * 512 * 2048)
    spelled_out = 3 * 512 * 2048 * 4
    assert peaks[1] - peaks[0] == pytest.approx(linear * (32 - 4.25) / 8 - spelled_out, abs=1)

    full = planned(tmp_path, text.replace("{kind: lora, r: 8}", "full"), catalog=local_catalog())
    assert [cell.factors["compression"]["order"] for cell in full.cells] == ["tune-then-compress"]


def test_points_do_not_go_with_a_training_for_each_user(tmp_path: Path) -> None:
    text = STUDY.replace("{kind: lora, r: 8}", "{kind: lora, scope: [pooled, per_user]}")
    pointed = text.replace("steps: 5", "steps: 5, points: [0.5]")

    assert {
        cell.factors["method"].get("scope") for cell in planned(tmp_path, text, catalog=local_catalog()).cells
    } == {
        None,
        "pooled",
        "per_user",
    }
    with pytest.raises(StudyProblems, match="one for each user"):
        planned(tmp_path, pointed, catalog=local_catalog())


def test_points_do_not_go_with_tuning_first(tmp_path: Path) -> None:
    text = STUDY.replace("factors:\n", "factors:\n" + ORDERS).replace("steps: 5", "steps: 5, points: [0.5]")

    found = problems(tmp_path, text, catalog=local_catalog())

    message = "with `order: tune-then-compress` points are scored on the dense model, the end is not"
    assert [line.partition(" (")[0] for line in found] == [f"study.yaml:10:37: {message}"]
