"""Every study of `examples/` plans without a problem against the real catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_controller.cli.reference import prepare_file

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_an_example_plans(path: Path) -> None:
    prepared = prepare_file(path)
    assert prepared.cells
    assert all(cell.ram_peak_bytes.basis == "formula" for cell in prepared.cells)


def test_the_ablation_leaves_nothing_out_without_a_reason_of_the_catalogue() -> None:
    prepared = prepare_file(EXAMPLES / "studies/ablation.yaml")
    # Five compressions, two of them in both orders.
    assert len(prepared.cells) + len(prepared.exclusions) == 36 * (5 + 2)
    orders = {cell.factors["compression"].get("order") for cell in prepared.cells}
    assert orders == {None, "compress-then-tune", "tune-then-compress"}
    assert {exclusion.source for exclusion in prepared.exclusions} == {"catalogue"}
    assert all(exclusion.reason for exclusion in prepared.exclusions)
