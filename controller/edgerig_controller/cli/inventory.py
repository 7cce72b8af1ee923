"""`edgerig inventory`: what should be there against what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgerig.errors import EXIT_DEVICE, EXIT_OK, NotFoundError
from edgerig_controller.cli.options import Context, common_options

if TYPE_CHECKING:
    from edgerig.v1 import fleet_service_pb2 as pb


@click.group()
def inventory() -> None:
    """Declare devices and compare them with what they are."""


_file = click.argument("file", metavar="INVENTORY.yaml", type=click.Path(path_type=Path, dir_okay=False))
_prune = click.option("--prune", is_flag=True, help="Also forget what is declared of devices not named here.")


@inventory.command()
@_file
@_prune
@common_options
def apply(context: Context, file: Path, prune: bool) -> None:
    """Take over what FILE declares; a device that is something else then gets no trials."""
    _apply(context, file, prune=prune, dry_run=False)


@inventory.command()
@click.argument("file", metavar="[INVENTORY.yaml]", required=False, type=click.Path(path_type=Path))
@_prune
@common_options
def diff(context: Context, file: Path | None, prune: bool) -> int:
    """Show what applying FILE would change; without FILE, where devices are not what is declared.

    Without FILE the exit code is 4 when a device is blocked by a difference.
    """
    if file is not None:
        _apply(context, file, prune=prune, dry_run=True)
        return EXIT_OK
    return _differences(context)


@inventory.command("list")
@click.option("--list", "ansible_list", is_flag=True, help="Print the inventory as Ansible's programs do.")
@click.option("--host", metavar="NAME", help="Print the variables of one host, as Ansible's programs do.")
@common_options
def list_(context: Context, ansible_list: bool, host: str | None) -> None:
    """List what is declared and what is there."""
    from edgerig_controller.cli.fleet import as_json
    from edgerig_controller.cli.output import Column

    found = _inventory(context)
    if ansible_list or host is not None:
        _print_for_ansible(context, found, host)
        return
    context.out.table(
        [Column("device"), Column("declared"), Column("enrolled"), Column("reported"), Column("differences")],
        [
            (
                item.device_id,
                item.declared.device_type or "yes" if item.HasField("declared") else "no",
                "yes" if item.enrolled else "no",
                "yes" if item.reported else "no",
                "; ".join(difference.message for difference in item.differences) or "–",
            )
            for item in found
        ],
    )
    context.out.document({"devices": [as_json(item) for item in found]})


def _apply(context: Context, file: Path, *, prune: bool, dry_run: bool) -> None:
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import as_json, ask
    from edgerig_controller.cli.reference import read_file
    from edgerig_controller.fleet.inventory_file import parse

    devices = parse(read_file(file), file.name)
    request = pb.ApplyInventoryRequest(devices=devices, prune=prune, dry_run=dry_run)
    changes = list(ask(context, "ApplyInventory", request).changes)
    for change in changes:
        kept = " (stays; --prune removes it)" if change.kind == "kept" else ""
        context.out.text(f"{change.device_id}: {change.kind}{kept}")
        for detail in change.details:
            context.out.text(f"  {detail}")
    if not changes:
        context.out.text(f"{len(devices)} devices; nothing changes.")
    elif dry_run:
        context.out.note(f"Nothing was changed. Next: {context.again(f'edgerig inventory apply {file}')}")
    context.out.document(
        {
            "device_count": len(devices),
            "applied": not dry_run,
            "changes": [as_json(change) for change in changes],
        }
    )


def _differences(context: Context) -> int:
    from edgerig_controller.cli.fleet import as_json

    found = [item for item in _inventory(context) if item.differences]
    for item in found:
        for difference in item.differences:
            blocked = "blocks trials" if difference.blocks else "noted"
            context.out.text(f"{item.device_id}: {difference.message} ({blocked})")
    if not found:
        context.out.text("Every device that has reported is what is declared.")
    blocking = any(difference.blocks for item in found for difference in item.differences)
    context.out.document({"devices": [as_json(item) for item in found], "blocking": blocking})
    return EXIT_DEVICE if blocking else EXIT_OK


def _inventory(context: Context) -> list[pb.InventoryDevice]:
    """Asks the controller, or reads the store when none runs."""
    from edgerig.v1 import fleet_service_pb2 as messages
    from edgerig_controller import embedded
    from edgerig_controller.cli import remote
    from edgerig_controller.cli.fleet import ask

    home = context.home
    if remote.load(home) is not None or embedded.find_controller(home) is not None:
        return list(ask(context, "GetInventory", messages.GetInventoryRequest()).devices)
    if not home.has_store:
        return []
    from edgerig_controller.cli.reference import open_store
    from edgerig_controller.rpc import fleet_view

    with open_store(home) as repository:
        return fleet_view.inventory_devices(repository.devices(), repository.fleet.declared())


def _print_for_ansible(context: Context, found: list[pb.InventoryDevice], host: str | None) -> None:
    """Prints exactly what Ansible expects: one JSON object, with no schema version of ours in it."""
    from edgerig_controller.fleet.inventory import ansible_host_variables, ansible_inventory

    declared = {
        item.device_id: (item.declared, item.observed if item.reported else None)
        for item in found
        if item.HasField("declared")
    }
    if host is None:
        context.out.raw(json.dumps(ansible_inventory(declared), indent=1))
        return
    if host not in declared:
        raise NotFoundError(f"{host} is not declared", hint="edgerig inventory list")
    context.out.raw(json.dumps(ansible_host_variables(*declared[host]), indent=1))
