"""`edgerig report`: writes the report of studies again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig.errors import UsageError
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import complete_studies, find, open_store

if TYPE_CHECKING:
    from edgerig_controller.report.data import StudyData


@click.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, shell_complete=complete_studies)
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
@common_options
def report(context: Context, studies: tuple[str, ...], folder: Path | None) -> None:
    """Write the report of each STUDY as HTML, Markdown and JSON; its guidelines too, if there are any."""
    if folder is not None and len(studies) > 1:
        raise UsageError("--out takes one study", hint="leave --out away, or name one study")
    written = [_write(context, study, folder) for study in studies]
    for one in written:
        context.out.text(str(one["report"]["html"]))
        if "guide" in one:
            context.out.text(str(one["guide"]["html"]))
    # With one study the document is that of earlier versions.
    context.out.document(written[0] if len(written) == 1 else {"studies": written})


def _write(context: Context, study: str, folder: Path | None) -> dict[str, Any]:
    from edgerig_controller.evidence.load import stored
    from edgerig_controller.report import render
    from edgerig_controller.report.build import build

    with open_store(context.home) as repository:
        data = stored(context.home, repository, find(repository, study))
    target = folder or context.home.report_dir(data.study.study_id)
    files = render.write(build(data, now_unix_s=time.time()), target)
    found: dict[str, Any] = {"study_id": data.study.study_id, "report": files.document()}
    if (target / "guide" / "guidelines.json").is_file():
        found["guide"] = _guide(data, target / "guide")
    return found


def _guide(data: StudyData, folder: Path) -> dict[str, str]:
    from edgerig_controller.evidence import build, contamination, judge
    from edgerig_controller.evidence import replay as replays
    from edgerig_controller.report.guide import build as reports
    from edgerig_controller.report.guide import render

    old = replays.whole(folder / render.JSON_NAME)
    hard = replays.difficulty_of(old["guidelines"])
    found = judge.judge(build.build([data], difficulty=hard))
    probes = folder.parent / contamination.FILE_NAME
    report = reports.build(
        found,
        now_unix_s=time.time(),
        utility=replays.utility_of(old),
        contamination=contamination.read(probes) if probes.is_file() else (),
    )
    return render.write(report, folder).document()
