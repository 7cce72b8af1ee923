"""Order of running, matching of devices, and the estimate of what is left."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig_controller.fleet.schedule import (
    Backlog,
    Candidate,
    Slot,
    by_turn,
    eta_by_device,
    eta_s,
    matches,
    run_order,
)

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


def with_modes(modes: Sequence[str], *, blocks: int = 6, cells: int = 4) -> list[Slot]:
    return [
        Slot(index, seed, 1, mode)
        for seed in range(blocks)
        for index, mode in enumerate(mode for mode in modes for _ in range(cells))
    ]


def modes_in_order(digest: str, slots: Sequence[Slot]) -> list[str]:
    positions = run_order(digest, slots)
    return [slots[index].power_mode for index in sorted(range(len(slots)), key=positions.__getitem__)]


def changes(modes: Sequence[str]) -> int:
    return sum(one != other for one, other in itertools.pairwise(modes))


@pytest.mark.parametrize(("modes", "blocks"), [(("MAXN", "15W"), 6), (("MAXN", "15W", "7W"), 5), (("",), 4)])
def test_power_modes_change_as_seldom_as_blocks_allow(modes: tuple[str, ...], blocks: int) -> None:
    order = modes_in_order("d", with_modes(modes, blocks=blocks))
    assert changes(order) == blocks * (len(modes) - 1)


def test_the_order_of_modes_is_drawn_anew_and_so_is_that_of_their_cells() -> None:
    slots = with_modes(("MAXN", "15W", "7W"), blocks=40)
    order = modes_in_order("d", slots)
    blocks = {tuple(dict.fromkeys(order[start : start + 12])) for start in range(0, len(order), 12)}
    assert len(blocks) == 6
    positions = run_order("d", slots)
    orders = set()
    for seed in range(40):
        of_mode = [
            index for index, slot in enumerate(slots) if (slot.seed, slot.power_mode) == (seed, "MAXN")
        ]
        ranked = sorted(of_mode, key=positions.__getitem__)
        orders.add(tuple(slots[index].cell_index for index in ranked))
    assert len(orders) > 12


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
    assert eta_s(6, 2, 20.0, 6.0) == 60.0


def test_the_estimate_uses_predictions_where_nothing_has_finished() -> None:
    assert eta_s(2, 1, None, 12.0) == 12.0
    assert eta_s(2, 1, None, None) is None


def test_more_devices_than_trials_do_not_help() -> None:
    assert eta_s(1, 50, 10.0, None) == 10.0


def test_nothing_left_takes_no_time() -> None:
    assert eta_s(0, 0, None, None) == 0.0


def test_priority_comes_before_everything() -> None:
    low, high = Candidate("low", 1, 0, "a"), Candidate("high", 2, 5, "b")
    assert [item.study_id for item in by_turn([low, high], {"b": 9}, dict)] == ["high", "low"]


def test_who_has_fewer_devices_at_work_comes_first() -> None:
    mine, yours = Candidate("mine", 1, 0, "a"), Candidate("yours", 2, 0, "b")
    assert [item.study_id for item in by_turn([mine, yours], {"a": 2, "b": 1}, dict)] == ["yours", "mine"]


def test_a_tie_goes_to_who_has_used_less_time_and_only_then_is_that_asked_for() -> None:
    mine, yours = Candidate("mine", 1, 0, "a"), Candidate("yours", 2, 0, "b")

    def never() -> dict[str, float]:
        raise AssertionError("not needed")

    assert by_turn([mine, yours], {"a": 1}, never)[0] is yours
    assert by_turn([mine, yours], {}, lambda: {"a": 60.0, "b": 5.0})[0] is yours
    assert by_turn([mine, Candidate("other", 2, 0, "a")], {}, never)[0] is mine


def test_the_share_between_two_people_evens_out() -> None:
    used = {"a": 0.0, "b": 0.0}
    candidates = [Candidate("mine", 1, 0, "a"), Candidate("yours", 2, 0, "b")]
    for duration_s in (10.0, 30.0, 10.0, 10.0, 20.0, 10.0, 10.0):
        used[by_turn(candidates, {}, lambda: used)[0].owner] += duration_s
    assert abs(used["a"] - used["b"]) <= 30.0


def test_work_is_poured_onto_the_devices_that_may_run_it() -> None:
    backlogs = [Backlog(4, 10.0, ("a", "b")), Backlog(1, 10.0, ("b",))]
    assert eta_by_device({"a": 0.0, "b": 0.0, "c": 5.0}, backlogs) == {"a": 20.0, "b": 30.0, "c": 5.0}


def test_a_busy_device_gets_less() -> None:
    assert eta_by_device({"a": 30.0, "b": 0.0}, [Backlog(2, 10.0, ("a", "b"))]) == {"a": 30.0, "b": 20.0}


def test_nothing_known_is_said_as_such() -> None:
    assert eta_by_device({"a": 0.0, "b": 0.0}, [Backlog(2, None, ("a",))]) == {"a": None, "b": 0.0}
    assert eta_by_device({"a": None}, [Backlog(1, 1.0, ("a",))]) == {"a": None}
    assert eta_by_device({}, [Backlog(1, 1.0, ("a",))]) == {}
