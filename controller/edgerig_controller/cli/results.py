"""`edgerig results` and `export`: what came out of a study."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import find, open_store, study_argument


@click.command()
@study_argument
@common_options
def results(context: Context, study: str) -> None:
    """Show the results of STUDY: cells, differences to none, failures, what is missing."""
    from edgerig_controller.cli import summary
    from edgerig_controller.report.build import build
    from edgerig_controller.report.data import StudyData
    from edgerig_controller.report.render import document

    with open_store(context.home) as repository:
        data = StudyData.load(repository, find(repository, study))
    found = build(data, now_unix_s=time.time())
    summary.show(context.out, found)
    context.out.document({"report": document(found), "records": summary.records(data)})


@click.command()
@study_argument
@click.option("--to", type=click.Choice(["parquet", "csv", "jsonl"]), required=True, help="Format.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to [default: NAME-export in this folder].",
)
@common_options
def export(context: Context, study: str, to: str, folder: Path | None) -> None:
    """Write attempts, measurements and scores of STUDY as tables, and the study itself as study.json."""
    from edgerig_controller import export as exports
    from edgerig_controller.evidence.load import stored
    from edgerig_controller.store.traces import convert_study

    with open_store(context.home) as repository:
        data = stored(context.home, repository, find(repository, study))
        traces, problems = convert_study(context.home, repository, data.study.study_id)
    wanted = next(known for known in exports.FORMATS if known == to)
    tables = exports.export(data, wanted, folder or Path(f"{data.study.name}-export"))
    for table in tables:
        context.out.text(f"{table.path}  {table.row_count} rows")
    if traces:
        context.out.text(f"{traces[0].parent}  {len(traces)} traces")
    for problem in problems:
        context.out.text(problem)
    context.out.document(
        {
            "study_id": data.study.study_id,
            "traces": [str(path) for path in traces],
            "problems": problems,
            "tables": [
                {"table": table.table, "path": str(table.path), "row_count": table.row_count}
                for table in tables
            ],
        }
    )
