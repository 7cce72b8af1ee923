"""`edgerig health`: golden trials and what their control charts say."""

from __future__ import annotations

import click

from edgerig_controller.cli.options import Context, common_options


@click.group()
def health() -> None:
    """Check whether devices are still what they were."""


@health.command()
@click.argument("name")
@common_options
def run(context: Context, name: str) -> None:
    """Queue a golden trial on the device NAME, before everything else."""
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import ask

    study_id: str = ask(context, "RunGolden", pb.RunGoldenRequest(device_id=name)).study_id
    context.out.text(study_id)
    context.out.note(f"Next: {context.again(f'edgerig health show {name}')}")
    context.out.document({"study_id": study_id})


@health.command()
@click.argument("name")
@common_options
def show(context: Context, name: str) -> None:
    """Show what the golden trials of the device NAME said, the newest first."""
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import as_json, ask, moment
    from edgerig_controller.cli.output import Column

    reply = ask(context, "GetHealth", pb.GetHealthRequest(device_id=name))
    words = as_json(reply)
    since = f" since {moment(reply.since_unix_s)} UTC" if reply.since_unix_s else ""
    context.out.text(f"{name}: {words['health']}{since}{': ' + reply.reason if reply.reason else ''}")
    context.out.table(
        [Column("at (UTC)"), Column("figure"), Column("value", right=True), Column("verdict"), Column("why")],
        [
            (moment(point.at_unix_s), point.figure, f"{point.value:.6g}", point.verdict, point.detail)
            for point in reply.points
        ],
    )
    if not reply.points:
        context.out.note(f"No golden trial yet. Next: {context.again(f'edgerig health run {name}')}")
    context.out.document({"device_id": name, **words})


@health.command()
@click.argument("name")
@click.option("--rebaseline", is_flag=True, help="Also learn anew what is normal, after a repair.")
@common_options
def reset(context: Context, name: str, rebaseline: bool) -> None:
    """Take the device NAME out of quarantine."""
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import ask

    ask(context, "ResetHealth", pb.ResetHealthRequest(device_id=name, rebaseline=rebaseline))
    context.out.text(f"{name} gets work again{'; its baseline is learnt anew' if rebaseline else ''}.")
    context.out.document({"device_id": name, "rebaseline": rebaseline})
