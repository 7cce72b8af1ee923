"""`edgerig logs`: what happened to an attempt, and what its worker wrote."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from edgerig_controller.cli.options import Context, common_options


@click.command()
@click.argument("attempt")
@click.option("-f", "--follow", is_flag=True, help="Wait until the attempt has ended.")
@common_options
def logs(context: Context, attempt: str, follow: bool) -> None:
    """Show the events and the worker's log of ATTEMPT (an id, or the beginning of one).

    While an attempt is measured its device is silent, so that reading does not
    disturb it: the log comes with the result.
    """
    asyncio.run(_logs(context, attempt, follow))


async def _logs(context: Context, attempt: str, follow: bool) -> None:
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import moment, stream

    events: list[dict[str, Any]] = []
    log: list[str] = []
    end = ""
    request = pb.FollowAttemptRequest(attempt_id=attempt, follow=follow)
    async for message in stream(context.home, "FollowAttempt", request):
        if message.kind == "log":
            log.append(message.text)
            context.out.text(message.text.rstrip("\n"))
        elif message.kind == "event":
            events.append({"at_unix_s": message.at_unix_s, "text": message.text})
            context.out.text(f"{moment(message.at_unix_s)} UTC  {message.text}")
        else:
            end = message.text
            context.out.note(f"The attempt is {end}.")
    context.out.document({"attempt": attempt, "events": events, "log": "".join(log), "state": end})
