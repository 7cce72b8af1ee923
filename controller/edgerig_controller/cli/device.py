"""`edgerig device`: inviting devices into the fleet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from edgerig_controller.cli.options import Context, common_options

if TYPE_CHECKING:
    from edgerig_controller.embedded import Invitation

_MINUTE_S = 60.0


@click.group()
def device() -> None:
    """Enroll devices."""


@device.command()
@click.argument("name")
@click.option("--label", "labels", multiple=True, help="Label that studies choose devices by; repeatable.")
@click.option(
    "--minutes", type=click.FloatRange(1, 1440), default=15, show_default=True, help="Life of the token."
)
@common_options
def add(context: Context, name: str, labels: tuple[str, ...], minutes: float) -> None:
    """Print the command that enrolls the device NAME; its token works once."""
    invitation = asyncio.run(_invite(context, name, labels, minutes))
    command = enroll_command(name, invitation)
    context.out.text("On the device, type (the token is read from standard input):")
    context.out.text(f"  {command}")
    context.out.text(f"Token, valid for {minutes:g} min, once: {invitation.token}")
    context.out.document(
        {
            "device_id": name,
            "labels": list(labels),
            "token": invitation.token,
            "ca_spki_sha256": invitation.ca_spki_sha256,
            "enroll_address": invitation.enroll_address,
            "agents_address": invitation.agents_address,
            "command": command,
        }
    )


def enroll_command(name: str, invitation: Invitation) -> str:
    """Words the command for the device."""
    return (
        f"edgerig-agent enroll --controller {invitation.enroll_address} --agents {invitation.agents_address} "
        f"--device-id {name} --ca-sha256 {invitation.ca_spki_sha256}"
    )


async def _invite(context: Context, name: str, labels: tuple[str, ...], minutes: float) -> Invitation:
    from edgerig_controller.cli.control import existing

    async with existing(context.home) as control:
        return await control.add_device(name, list(labels), minutes * _MINUTE_S)
