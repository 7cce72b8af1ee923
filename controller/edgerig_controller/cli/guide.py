"""`edgerig guide`: guidelines from the records of one or several studies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgerig.errors import EXIT_FAILED, EXIT_OK, EXIT_REJECTED, UsageError
from edgerig_controller.cli.advise import Size
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import complete_studies, find, open_store

if TYPE_CHECKING:
    from edgerig_controller.cli.output import Output
    from edgerig_controller.evidence.judge import Guide
    from edgerig_controller.guidelines.contamination import Contamination
    from edgerig_controller.guidelines.utility import Utility
    from edgerig_controller.report.data import StudyData

_POSITIVE = click.FloatRange(min=0, min_open=True)
REJECTED = frozenset({"scores_not_numbers", "conflicting_duplicates"})


@click.command()
@click.argument("studies", metavar="[STUDY]...", nargs=-1, shell_complete=complete_studies)
@click.option(
    "--from",
    "exports",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of an export (`edgerig export STUDY --to parquet`), or of several; may be repeated.",
)
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
@click.option(
    "--difficulty",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Output of `edgerig task difficulty --json`, or {TASK: {D1: number, ...}}.",
)
@click.option(
    "--contamination",
    "probes",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Output of `edgerig task contamination` [default: what lies beside the reports of the studies].",
)
@click.option("--max-ram", type=Size(), metavar="SIZE", help="For fronts and the rule: most memory, as 4GiB.")
@click.option("--max-latency-ms", type=_POSITIVE, help="The same: longest request, 95th percentile.")
@click.option("--max-j-per-request", type=_POSITIVE, help="The same: most energy of a request.")
@click.option(
    "--points-per-joule", type=_POSITIVE, help="The same: what a joule of a request costs in points."
)
@click.option("--requests", type=_POSITIVE, help="The same: how many requests a training is spread over.")
@common_options
def guide(
    context: Context,
    studies: tuple[str, ...],
    exports: tuple[Path, ...],
    folder: Path | None,
    difficulty: Path | None,
    probes: tuple[Path, ...],
    **limits: float | None,
) -> int:
    """Judge the claims of each STUDY, and H1 to H10, and write guidelines.json and a report."""
    from edgerig_controller.evidence import hardness
    from edgerig_controller.evidence.build import build
    from edgerig_controller.evidence.judge import judge
    from edgerig_controller.report.guide import render
    from edgerig_controller.report.guide.build import build as build_report
    from edgerig_controller.report.guide.extras import document as whole_document

    utility = _utility(**limits)
    hard = hardness.read(difficulty) if difficulty is not None else None
    data = load(context, studies, exports)
    found = judge(build(data, difficulty=hard))
    report = build_report(
        found, now_unix_s=time.time(), utility=utility, contamination=_probed(context, data, probes)
    )
    files = render.write(report, folder or _folder(context, data, from_store=bool(studies)))
    code = exit_code(found)
    show(context.out, found)
    context.out.text()
    context.out.text(f"Report: {files.html}")
    context.out.note(f"Next: {context.again(f'edgerig replay {files.guidelines}')}")
    context.out.document({**whole_document(report), "report": files.document(), "exit_code": code})
    return code


def _utility(
    max_ram: float | None,
    max_latency_ms: float | None,
    max_j_per_request: float | None,
    points_per_joule: float | None,
    requests: float | None,
) -> Utility:
    from edgerig_controller.guidelines.utility import Utility

    if requests is not None and points_per_joule is None:
        raise UsageError(
            "--requests spreads the energy of training, which has no price", hint="--points-per-joule"
        )
    return Utility(
        ram_bytes=max_ram,
        latency_s=None if max_latency_ms is None else max_latency_ms / 1e3,
        energy_j=max_j_per_request,
        points_per_joule=points_per_joule or 0.0,
        requests=requests,
    )


def _probed(context: Context, data: list[StudyData], files: tuple[Path, ...]) -> list[Contamination]:
    """Reads results of the contamination probe: the files named, else those beside the studies' reports."""
    from edgerig_controller.evidence import contamination

    beside = [
        path
        for entry in data
        if (path := context.home.report_dir(entry.study.study_id) / contamination.FILE_NAME).is_file()
    ]
    rows = [row for path in files or beside for row in contamination.read(path)]
    return list({(row.model, row.task): row for row in rows}.values())


def load(context: Context, references: tuple[str, ...], exports: tuple[Path, ...]) -> list[StudyData]:
    """Reads studies from the store and from exports.

    Raises:
        UsageError: neither was named.
        NotFoundError: a study or an export is not there.
        DataError: an export is damaged.
    """
    from edgerig_controller.evidence import exported
    from edgerig_controller.evidence.load import stored

    if not references and not exports:
        raise UsageError("no study is named", hint="edgerig guide STUDY, or edgerig guide --from DIR")
    found = [exported.read(one) for folder in exports for one in exported.find(folder)]
    if references:
        with open_store(context.home) as repository:
            rows = [find(repository, reference) for reference in references]
            found += [stored(context.home, repository, row) for row in rows]
    return found


def exit_code(found: Guide) -> int:
    """Returns 0 when every claim of the study files was judged on sound records, 7 when records were
    rejected, 1 when a claim could not be tested, claims contradict each other or nothing is usable."""
    codes = {notice.code for notice in found.notices if notice.level == "error"}
    if codes & REJECTED:
        return EXIT_REJECTED
    return EXIT_FAILED if codes else EXIT_OK


def show(out: Output, found: Guide) -> None:
    """Prints the verdicts of both families and what must be known beside them."""
    from edgerig_controller.cli.output import Column
    from edgerig_controller.evidence.judge import REGISTERED, STUDY_FILE
    from edgerig_controller.guidelines.verdict import Verdict
    from edgerig_controller.report.guide.render import effect_words

    columns = (Column("claim"), Column("verdict"), Column("effect [adjusted interval]"), Column("label"))
    for family, title in ((STUDY_FILE, "Claims of the study"), (REGISTERED, "H1 to H10")):
        mine = found.family(family)
        shown = [entry for entry in mine if family == STUDY_FILE or entry.verdict != Verdict.NOT_TESTED.value]
        out.heading(title)
        rows = [(row.claim_id, row.verdict, effect_words(row), row.label or "–") for row in shown]
        out.table(columns, rows)
        for entry in shown:
            out.text(f"{entry.claim_id}: {entry.statement}")
        if len(shown) < len(mine):
            out.text(
                f"{len(mine) - len(shown)} of {len(mine)} not tested: these records lack cells for them."
            )
        if not mine:
            out.text("none registered")
    for notice in found.notices:
        (out.warn if notice.level == "error" else out.note)(notice.text)


def _folder(context: Context, data: list[StudyData], *, from_store: bool) -> Path:
    """Chooses the folder: in the data folder for stored studies, else in the present one."""
    from edgerig import documents

    if not from_store:
        return Path(f"{data[0].study.name}-guide")
    ids = sorted({entry.study.study_id for entry in data})
    if len(ids) == 1:
        return context.home.report_dir(ids[0]) / "guide"
    return context.home.report_dir(f"guide-{documents.digest(ids)[:12]}")
