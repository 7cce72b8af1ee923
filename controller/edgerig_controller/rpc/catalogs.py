"""Which device a study is planned for: its catalogue, its memory, its accelerator.

A study names its devices in its text, so planning happens twice when the first
guess was another device than the study asks for.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgerig.deadlines import within
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_controller.fleet.changes import INVENTORY
from edgerig_controller.fleet.schedule import matches
from edgerig_controller.rpc.frame import LOCAL_DEVICE, Frame
from edgerig_controller.store.devices import DeviceRow
from edgerig_controller.study.prepared import DeviceSelector

_log = logging.getLogger(__name__)

INVENTORY_WAIT_S = 60.0


@dataclass(frozen=True)
class Target:
    """What planning needs to know of a device; None where nothing is known."""

    catalog: dict[str, Any]
    memory_bytes: int | None
    accelerator: bool | None


async def wait_for_local_facts(frame: Frame, wait_s: float = INVENTORY_WAIT_S) -> None:
    """Gives the local device of an embedded run time to say what it is; returns when that is over."""

    async def reported() -> None:
        while True:
            seen = frame.changes.version(INVENTORY)
            rows = await frame.store.ask(lambda store: store.devices(facts=False))
            local = [row for row in rows if row.device_id == LOCAL_DEVICE]
            if not local or local[0].facts_unix_s is not None:
                return
            await frame.changes.wait(INVENTORY, seen)

    try:
        await within(reported(), wait_s)
    except asyncio.TimeoutError:
        _log.warning("the local device has not reported its inventory within %.0f s", wait_s)


def choose(
    rows: Sequence[DeviceRow], connected: frozenset[str], selector: DeviceSelector | None
) -> Target | None:
    """Picks the device to plan for: connected before absent, the largest memory first.

    `selector` None means that the study's devices are not known yet. A cell is
    called too large only when it fits on none of the devices that may run it.
    """
    wanted = [
        row
        for row in rows
        if row.facts is not None
        and (selector is None or matches(selector.names, selector.labels, row.device_id, row.labels))
    ]
    ranked = sorted(wanted, key=lambda row: (row.device_id in connected, _memory(row)), reverse=True)
    for row in ranked:
        assert row.facts is not None
        catalog = parse_catalog(row.facts)
        if catalog is not None:
            return Target(
                catalog, max(_memory(item) for item in wanted) or None, bool(row.facts.accelerators)
            )
    return None


def parse_catalog(facts: DeviceFacts) -> dict[str, Any] | None:
    """Returns the catalogue that a device reported, or None when it reported none."""
    try:
        document = json.loads(facts.worker.catalog_json or "null")
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _memory(row: DeviceRow) -> int:
    return row.facts.memory_bytes if row.facts is not None else 0
