"""Why nothing runs, in the words that a watcher reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgerig_controller.rpc.progress import message
from edgerig_controller.store.devices import DeviceRow
from edgerig_controller.store.units import Units
from edgerig_controller.store.watch import Load, Progress
from tests.controller.report.rows import study_row

NOTHING = Load((), 0, 0, ())
DEVICES = [DeviceRow(name, ("sim",), True, None, None) for name in ("a", "b", "c")]
WAITING = Progress(study_row(), 4, 0, (), None, None, (), ("sim",))


def words(progress: Progress, connected: str = "abc") -> str:
    return message(progress, NOTHING, DEVICES, frozenset(connected), {}).blocked_reason


def test_trials_that_are_out_in_a_batch_are_named_where_nothing_else_is_left() -> None:
    out = replace(WAITING, queued_count=0, leased_count=2, batch_devices=("b", "b"))
    assert words(out) == "2 trials are out in batches for b (edgerig batch list)"
    # Others wait, and nobody is there to take them: that is what is said.
    assert words(replace(out, queued_count=1), connected="") == (
        "no device that has the labels sim is connected (a, b, c)"
    )
    # One runs.
    assert words(replace(out, leased_count=3)) == ""


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (Units(3, {1: "a", 2: "b"}, "Orin Nano"), "1 of 3 units wait for a device of the type Orin Nano"),
        (Units(2, {1: "a", 2: "b"}, "Orin Nano"), ""),
        (None, ""),
    ],
)
def test_units_without_a_device_are_named(units: Units | None, expected: str) -> None:
    assert words(replace(WAITING, units=units)) == expected
