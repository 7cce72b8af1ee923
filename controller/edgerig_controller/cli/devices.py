"""`edgerig devices`, `hold`, `release`, `drain`, `maintenance`: the fleet as it is and as it is wanted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from edgerig_controller.cli.options import Context, common_options

if TYPE_CHECKING:
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.home import Home

_TEXT_CHARS = 60


@click.command()
@common_options
def devices(context: Context) -> None:
    """List the devices: what they do, whether they are well, and what people want of them."""
    found, live = _read(context.home)
    if not found:
        context.out.note("No device yet. Next: edgerig device add NAME")
    elif not live:
        context.out.note("No controller runs: who is connected is not known.")
    show(context, found)
    from edgerig_controller.cli.fleet import as_json

    context.out.document({"controller_runs": live, "devices": [as_json(item) for item in found]})


def show(context: Context, found: list[pb.FleetDevice]) -> None:
    """Prints a table of devices, and below it why some get no work."""
    from edgerig_controller.cli.output import Column

    context.out.table(
        [
            Column("device"),
            Column("does"),
            Column("health"),
            Column("wanted"),
            Column("queued", right=True),
            Column("free in"),
            Column("machine"),
        ],
        [_row(item) for item in found],
    )
    for item in found:
        if item.blocked_reason:
            context.out.text(f"{item.device_id} gets no work: {item.blocked_reason}")


def _row(item: pb.FleetDevice) -> tuple[str, ...]:
    from edgerig_controller.cli.fleet import as_json
    from edgerig_controller.cli.progress import duration_words

    words = as_json(item)
    memory = f", {item.memory_bytes / 2**30:.1f} GiB" if item.memory_bytes else ""
    free = "–"
    if item.HasField("eta_s"):
        free = "now" if item.eta_s == 0 else duration_words(item.eta_s)
    return (
        item.device_id,
        words["activity"].replace("_", " "),
        words["health"],
        words["mode"],
        str(item.queued_trial_count),
        free,
        f"{item.machine[:_TEXT_CHARS]}{memory}" or "–",
    )


def _read(home: Home) -> tuple[list[pb.FleetDevice], bool]:
    """Asks the controller, or reads the store when none runs; tells whether one does."""
    from edgerig_controller import embedded
    from edgerig_controller.cli import remote

    if remote.load(home) is None and embedded.find_controller(home) is None:
        return _stored(home), False
    import asyncio

    from edgerig.v1 import fleet_service_pb2 as messages
    from edgerig_controller.cli.fleet import call

    reply = asyncio.run(call(home, "ListDevices", messages.ListDevicesRequest()))
    return list(reply.devices), True


def _stored(home: Home) -> list[pb.FleetDevice]:
    if not home.has_store:
        return []
    from edgerig_controller.cli.reference import open_store
    from edgerig_controller.rpc import fleet_view

    with open_store(home) as repository:
        overview = repository.fleet.overview(now_unix_s=time.time())
    return fleet_view.devices(overview, frozenset(), {})


def _set_mode(
    context: Context, name: str, mode: str, reason: str, for_s: float = 0.0, *, force: bool = False
) -> None:
    from edgerig.v1 import fleet_service_pb2 as messages
    from edgerig_controller.cli.fleet import as_json, ask

    request = messages.SetDeviceModeRequest(
        device_id=name,
        mode=f"DEVICE_MODE_{mode.upper()}",
        reason=reason,
        for_s=for_s,
        force=force,
    )
    device: Any = ask(context, "SetDeviceMode", request).device
    if device.blocked_reason:
        context.out.text(f"{name} gets no new work: {device.blocked_reason}")
        if device.current:
            context.out.text(f"What runs on it goes on: {device.current}")
    else:
        context.out.text(f"{name} gets work again.")
    context.out.document({"device": as_json(device)})


_reason = click.option("--reason", required=True, help="Why; everybody is shown it.")
_force = click.option("--force", is_flag=True, help="Also where another person holds the device.")


@click.command()
@click.argument("name")
@_reason
@click.option("--for", "for_text", required=True, metavar="DURATION", help="For how long, such as 2h or 3d.")
@_force
@common_options
def hold(context: Context, name: str, reason: str, for_text: str, force: bool) -> None:
    """Take the device NAME into your hands for a time: it gets no new trial until then."""
    from edgerig_controller.cli.fleet import duration_s

    _set_mode(context, name, "hold", reason, duration_s(for_text), force=force)


@click.command()
@click.argument("name")
@_reason
@_force
@common_options
def drain(context: Context, name: str, reason: str, force: bool) -> None:
    """Let the device NAME end what it runs and give it nothing more."""
    _set_mode(context, name, "drain", reason, force=force)


@click.command()
@click.argument("name")
@_reason
@_force
@common_options
def maintenance(context: Context, name: str, reason: str, force: bool) -> None:
    """Mark the device NAME as under maintenance: it gets no new trial until it is released."""
    _set_mode(context, name, "maintenance", reason, force=force)


@click.command()
@click.argument("name")
@_force
@common_options
def release(context: Context, name: str, force: bool) -> None:
    """Give the device NAME work again: ends hold, drain and maintenance."""
    _set_mode(context, name, "active", "", force=force)
