"""Asks a process of its own for the facts of this device, so that the daemon stays small.

The facts are collected once in a daemon's life and sent again after each
reconnect. Knows nothing of what they mean.
"""

from __future__ import annotations

from pathlib import Path

from edgerig.documents import from_json
from edgerig.errors import DeviceError
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_agent.processes import run_command

# The worker's interpreter may have to be started from a cold SD card.
_FACTS_S = 120.0


async def collect(command: tuple[str, ...], *, scratch: Path) -> DeviceFacts:
    """Runs the facts command and parses what it prints.

    Raises:
        DeviceError: the command failed or did not end in time.
        ProtocolError: it printed something else.
    """
    shown = " ".join(command)
    try:
        ended = await run_command(command, scratch=scratch, timeout_s=_FACTS_S)
    except OSError as error:
        raise DeviceError(f"the device's facts cannot be collected: {error}", hint=shown) from error
    if ended.exit_code != 0:
        last = ended.errors.strip().splitlines()[-1:] or ["it printed no reason"]
        raise DeviceError(
            f"collecting the device's facts ended with {ended.exit_code}: {last[0][:500]}", hint=shown
        )
    return from_json(ended.output, DeviceFacts(), what="the output of the facts command")
