"""Order of running, matching of devices, and the estimate of what is left."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig_controller.fleet.schedule import Slot, eta_s, matches, run_order

SLOTS = [Slot(cell, seed, repeat) for cell, seed, repeat in product(range(8), (7, 3), (1, 2))]


def in_order(digest: str) -> list[Slot]:
    positions = run_order(digest, SLOTS)
    return [slot for _, slot in sorted(zip(positions, SLOTS, strict=True), key=lambda pair: pair[0])]


def test_every_block_holds_every_cell_once() -> None:
    order = in_order("d")
    blocks = [order[start : start + 8] for start in range(0, 32, 8)]
    assert [(block[0].repeat, block[0].seed) for block in blocks] == [(1, 7), (1, 3), (2, 7), (2, 3)]
    for block in blocks:
        assert {slot.cell_index for slot in block} == set(range(8))
        assert len({(slot.repeat, slot.seed) for slot in block}) == 1


def test_cells_stand_in_another_order_in_each_block() -> None:
    order = in_order("d")
    blocks = [tuple(slot.cell_index for slot in order[start : start + 8]) for start in range(0, 32, 8)]
    assert len(set(blocks)) == 4


def test_the_order_is_the_studys_own_and_always_the_same() -> None:
    assert run_order("d", SLOTS) == run_order("d", SLOTS)
    assert run_order("d", SLOTS) != run_order("e", SLOTS)


@given(st.lists(st.builds(Slot, st.integers(0, 5), st.integers(0, 3), st.integers(1, 3)), max_size=40))
def test_positions_are_a_permutation(slots: list[Slot]) -> None:
    assert sorted(run_order("d", slots)) == list(range(len(slots)))


@pytest.mark.parametrize(
    ("names", "labels", "device", "device_labels", "expected"),
    [
        (["orin-07"], [], "orin-07", [], True),
        (["orin-07"], [], "orin-08", ["orin-07"], False),
        ([], ["orin", "lab"], "x", ["lab", "orin", "new"], True),
        ([], ["orin", "lab"], "x", ["orin"], False),
        ([], ["local"], "local", [], True),
        ([], [], "x", [], True),
    ],
)
def test_names_choose_one_and_labels_must_all_be_there(
    names: list[str], labels: list[str], device: str, device_labels: list[str], expected: bool
) -> None:
    assert matches(names, labels, device, device_labels) is expected


def test_the_estimate_uses_finished_trials_first() -> None:
    assert eta_s(6, 2, [10.0, 30.0], [1.0] * 6) == 60.0


def test_the_estimate_uses_predictions_only_when_all_are_there() -> None:
    assert eta_s(2, 1, [], [5.0, 7.0]) == 12.0
    assert eta_s(2, 1, [], [5.0, None]) is None


def test_more_devices_than_trials_do_not_help() -> None:
    assert eta_s(1, 50, [10.0], []) == 10.0


def test_nothing_left_takes_no_time() -> None:
    assert eta_s(0, 0, [], []) == 0.0
