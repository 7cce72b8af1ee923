"""Many simulated devices in one process, and what they have seen together."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Sequence
from typing import Any

from edgerig.errors import UsageError
from edgerig_controller.simulator.device import Device
from edgerig_controller.simulator.passports import Passport
from edgerig_controller.simulator.script import Script

# Descriptors beside one socket per device.
_SPARE_FILES = 200


class Fleet:
    """Devices that run side by side."""

    def __init__(self, passports: Sequence[Passport], address: str, script: Script) -> None:
        self._devices = [Device(passport, address, script) for passport in passports]

    async def run(self, *, ramp_s: float) -> None:
        """Starts all devices within `ramp_s` and runs until it is cancelled."""
        tasks: list[asyncio.Task[None]] = []
        pause_s = ramp_s / max(1, len(self._devices))
        try:
            for device in self._devices:
                tasks.append(asyncio.create_task(device.run()))
                await asyncio.sleep(pause_s)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def report(self) -> dict[str, Any]:
        """Returns counts, and every dispatch duration in seconds, as one JSON document."""
        tallies = [device.tally for device in self._devices]
        return {
            "devices": len(tallies),
            "connected": sum(tally.connected for tally in tallies),
            "connects": sum(tally.connects for tally in tallies),
            "committed": sum(tally.committed for tally in tallies),
            "failed_calls": sum(tally.failed_calls for tally in tallies),
            "last_sync_unix_s": [tally.last_sync_unix_s for tally in tallies],
            "dispatch_s": [value for tally in tallies for value in tally.dispatch_s],
            "cpu_s": time.process_time(),
            "at_unix_s": time.time(),
        }


def check_files(count: int) -> None:
    """Raises the limit of open files as far as allowed.

    Raises:
        UsageError: it does not suffice for so many connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + _SPARE_FILES
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{count} devices need {wanted} open files, {hard} are allowed", hint=f"ulimit -n {wanted}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
