"""`edgerig task contamination`: do the models of a study know its test answers?"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.output import Column
from edgerig_controller.cli.reference import complete_studies, find, open_store

if TYPE_CHECKING:
    from edgerig_controller.guidelines.contamination import Contamination


@click.command()
@click.argument("study", metavar="STUDY", shell_complete=complete_studies)
@click.option(
    "--items",
    type=click.IntRange(10, 100_000),
    default=200,
    show_default=True,
    help="The most of each task; those of whole users.",
)
@click.option("--offline", is_flag=True, help="Fetch no model from the hub.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write [default: beside the study's report, where `guide` finds it].",
)
@common_options
def contamination(context: Context, study: str, items: int, offline: bool, out: Path | None) -> None:
    """Probe each model of STUDY on each of its tasks: is the right answer preferred to other answers?

    Compares the loss of the expected answers with that of other answers of the same user, and again
    with the options of the question in another order. Runs on this machine and needs torch.
    """
    from edgerig_controller.evidence import contamination as probes
    from edgerig_controller.report.data import StudyData
    from edgerig_controller.report.guide.render import loss_words

    with open_store(context.home) as repository:
        data = StudyData.load(repository, find(repository, study))
    path = out or context.home.report_dir(data.study.study_id) / probes.FILE_NAME

    def heard(found: Contamination) -> None:
        context.out.note(f"{found.model} on {found.task}: {found.state}")

    rows = probes.probed(data, context.home.blobs_dir, Path.cwd(), items=items, offline=offline, heard=heard)
    probes.write(path, rows, now_unix_s=time.time())
    columns = [Column("model"), Column("task"), Column("finding"), Column("gap, nats per token", right=True)]
    columns += [Column("lost by reordering", right=True), Column("users", right=True)]
    context.out.table(
        columns,
        [(r.model, r.task, r.state, loss_words(r.gap), loss_words(r.wording), str(r.gap.n)) for r in rows],
    )
    for row in rows:
        context.out.text(f"{row.model} on {row.task}: {row.reason}")
    context.out.note(f"Next: {context.again(f'edgerig guide {study}')}")
    context.out.document({"rows": [asdict(row) for row in rows], "file": str(path)})
