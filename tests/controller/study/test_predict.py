"""The memory formula is evaluated safely, and a prediction is never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig.errors import ProtocolError
from edgerig_controller.study.predict import UnknownName, element_bytes, evaluate
from tests.controller.study.building import STUDY, catalog, planned, write_model


@given(
    a=st.integers(-1000, 1000),
    b=st.integers(-1000, 1000),
    c=st.integers(1, 1000),
    operator=st.sampled_from("+-*/"),
)
def test_arithmetic_is_python_s_own(a: int, b: int, c: int, operator: str) -> None:
    expression = f"(x {operator} {c}) * max(y, -{c}, 2.5) - min(x, y)"
    apply = {"+": a + c, "-": a - c, "*": a * c, "/": a / c}[operator]
    assert evaluate(expression, {"x": a, "y": b}) == pytest.approx(apply * max(b, -c, 2.5) - min(a, b))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "x.real",
        "x ** 9",
        "x // 2",
        "[x]",
        "x if x else 1",
        "open(x)",
        "max",
        "max(x, key=min)",
        "max()",
        "max(*x)",
        "'text'",
        "True",
        "1j",
        "lambda: 1",
        "x := 2",
        "x +",
        "",
        "(" * 500 + "x" + ")" * 500,
        "1 + " * 1000 + "1",
        "-" * 1500 + "x",
    ],
)
def test_anything_but_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises((ProtocolError, UnknownName)):
        evaluate(expression, {"x": 1.0})


def test_no_code_of_an_expression_runs(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    with pytest.raises(ProtocolError):
        evaluate(f"open({str(witness)!r}, 'w')", {})
    assert not witness.exists()


def test_a_division_by_zero_is_unknown() -> None:
    with pytest.raises(UnknownName):
        evaluate("1 / x", {"x": 0.0})


def test_the_peak_is_that_of_the_larger_phase(tmp_path: Path) -> None:
    study = planned(tmp_path, accelerator=False)
    by_method = {cell.factors["method"]["kind"]: cell.ram_peak_bytes for cell in study.cells}
    # 10 x 8 parameters of 4 bytes; 2 layers, 4 key-value heads of 2; 64 + 32 tokens.
    inference = 1000 + 80 * 4 + 2 * 1 * (64 + 32) * 2 * 4 * 2 * 4
    train = 1000 + 80 * 4 + 2 * 8 * 2 * 8 * 12 + 16 * 128 * 2 * 8 * 4
    assert (by_method["none"].value, by_method["none"].basis) == (inference, "formula")
    assert by_method["lora"].value == max(inference, train)


def test_a_number_the_model_does_not_tell_makes_the_prediction_unknown(tmp_path: Path) -> None:
    write_model(tmp_path / "small", num_hidden_layers="two")
    study = planned(tmp_path)
    assert {(cell.ram_peak_bytes.value, cell.ram_peak_bytes.basis) for cell in study.cells} == {
        (None, "unknown")
    }


def test_a_model_on_a_device_is_not_predicted(tmp_path: Path) -> None:
    study = planned(tmp_path, STUDY.replace("./small", "device:/models/small"), device_memory_bytes=1)
    assert [(cell.ram_peak_bytes.basis, cell.does_not_fit) for cell in study.cells] == [("unknown", "")] * 3


def test_a_method_without_a_model_is_not_predicted(tmp_path: Path) -> None:
    document = catalog()
    document["methods"]["none"]["needs_model"] = False
    study = planned(tmp_path, catalog=document)
    assert study.cells[0].ram_peak_bytes.basis == "unknown"


def test_a_formula_with_a_missing_term_is_a_fault_of_the_catalogue(tmp_path: Path) -> None:
    document = catalog()
    del document["memory"]["terms"]["kv"]
    with pytest.raises(ProtocolError, match="kv"):
        planned(tmp_path, catalog=document)


def test_a_cell_far_above_the_memory_is_refused_with_the_numbers(tmp_path: Path) -> None:
    study = planned(tmp_path, accelerator=False, device_memory_bytes=20_000)
    lora = next(cell for cell in study.cells if cell.factors["method"]["kind"] == "lora")
    assert lora.does_not_fit == (
        "predicted peak memory 132.3 KiB (119.1 KiB to 145.5 KiB) is more than the device's memory of "
        "19.5 KiB (basis: formula)"
    )
    assert [cell.does_not_fit for cell in study.cells if cell is not lora] == ["", ""]


def test_a_cell_runs_while_the_low_end_of_its_error_bar_fits(tmp_path: Path) -> None:
    peak = planned(tmp_path, accelerator=False).cells[0].ram_peak_bytes
    assert peak.value is not None
    assert (peak.low, peak.high) == (round(0.9 * peak.value), round(1.1 * peak.value))
    fits: list[Any] = [
        planned(tmp_path, accelerator=False, device_memory_bytes=int(peak.value * share))
        .cells[0]
        .does_not_fit
        for share in (0.91, 0.89)
    ]
    assert [bool(reason) for reason in fits] == [False, True]


def test_a_term_counts_where_its_conditions_hold(tmp_path: Path) -> None:
    document = catalog()
    memory = document["memory"]
    memory["terms"]["adapter"] = {"expression": "1e9", "when": {"method.kind": ["lora"], "method.r": 8}}
    memory["phases"]["inference"] = [*memory["phases"]["inference"], "adapter"]
    peaks = {
        cell.factors["method"]["kind"]: cell.ram_peak_bytes.value
        for cell in planned(tmp_path, accelerator=False, catalog=document).cells
    }
    assert peaks["lora"] is not None and peaks["lora"] > 1e9
    assert peaks["none"] is not None and peaks["none"] < 1e9


def test_the_budget_of_an_attempt_counts_as_memory(tmp_path: Path) -> None:
    text = STUDY.replace("{steps: 5}", "{steps: 5}, attempt: {memory: 1KiB}")
    study = planned(tmp_path, text, device_memory_bytes=2**30)
    assert "the attempt's memory budget of 1.0 KiB" in study.cells[0].does_not_fit


@pytest.mark.parametrize(
    ("dtype", "accelerator", "expected"),
    [
        ("auto", False, (4, 4)),
        ("auto", True, (2, 2)),
        # Not knowing, predict the larger and refuse only by the smaller.
        ("auto", None, (4, 2)),
        ("bfloat16", False, (2, 2)),
        ("float32", True, (4, 4)),
    ],
)
def test_the_element_size_follows_the_rule_of_dtype(
    dtype: str, accelerator: bool | None, expected: tuple[int, int]
) -> None:
    assert element_bytes(dtype, 2, accelerator) == expected
