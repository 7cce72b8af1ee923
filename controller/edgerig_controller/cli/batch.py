"""`edgerig batch export|import|list|withdraw`: trials for a device without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import study_argument

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from edgerig.v1 import batch_service_pb2 as pb

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def batch() -> None:
    """Carry trials to a device without a network, and their results back."""


@batch.command("export")
@study_argument
@click.option("--device", required=True, metavar="NAME", help="The enrolled device that is to run them.")
@click.option("--to", "folder", required=True, type=_FOLDER, help="New folder, such as one on a USB stick.")
@click.option("--trials", default=0, type=click.IntRange(min=0), help="At most so many; 0: all that wait.")
@common_options
def export(context: Context, study: str, device: str, folder: Path, trials: int) -> None:
    """Write the waiting trials of STUDY, with models and data, into a folder for one device."""
    import asyncio

    from edgerig_controller.cli.batch_folder import write

    made = asyncio.run(write(context.home, study, device, folder, trials))
    out = context.out
    out.text(f"batch {made.batch_id}: {made.trial_count} trials for {device} in {folder}")
    out.note(f"Next, on {device}: edgerig-agent batch run {folder.name}")
    out.note(f"Then, here: edgerig batch import {folder}")
    out.document({"batch_id": made.batch_id, "trial_count": made.trial_count, "blob_bytes": made.blob_bytes})


@batch.command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@common_options
def import_(context: Context, folder: Path) -> None:
    """Take the results of a batch FOLDER into the store; may be repeated."""
    import asyncio

    from edgerig.errors import RejectedError
    from edgerig_controller.cli.batch_folder import read

    found = asyncio.run(read(context.home, folder))
    counts: dict[str, int] = {}
    for item in found:
        counts[item.outcome] = counts.get(item.outcome, 0) + 1
        if item.problem:
            context.out.text(f"{item.attempt_id}: {item.outcome}: {item.problem}")
    words = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(counts.items()))
    context.out.text(words or "no result is in the folder yet")
    context.out.document({"results": [vars(item) for item in found]})
    refused = sum(item.outcome in ("rejected", "conflict") for item in found)
    if refused:
        raise RejectedError(f"{refused} of {len(found)} results were not taken.", hint="edgerig audit")


@batch.command("list")
@common_options
def list_(context: Context) -> None:
    """List the batches, and how much of each has come back."""
    from edgerig.v1 import batch_service_pb2 as messages
    from edgerig_controller.cli.fleet import as_json, moment
    from edgerig_controller.cli.output import Column

    found: list[pb.Batch] = list(_ask(context, "ListBatches", messages.ListBatchesRequest()).batches)
    if not found:
        context.out.note("No batch yet. Next: edgerig batch export STUDY --device NAME --to DIR")
    names = ("batch", "device", "study", "made", "trials", "returned", "out")
    context.out.table(
        [Column(name, right=name in names[4:]) for name in names],
        [
            (
                *(item.batch_id, item.device_id, item.study_name, moment(item.created_unix_s)),
                *(str(item.trial_count), str(item.returned_count), str(item.out_count)),
            )
            for item in found
        ],
    )
    context.out.document({"batches": [as_json(item) for item in found]})


@batch.command()
@click.argument("batch_id")
@common_options
def withdraw(context: Context, batch_id: str) -> None:
    """Queue the trials of BATCH_ID that have no result again; what comes back later is kept."""
    from edgerig.v1 import batch_service_pb2 as messages

    request = messages.WithdrawBatchRequest(batch_id=batch_id)
    count = int(_ask(context, "WithdrawBatch", request).requeued_count)
    context.out.text(f"{count} trials wait again")
    context.out.document({"batch_id": batch_id, "requeued_count": count})


def _ask(context: Context, method: str, request: Message) -> Any:
    import asyncio

    from edgerig_controller.cli.batch_folder import call

    return asyncio.run(call(context.home, method, request))
