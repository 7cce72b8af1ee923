"""`edgerig device`: inviting devices into the fleet, and shutting them out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from edgerig_controller.cli.options import Context, common_options, yes_option

if TYPE_CHECKING:
    from edgerig_controller.embedded import Invitation

_MINUTE_S = 60.0


@click.group()
def device() -> None:
    """Enroll devices and revoke them."""


@device.command()
@click.argument("name")
@click.option("--label", "labels", multiple=True, help="Label that studies choose devices by; repeatable.")
@click.option(
    "--minutes", type=click.FloatRange(1, 1440), default=15, show_default=True, help="Life of the token."
)
@click.option("--replace", is_flag=True, help="The device is enrolled; the new certificate ends the old one.")
@common_options
def add(context: Context, name: str, labels: tuple[str, ...], minutes: float, replace: bool) -> None:
    """Print the command that enrolls the device NAME; its token works once."""
    invitation = asyncio.run(_invite(context, name, labels, minutes, replace=replace))
    command = enroll_command(name, invitation) + (" --replace" if replace else "")
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


@device.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; the device and everybody are shown it.")
@click.option("--serial", default="", metavar="HEX", help="Only the certificate with this serial number.")
@yes_option
@common_options
def revoke(context: Context, name: str, reason: str, serial: str, yes: bool) -> None:
    """End the certificates of the device NAME and its connection at once."""
    from edgerig.errors import UsageError
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import ask

    if not context.out.confirm(f"Shut the device {name} out at once?", yes=yes):
        raise UsageError(f"{name} was not revoked: nobody confirmed it", hint="add --yes")
    request = pb.RevokeDeviceRequest(device_id=name, serial=serial, reason=reason)
    serials = list(ask(context, "RevokeDevice", request).serials)
    context.out.text(f"{name} is out; {len(serials)} certificates ended.")
    context.out.note(f"To let it in again: edgerig device add {name}")
    context.out.document({"device_id": name, "serials": serials})


async def _invite(
    context: Context, name: str, labels: tuple[str, ...], minutes: float, *, replace: bool
) -> Invitation:
    from edgerig_controller.cli.control import existing

    async with existing(context.home) as control:
        return await control.add_device(name, list(labels), minutes * _MINUTE_S, replace=replace)
