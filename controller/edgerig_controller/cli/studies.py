"""`edgerig studies`, `cancel`, `rm` and `gc`: what lies in the data folder, and less of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from edgerig.errors import UsageError
from edgerig_controller.cli import remote, remote_run
from edgerig_controller.cli.options import Context, common_options, yes_option
from edgerig_controller.cli.reference import find, open_store, study_argument

if TYPE_CHECKING:
    from edgerig_controller.store.rows import StudyRow


@click.command()
@common_options
def studies(context: Context) -> None:
    """List the studies of the data folder, the newest first."""
    from edgerig_controller.cli.output import Column

    rows: list[StudyRow] = []
    if context.home.has_store:
        with open_store(context.home) as repository:
            rows = repository.studies()
    if not rows:
        context.out.note(f"No study in {context.home.root}. Next: edgerig run STUDY.yaml")
    context.out.table(
        [
            Column("name"),
            Column("id"),
            Column("state"),
            Column("done", right=True),
            Column("failed", right=True),
            Column("created (UTC)"),
        ],
        [
            (
                row.name,
                row.study_id,
                row.state,
                f"{row.done_count}/{row.trial_count}",
                str(row.failed_count),
                datetime.fromtimestamp(row.created_unix_s, tz=timezone.utc).strftime("%Y-%m-%d %H:%M"),
            )
            for row in rows
        ],
    )
    context.out.document({"studies": [_facts(row) for row in rows]})


def _facts(row: StudyRow) -> dict[str, object]:
    names = (
        "study_id", "name", "digest", "state", "created_unix_s", "finished_unix_s",
        "trial_count", "done_count", "failed_count", "reused_count",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names}


@click.command()
@study_argument
@common_options
def cancel(context: Context, study: str) -> None:
    """Stop STUDY: nothing more is started, and what runs is ended."""
    if remote.load(context.home) is not None:
        count = asyncio.run(remote_run.cancel(context, study))
        context.out.text(f"Cancelled {count} trials of {study}.")
        context.out.document({"study_id": study, "cancelled_count": count})
        return
    found = _find(context, study)
    if found.state == "active":
        count = asyncio.run(_cancel(context, found))
        context.out.text(f"Cancelled {count} trials of {found.name}.")
    else:
        count = 0
        context.out.text(f"{found.name} is {found.state}; there is nothing to cancel.")
    context.out.document({"study_id": found.study_id, "cancelled_count": count})


async def _cancel(context: Context, found: StudyRow) -> int:
    from edgerig_controller.cli.control import session

    async with session(context.home) as (control, _):
        return await control.cancel(found.study_id)


@click.command()
@study_argument
@yes_option
@common_options
def rm(context: Context, study: str, yes: bool) -> None:
    """Remove STUDY with its results and reports, and what only it needs."""
    found = _find(context, study)
    if found.state == "active":
        raise UsageError(f"{found.name} is still running", hint=f"edgerig cancel {found.study_id}")
    question = f"Remove {found.name} ({found.study_id}) with the results of {found.done_count} trials?"
    if not context.out.confirm(question, yes=yes):
        raise UsageError(
            f"{found.name} was not removed: nobody confirmed it", hint=f"edgerig rm {found.study_id} --yes"
        )
    freed = asyncio.run(_delete(context, found.study_id))
    context.out.text(f"Removed {found.name} and freed {_size(freed)}.")
    context.out.document({"study_id": found.study_id, "freed_bytes": freed})


async def _delete(context: Context, study_id: str) -> int:
    from edgerig_controller.cli.control import session

    async with session(context.home) as (control, running):
        freed = await control.delete(study_id)
        if running.started:
            await control.shutdown()
        return freed


@click.command()
@yes_option
@common_options
def gc(context: Context, yes: bool) -> None:
    """Remove blobs and attempts that no study needs; shows their sizes first."""
    if not context.home.has_store:
        context.out.text(f"{context.home.root} holds nothing yet.")
        context.out.document({"removed": False, "blob_count": 0, "attempt_count": 0})
        return
    asyncio.run(_collect(context, yes))


async def _collect(context: Context, yes: bool) -> None:
    from edgerig_controller.cli.control import session

    async with session(context.home) as (control, running):
        found = await control.collect_garbage(dry_run=True)
        size = _size(found.blob_bytes + found.attempt_bytes)
        context.out.text(
            f"Not needed by any study: {found.blob_count} blobs ({_size(found.blob_bytes)}), "
            f"{found.attempt_count} attempts ({_size(found.attempt_bytes)})."
        )
        some = bool(found.blob_count or found.attempt_count)
        remove = some and context.out.confirm(f"Remove them and free {size}?", yes=yes)
        if remove:
            found = await control.collect_garbage(dry_run=False)
            context.out.text(f"Removed; {size} freed.")
        elif some:
            context.out.note("Nothing was removed. Next: edgerig gc --yes")
        context.out.document(
            {
                "removed": remove,
                "blob_count": found.blob_count,
                "blob_bytes": found.blob_bytes,
                "attempt_count": found.attempt_count,
                "attempt_bytes": found.attempt_bytes,
            }
        )
        if running.started:
            await control.shutdown()


def _find(context: Context, reference: str) -> StudyRow:
    with open_store(context.home) as repository:
        return find(repository, reference)


def _size(size_bytes: int) -> str:
    from edgerig_controller.report.numbers import quantity

    return quantity(float(size_bytes), "B")
