"""Waits until the device is fit to be measured, and until it has cooled down afterwards.

Clock, looks and pauses are handed in. A wait ends early where the person asks
for it; nothing is timed meanwhile, so that a note may be printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.protocol.conditions import Conditions
from edgerig_agent.protocol.idle_base import IdleBase, Settling
from edgerig_agent.protocol.parameters import Parameters
from edgerig_agent.protocol.preconditions import Unmet, too_warm, unmet

LOOK_EVERY_S = 5.0
_NOTE_EVERY_S = 60.0

# Waits this many seconds; True where the person asked to end it.
Pause = Callable[[float], bool]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Waited:
    """How the wait for the start ended: `unmet` is empty where the worker may start."""

    conditions: Conditions
    unmet: tuple[Unmet, ...]
    waited_s: float
    cancelled: bool = False


@dataclass(frozen=True)
class Cooled:
    """How the cool-down ended; `reached` says whether every zone is back in its band."""

    duration_s: float
    reached: bool
    cancelled: bool = False


class Bases:
    """The idle base of a device, loaded by the way it is set and kept when it is first measured."""

    def __init__(
        self, load: Callable[[Conditions], IdleBase | None], save: Callable[[Conditions, IdleBase], None]
    ) -> None:
        self.load = load
        self.save = save


@dataclass(frozen=True)
class Start:
    """Everything the wait for the start needs of the outside."""

    look: Callable[[], Conditions]
    pause: Pause
    note: Note
    bases: Bases
    # Unix seconds, to date a new idle base.
    now_unix_s: Callable[[], float] = time.time

    def wait(self, settings: DeviceSettings, limits: Parameters) -> Waited:
        """Looks every five seconds until everything holds, something never will, or time is over."""
        settling = Settling(limits.settle_s)
        conditions = first = self.look()
        noted_s = -_NOTE_EVERY_S
        while True:
            waited_s = (conditions.t_mono_ns - first.t_mono_ns) * 1e-9
            problems = self._problems(conditions, settings, limits, settling)
            if not problems or any(not problem.passes for problem in problems) or waited_s >= limits.wait_s:
                return Waited(conditions, tuple(problems), waited_s)
            if waited_s - noted_s >= _NOTE_EVERY_S:
                noted_s = waited_s
                reasons = "; ".join(problem.reason for problem in problems)
                self.note(f"waiting, at most {limits.wait_s - waited_s:.0f} s more: {reasons}")
            if self.pause(min(LOOK_EVERY_S, limits.wait_s - waited_s)):
                return Waited(conditions, tuple(problems), waited_s, cancelled=True)
            conditions = self.look()

    def _problems(
        self, conditions: Conditions, settings: DeviceSettings, limits: Parameters, settling: Settling
    ) -> list[Unmet]:
        base = self.bases.load(conditions)
        known = base.temperatures_c if base else {}
        problems = unmet(conditions, settings, limits, known)
        new = {zone: value for zone, value in conditions.temperatures_c.items() if zone not in known}
        if not new:
            return problems
        if problems:
            settling.clear()
            return problems
        settling.add(conditions.t_mono_ns, new)
        found = settling.base_c()
        if found is None:
            return [_no_base(limits)]
        self.bases.save(conditions, IdleBase({**known, **found}, self.now_unix_s()))
        return problems


def cool_down(
    read_c: Callable[[], Mapping[str, float]],
    base_c: Mapping[str, float] | None,
    limits: Parameters,
    pause: Pause,
    clock: Callable[[], float] = time.monotonic,
) -> Cooled:
    """Waits until every zone is within the margin of its idle base, or the time for it is over."""
    began_s = clock()
    while True:
        duration_s = clock() - began_s
        if not too_warm(read_c(), base_c, limits.temperature_margin_c):
            return Cooled(duration_s, reached=True)
        if duration_s >= limits.cooldown_s:
            return Cooled(duration_s, reached=False)
        if pause(min(LOOK_EVERY_S, limits.cooldown_s - duration_s)):
            return Cooled(duration_s, reached=False, cancelled=True)


def _no_base(limits: Parameters) -> Unmet:
    return Unmet(
        "idle_base",
        f"the idle temperature is not known yet; it must stand still for {limits.settle_s:g} s",
        "leave the device alone for some minutes, then measure again",
        passes=True,
    )
