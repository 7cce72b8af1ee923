"""`edgerig audit`: who changed what, and who was refused."""

from __future__ import annotations

import click

from edgerig_controller.cli.options import Context, common_options


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Newest entries to show."
)
@click.option(
    "--before", type=click.IntRange(1), default=None, metavar="ID", help="Only entries before this one."
)
@common_options
def audit(context: Context, limit: int, before: int | None) -> None:
    """Show who changed what, and who was refused, the newest first."""
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import as_json, ask, moment
    from edgerig_controller.cli.output import Column

    request = pb.ListAuditRequest(limit=limit, before_entry_id=before or 0)
    entries = list(ask(context, "ListAudit", request).entries)
    context.out.table(
        [
            Column("id", right=True),
            Column("at (UTC)"),
            Column("who"),
            Column("what"),
            Column("about"),
            Column("outcome"),
            Column("detail"),
        ],
        [
            (
                str(entry.entry_id),
                moment(entry.at_unix_s),
                entry.who,
                entry.what,
                entry.subject or "–",
                entry.outcome,
                entry.detail,
            )
            for entry in entries
        ],
    )
    if not entries:
        context.out.note("Nothing was changed yet.")
    elif len(entries) == limit:
        context.out.note(f"Older ones: {context.again(f'edgerig audit --before {entries[-1].entry_id}')}")
    context.out.document({"entries": [as_json(entry) for entry in entries]})
