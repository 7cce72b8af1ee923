"""`edgerig task`: data of the benchmark LaMP, checked before a study names them, or made here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig.errors import EXIT_OK, EXIT_USAGE, DataError, UsageError
from edgerig_controller.cli.contamination import contamination
from edgerig_controller.cli.difficulty import difficulty
from edgerig_controller.cli.options import Context, output_options

if TYPE_CHECKING:
    from edgerig_controller.data.lamp import Findings
    from edgerig_controller.data.lamp_shapes import Files, Part, Split

    Found = tuple[str, Split, Part, Files]

_SHOWN = 20


@click.group()
def task() -> None:
    """Check and make task data, and say how hard a task is."""


task.add_command(difficulty)
task.add_command(contamination)


@task.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--task", "name", help="Only this task, such as lamp-3; default: every one that is found.")
@click.option("--split", type=click.Choice(["user", "time"]), help="Only this split.")
@click.option("--part", type=click.Choice(["train", "dev"]), help="Only this part.")
@output_options
def check(context: Context, folder: Path, name: str | None, split: str | None, part: str | None) -> int:
    """Check LaMP data in DIR record by record and list every fault with its place."""
    from edgerig_controller.data import lamp

    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint=f"ls -ld {folder}")
    wanted = [
        found
        for found in lamp.found_parts(folder)
        if name in (None, found[0]) and split in (None, found[1]) and part in (None, found[2])
    ]
    if not wanted:
        raise DataError(
            f"{folder} holds no LaMP data that were asked for",
            hint="a part is two files, such as LaMP_3/dev/dev_questions.json and dev_outputs.json",
        )
    documents, refused = [], 0
    for found in wanted:
        findings = lamp.check(found[3], found[0])
        refused += lamp.refusal(found[3], findings) is not None
        _show(context, found, findings)
        documents.append(_document(found, findings))
    context.out.document({"ok": not refused, "parts": documents})
    return EXIT_USAGE if refused else EXIT_OK


@task.command()
@click.argument("name", metavar="NAME")
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--users", type=click.IntRange(1, 100_000), default=40, show_default=True)
@click.option("--items-per-user", type=click.IntRange(1, 10_000), default=4, show_default=True)
@click.option("--history", type=click.IntRange(0, 10_000), default=16, show_default=True)
@click.option("--part", type=click.Choice(["train", "dev"]), default="dev", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True)
@output_options
def make(
    context: Context,
    name: str,
    folder: Path,
    users: int,
    items_per_user: int,
    history: int,
    part: Part,
    seed: int,
) -> None:
    """Write the synthetic task NAME into a folder, in LaMP's file formats."""
    from edgerig_controller.data import lamp_write, synthetic

    rows = synthetic.generate(name, users=users, items_per_user=items_per_user, history=history, seed=seed)
    files = lamp_write.write(name, rows, folder, part)
    context.out.text(f"Wrote {files.questions} and {files.outputs.name}: {len(rows)} questions.")
    context.out.note(
        f"In a study file: tasks: [{{name: {name}, source: lamp, path: {folder}, part: {part}}}]"
    )
    context.out.document(
        {"questions": str(files.questions), "outputs": str(files.outputs), "item_count": len(rows)}
    )


def _show(context: Context, found: Found, findings: Findings) -> None:
    name, split, part, files = found
    out = context.out
    out.heading(f"{name}, {split} split, {part}: {files.questions.parent}")
    out.text(
        f"{findings.item_count} questions of {len(findings.users)} users, "
        f"{findings.profile_item_count} history items, the longest history has {findings.longest_profile}."
    )
    for note in _notes(findings):
        out.text(note)
    for fault in findings.faults[:_SHOWN]:
        out.text(f"  {fault}")
    hidden = findings.fault_count - min(len(findings.faults), _SHOWN)
    if hidden:
        out.text(f"  and {hidden} more; --json lists the first {len(findings.faults)}")
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(findings.counts.items()))
    out.text(f"Faults: {counts or 'none'}.")


def _notes(findings: Findings) -> list[str]:
    notes = []
    if findings.item_count and not findings.has_user_ids:
        notes.append("Questions have no user_id: each counts as a user of its own.")
    if findings.undated_profile_count:
        notes.append(
            f"{findings.undated_profile_count} histories have items without a date and keep the file's order."
        )
    return notes


def _document(found: Found, findings: Findings) -> dict[str, Any]:
    name, split, part, files = found
    return {
        "task": name,
        "split": split,
        "part": part,
        "questions": str(files.questions),
        "outputs": str(files.outputs),
        "item_count": findings.item_count,
        "user_count": len(findings.users),
        "has_user_ids": findings.has_user_ids,
        "profile_item_count": findings.profile_item_count,
        "longest_profile": findings.longest_profile,
        "undated_profile_count": findings.undated_profile_count,
        "fault_counts": dict(findings.counts),
        "faults": [asdict(fault) for fault in findings.faults],
    }
