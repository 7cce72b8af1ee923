"""What people and golden trials say of a device, and whether it may get work: pure functions.

Three things that are never mixed: the activity of a device (connected, busy),
its health (what golden trials say) and its administration (what people want).
Times are Unix seconds. Knows nothing of the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from edgerig.errors import UsageError

Mode = Literal["active", "drain", "maintenance", "hold"]
HealthState = Literal["unknown", "good", "quarantined"]

GOLDEN = "golden"
MAX_HOLD_S = 30 * 86400.0
_MAX_REASON_CHARS = 500


@dataclass(frozen=True)
class Administration:
    """What people want of a device. `until_unix_s` None = until somebody changes it."""

    mode: Mode = "active"
    owner: str = ""
    reason: str = ""
    since_unix_s: float = 0.0
    until_unix_s: float | None = None


@dataclass(frozen=True)
class Health:
    """What the golden trials of a device say."""

    state: HealthState = "unknown"
    reason: str = ""
    since_unix_s: float = 0.0
    # Points up to here no longer say what is normal.
    baseline_after_unix_s: float = 0.0


ACTIVE = Administration()
UNKNOWN = Health()


def in_force(administration: Administration, now_unix_s: float) -> Administration:
    """Returns what is wanted now: something with an end is over when its time is up."""
    until = administration.until_unix_s
    return ACTIVE if until is not None and now_unix_s >= until else administration


def change(
    present: Administration,
    *,
    mode: Mode,
    by: str,
    reason: str,
    for_s: float,
    force: bool,
    now_unix_s: float,
) -> Administration:
    """Returns the administration that somebody asks for.

    Raises:
        UsageError: a hold without reason or of a length that makes no sense, an
            end for something that has none, or the device is held by somebody else.
    """
    held_by_other = present.mode == "hold" and present.owner != by
    if held_by_other and not force:
        owner = present.owner or "the local operator"
        raise UsageError(
            f"The device is held by {owner}{_until(present)}: {present.reason}.",
            hint="ask them, or add --force",
        )
    if mode == "active":
        return ACTIVE
    reason = reason.strip()[:_MAX_REASON_CHARS]
    if not reason:
        raise UsageError(f"A device is not put into {mode} without a reason.", hint="add --reason TEXT")
    if mode != "hold":
        if for_s:
            raise UsageError(f"{mode} has no end; it lasts until `edgerig release`.", hint="leave --for out")
        return Administration(mode, by, reason, now_unix_s, None)
    if not 0 < for_s <= MAX_HOLD_S:
        raise UsageError(
            f"A hold of {for_s:g} s cannot be.", hint="say for how long, at most 30 days, such as --for 2h"
        )
    return Administration("hold", by, reason, now_unix_s, now_unix_s + for_s)


def refusal(administration: Administration, health: Health, mismatch: str, *, purpose: str = "") -> str:
    """Says why a device gets no trial now; '' when it does.

    `administration` is the one in force. Golden trials are given to a device in
    quarantine, so that it can show that it is well again.
    """
    if administration.mode != "active":
        who = f" by {administration.owner}" if administration.owner else ""
        return f"{administration.mode}{who}{_until(administration)}: {administration.reason}"
    if mismatch:
        return f"it is not what the inventory says: {mismatch}"
    if health.state == "quarantined" and purpose != GOLDEN:
        return f"quarantined: {health.reason}"
    return ""


def _until(administration: Administration) -> str:
    if administration.until_unix_s is None:
        return ""
    moment = datetime.fromtimestamp(administration.until_unix_s, timezone.utc)
    return f" until {moment:%Y-%m-%d %H:%M} UTC"
