"""What people want of devices: holds that end, drains that do not, and whose word counts."""

from __future__ import annotations

import pytest

from edgerig.errors import UsageError
from edgerig_controller.fleet.administration import (
    ACTIVE,
    UNKNOWN,
    Administration,
    Health,
    Mode,
    change,
    in_force,
    refusal,
)

T0 = 1_000_000.0
HELD = Administration("hold", "olga", "hands on", T0, T0 + 7200)


def changed(
    present: Administration,
    mode: Mode,
    *,
    by: str = "olga",
    reason: str = "why",
    for_s: float = 0.0,
    force: bool = False,
) -> Administration:
    return change(present, mode=mode, by=by, reason=reason, for_s=for_s, force=force, now_unix_s=T0)


def test_a_hold_has_owner_reason_and_end() -> None:
    held = changed(ACTIVE, "hold", for_s=7200, reason="hands on")
    assert held == HELD
    assert in_force(held, T0 + 7199) == held
    assert in_force(held, T0 + 7200) == ACTIVE


@pytest.mark.parametrize("for_s", [0.0, -1.0, 31 * 86400.0, float("nan"), float("inf")])
def test_a_hold_without_a_sensible_end_is_refused(for_s: float) -> None:
    with pytest.raises(UsageError):
        changed(ACTIVE, "hold", for_s=for_s)


@pytest.mark.parametrize("mode", ["drain", "maintenance"])
def test_other_modes_last_until_they_are_released(mode: Mode) -> None:
    wanted = changed(ACTIVE, mode)
    assert in_force(wanted, T0 + 1e9) == wanted
    with pytest.raises(UsageError, match="has no end"):
        changed(ACTIVE, mode, for_s=60)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_everything_but_a_release_needs_a_reason(reason: str) -> None:
    with pytest.raises(UsageError, match="without a reason"):
        changed(ACTIVE, "drain", reason=reason)
    assert changed(HELD, "active", reason=reason) == ACTIVE


def test_only_its_owner_ends_a_hold_unless_forced() -> None:
    with pytest.raises(UsageError, match="held by olga until 1970-01-12"):
        changed(HELD, "active", by="otto")
    assert changed(HELD, "active", by="otto", force=True) == ACTIVE


def test_a_drain_is_ended_by_anybody() -> None:
    assert changed(changed(ACTIVE, "drain"), "active", by="otto") == ACTIVE


def test_reasons_come_in_the_order_of_what_a_person_can_do() -> None:
    sick = Health("quarantined", "energy drifted")
    assert refusal(ACTIVE, UNKNOWN, "") == ""
    assert refusal(HELD, sick, "memory").startswith("hold by olga until")
    assert refusal(ACTIVE, sick, "memory is 4 GiB") == "it is not what the inventory says: memory is 4 GiB"
    assert refusal(ACTIVE, sick, "") == "quarantined: energy drifted"


def test_a_device_in_quarantine_may_show_that_it_is_well_again() -> None:
    sick = Health("quarantined", "energy drifted")
    assert refusal(ACTIVE, sick, "", purpose="golden") == ""
    assert refusal(HELD, sick, "", purpose="golden")
    assert refusal(ACTIVE, sick, "memory", purpose="golden")
