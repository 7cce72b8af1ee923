"""Keeps the protocol of a measured cell around the worker: settings, waits, looks, the record.

The attempt process calls it in order: `begin`, then the worker runs, `ended`,
`cool_down`, `finish`. Knows nothing of traces and figures.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgerig.errors import DeviceError, StorageError
from edgerig.v1.attempt_pb2 import (
    AppliedSetting,
    DeviceConditions,
    ProtocolRecord,
    ZoneTemperature,
)
from edgerig.v1.trial_pb2 import DeviceSettings, Trial
from edgerig_agent.protocol import idle_base, parameters
from edgerig_agent.protocol.conditions import Conditions, Observer
from edgerig_agent.protocol.power_mode import read_power_mode
from edgerig_agent.protocol.preconditions import BROKEN, CLOCKS_NOT_PINNED, broken
from edgerig_agent.protocol.settings import HeldSettings, hold, restore_stale
from edgerig_agent.protocol.waiting import Bases, Note, Start, Waited, cool_down
from edgerig_agent.supervise import Signals

# Settings of the trial are still in force after it.
NOT_RESTORED = "settings_not_restored"


class CancelledError(Exception):
    """The person asked to end the wait for the start."""


@dataclass(frozen=True)
class Surroundings:
    """Where an attempt runs: its folder, the agent's home, the root of sensors, and whom to tell."""

    folder: Path
    home: Path
    root: str
    own_pids: tuple[int, ...]
    note: Note


class Keeper:
    """The protocol of one attempt."""

    def __init__(self, trial: Trial, here: Surroundings, signals: Signals, record: ProtocolRecord) -> None:
        """`record` is filled in as things become known, also where the worker never starts."""
        self._limits = parameters.parameters(trial)
        self._trial = trial
        self._here = here
        self._signals = signals
        self._observer: Observer | None = None
        self._held: HeldSettings | None = None
        self._settings = DeviceSettings()
        self._before: Conditions | None = None
        self._base_c: dict[str, float] | None = None
        self.record = record

    def begin(self) -> None:
        """Sets the device and waits until it is fit to be measured.

        Raises:
            DeviceError: it cannot be set as asked, or did not become fit in time.
            CancelledError: the person asked to end.
        """
        here = self._here
        if left := restore_stale(here.home):
            here.note(f"settings of an earlier attempt could not be put back: {left}")
        self._held = hold(self._trial.settings, here.home, here.root)
        if self._held is not None:
            self.record.settings.extend(
                AppliedSetting(name=one.name, before=one.before, during=one.during)
                for one in self._held.applied
            )
        self._settings.CopyFrom(self._trial.settings)
        # A study may name a mode by its number.
        self._settings.power_mode = read_power_mode(here.root).find(self._settings.power_mode) or (
            self._settings.power_mode
        )
        self._observer = Observer(here.root, here.folder, here.own_pids)
        waited = self._wait(self._observer)
        self._before = waited.conditions
        base = idle_base.load(here.home, idle_base.state_key(self._before))
        self._base_c = base.temperatures_c if base is not None else None
        self.record.waited_s = waited.waited_s
        self.record.before.CopyFrom(message(self._before, self._base_c))
        _require(waited)

    def _wait(self, observer: Observer) -> Waited:
        if not self._limits.checks:
            return Waited(observer.look(), (), 0.0)
        here = self._here
        bases = Bases(
            load=lambda now: idle_base.load(here.home, idle_base.state_key(now)),
            save=lambda now, base: _save(here, idle_base.state_key(now), base),
        )
        return Start(observer.look, self._pause, here.note, bases).wait(self._settings, self._limits)

    def ended(self) -> list[str]:
        """Looks again, right after the worker's end; returns the flags of the run."""
        assert self._observer is not None and self._before is not None
        after = self._observer.look()
        self.record.after.CopyFrom(message(after, self._base_c))
        self.record.broken.extend(broken(self._before, after))
        flags = [parameters.SHORTENED] if parameters.is_shortened(self._trial) else []
        if self.record.broken and self._limits.checks:
            flags.append(BROKEN)
        if self._before.clocks_pinned is False and self._limits.checks:
            flags.append(CLOCKS_NOT_PINNED)
        return flags

    def cool_down(self) -> None:
        """Waits until the device is back at its idle temperature, where the protocol asks for it."""
        if self._observer is None or not (self._limits.checks and self._limits.cooldown_s and self._base_c):
            return
        cooled = cool_down(self._observer.temperatures_c, self._base_c, self._limits, self._pause)
        self.record.cooldown_s = cooled.duration_s
        self.record.cooled = cooled.reached

    def finish(self) -> None:
        """Has the settings put back; notes what could not be. May be called twice."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        if self._held is not None:
            self.record.not_restored = self._held.put_back()
            self._held = None

    def _pause(self, duration_s: float) -> bool:
        """Rests; True at once where a signal asks to end."""
        deadline_s = time.monotonic() + duration_s
        while not self._signals.cancel_signal:
            rest_s = deadline_s - time.monotonic()
            if rest_s <= 0:
                return False
            select.select([self._signals.wake_fd], [], [], rest_s)
            self._signals.clear()
        return True


def _require(waited: Waited) -> None:
    """Raises CancelledError or DeviceError where the wait did not end with a device that is fit."""
    if waited.cancelled:
        raise CancelledError("cancelled while the device was not yet fit to be measured")
    if not waited.unmet:
        return
    after = f" after {waited.waited_s:.0f} s" if waited.waited_s else ""
    reasons = "; ".join(problem.reason for problem in waited.unmet)
    commands = "; ".join(dict.fromkeys(problem.command for problem in waited.unmet if problem.command))
    raise DeviceError(f"not measured{after}: {reasons}", hint=commands)


def message(conditions: Conditions, base_c: dict[str, float] | None) -> DeviceConditions:
    """Returns conditions as the message of a result."""
    found = DeviceConditions(
        t_mono_ns=conditions.t_mono_ns,
        load1=conditions.load1,
        swap_total_bytes=conditions.swap_total_bytes,
        swap_used_bytes=conditions.swap_used_bytes,
        disk_free_bytes=conditions.disk_free_bytes,
        power_mode=conditions.power_mode,
        cpu_governor=conditions.cpu_governor,
        clock_limits=[limits.words() for limits in conditions.clock_limits],
        fans=conditions.fans,
        foreign_gpu_processes=conditions.foreign_gpu_processes,
        unknown=conditions.unknown,
    )
    if conditions.clocks_pinned is not None:
        found.clocks_pinned = conditions.clocks_pinned
    for source, temperature_c in sorted(conditions.temperatures_c.items()):
        zone = ZoneTemperature(source=source, temperature_c=temperature_c)
        if base_c and source in base_c:
            zone.base_c = base_c[source]
        found.temperatures.append(zone)
    return found


def _save(here: Surroundings, key: str, base: idle_base.IdleBase) -> None:
    # Without a home to keep it in, the base is measured again by the next attempt.
    with suppress(StorageError, OSError):
        idle_base.save(here.home, key, base)
