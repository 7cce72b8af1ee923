"""Planning a study file for the devices it asks for, in a thread of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgerig.errors import UsageError
from edgerig_controller.rpc.catalogs import Target, choose
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.study.plan import local_catalog, prepare
from edgerig_controller.study.prepared import PreparedStudy


async def plan_for_fleet(frame: Frame, yaml: str, *, origin: str, folder: str) -> PreparedStudy:
    """Plans a study for what its devices are and have; the caller holds `frame.planning`.

    Raises:
        StudyProblems: the study cannot be run as it stands.
        UsageError: the folder is not an absolute path.
    """
    base = Path(folder)
    if not base.is_absolute():
        raise UsageError(f"The study's folder {folder[:200]!r} is not an absolute path.")
    # The facts of a whole fleet take their time: no device waits for them.
    rows = await frame.store.look(lambda store: store.devices())
    durations = await frame.store.look(lambda store: store.trial_durations())
    connected = frame.hub.connected()
    guess = choose(rows, connected, None)
    if guess is None:
        guess = Target(await asyncio.to_thread(local_catalog), None, None)

    def plan(target: Target) -> PreparedStudy:
        return prepare(
            yaml,
            origin=origin,
            folder=base,
            blobs=frame.blobs,
            catalog=target.catalog,
            device_memory_bytes=target.memory_bytes,
            accelerator=target.accelerator,
            durations=durations.get,
        )

    prepared = await asyncio.to_thread(plan, guess)
    exact = choose(rows, connected, prepared.devices)
    if exact is None:
        # No device of the study has said what it is: its memory is unknown.
        exact = Target(guess.catalog, None, None)
    return prepared if exact == guess else await asyncio.to_thread(plan, exact)
