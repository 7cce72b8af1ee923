"""Declared restarts: of a device for the power mode of a trial, before anything of that trial has run.

The order of durable steps: the intent in the spool, the controller's word, the
order to the device. Whoever finds the intent in the boot in which it was written
orders again; whoever finds it in another boot goes on with the attempt. Which
mode takes a restart is said by `edgerig_agent.protocol.restart`, in a process of
its own that may ask the settings helper.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from edgerig.errors import DeviceError
from edgerig.v1.trial_pb2 import Trial
from edgerig_agent.held import MAX_REBOOTS
from edgerig_agent.protocol.record import RESTART_RECORD
from edgerig_agent.runner import Runner
from edgerig_agent.spool import HeldRow, Spool

_log = logging.getLogger(__name__)

# By when a device that is restarted is expected back: firmware, kernel, network and time of day.
BACK_S = 900.0
# A device that is still there after this long does not go down.
_DOWN_S = 120.0
# nvpmodel takes seconds; a stuck one is ended after 60 s by the helper.
_ASK_S = 300.0


class RestartError(DeviceError):
    """The device was restarted for the trial, and is not as it should be."""


@dataclass(frozen=True)
class _Answer:
    needs_restart: bool
    mode: str
    problem: str


class Restarts:
    """The declared restarts of one device."""

    def __init__(self, home: Path, spool: Spool, runner: Runner) -> None:
        self._home = home
        self._spool = spool
        self._runner = runner

    async def is_needed(self, row: HeldRow, trial: Trial) -> bool:
        """Tells whether the device is to be restarted before this trial; then the intent is durable.

        Raises:
            RestartError: it was restarted for it, in vain.
            DeviceError: the trial's power mode is not to be had.
        """
        away = (self._home / RESTART_RECORD).exists()
        if not (trial.settings.power_mode or away):
            return False
        answer = await self._ask(row, go=False)
        if answer.problem:
            error = RestartError if row.reboot_count else DeviceError
            raise error(f"the device is not set as the trial asks: {answer.problem}")
        if not answer.needs_restart:
            return False
        if row.reboot_count >= MAX_REBOOTS:
            raise RestartError(
                f"the device was restarted {row.reboot_count} times for the power mode {answer.mode} "
                "and came back in another"
            )
        self._spool.rebooting(row.attempt_id, self._runner.boot_id)
        return True

    async def order(self, row: HeldRow) -> str:
        """Has the device restarted; returns only where that failed, with the reason, or is needed no more.

        The empty text says that the mode is there without it.
        """
        _log.warning("the device restarts for the power mode of attempt %s", row.attempt_id)
        try:
            answer = await self._ask(row, go=True)
        except DeviceError as error:
            return error.message
        if answer.problem:
            return f"the device cannot be restarted into the trial's power mode: {answer.problem}"
        if not answer.needs_restart:
            self._spool.accepted(row.attempt_id)
            return ""
        await asyncio.sleep(_DOWN_S)
        return f"the device did not go down within {_DOWN_S:.0f} s of its restart into {answer.mode}"

    async def _ask(self, row: HeldRow, *, go: bool) -> _Answer:
        folder = self._runner.folder(row.attempt_id)
        ended = await self._runner.run_restart(folder, go=go, timeout_s=_ASK_S)
        try:
            document = json.loads(ended.output)
            return _Answer(bool(document["needs_restart"]), str(document["mode"]), str(document["problem"]))
        except (ValueError, KeyError, TypeError) as error:
            said = ended.errors.strip().splitlines()[-1:] or ["it printed nothing"]
            raise DeviceError(
                f"whether a restart is needed could not be found out: {said[0][:500]}"
            ) from error
