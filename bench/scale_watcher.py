"""A person who watches: a process of its own that follows a study, as `edgerig watch` does.

`python -m bench.scale_watcher DATA STUDY_ID`; on SIGTERM it prints how many messages it has got and how
long the longest pause between two of them was.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time

from edgerig_controller import home as homes
from edgerig_controller.cli.control import existing


async def follow(data: str, study_id: str) -> dict[str, float]:
    """Follows until SIGTERM; returns the count of messages and the longest pause in seconds."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    times: list[float] = []

    async def listen() -> None:
        async with existing(homes.resolve(data, os.environ)) as control:
            async for message in control.watch(study_id):
                times.append(time.monotonic())
                if message.finished:
                    return

    listening = asyncio.ensure_future(listen())
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if listening.done():
        listening.result()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    return {"messages": len(times), "longest_pause_s": max(pauses, default=0.0)}


def main() -> int:
    # On a line of its own: gRPC writes into the same file.
    sys.stdout.write("\n" + json.dumps(asyncio.run(follow(sys.argv[1], sys.argv[2]))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
