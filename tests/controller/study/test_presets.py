"""Presets: every one is a level that the workload takes, and a study may override what it sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_controller.study.catalog import Catalog, local_catalog, parse
from edgerig_controller.study.choices import check
from edgerig_controller.study.presets import PRESETS, Preset
from edgerig_controller.study.yaml_source import read
from tests.controller.study.building import STUDY, planned
from tests.controller.study.test_plan import problems


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return parse(local_catalog())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_level_of_the_real_catalogue(name: str, catalog: Catalog) -> None:
    text = f"factors: {{{PRESETS[name].factor}: [{{preset: '{name}'}}]}}"
    assert check(read(text, "s.yaml"), catalog) == []
    assert PRESETS[name].source


def test_what_stands_beside_a_preset_wins(tmp_path: Path) -> None:
    text = STUDY.replace("{kind: rag, k: 4}, {kind: lora, r: 8}", "{preset: small, r: 2}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small", Preset("method", {"kind": "lora", "r": 4, "alpha": 9}, "here"))
        method = planned(tmp_path, text).cells[1].factors["method"]
    assert (method["kind"], method["r"], method["alpha"]) == ("lora", 2, 9)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("{preset: mezo-lor}", 'there is no method preset "mezo-lor" (did you mean `mezo-lora`?)'),
        ("{preset: wanda-50}", 'there is no method preset "wanda-50"'),
        ("{preset: 3, kind: lora}", "there is no method preset 3"),
    ],
)
def test_a_preset_that_there_is_not_is_named(tmp_path: Path, level: str, expected: str) -> None:
    (found,) = problems(tmp_path, STUDY.replace("{kind: lora, r: 8}", level))
    assert found.startswith("study.yaml:8:")
    assert expected in found
