"""`edgerig replay`: recomputes guidelines from their records and says whether they are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig.errors import EXIT_FAILED, EXIT_OK, NotFoundError
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgerig_controller.evidence.replay import Difference, Replayed
    from edgerig_controller.report.data import StudyData

MOST_SHOWN = 12


@click.command()
@click.argument("file", metavar="GUIDELINE.json", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--from",
    "exports",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take the records from the export in this folder instead of the store; may be repeated.",
)
@common_options
def replay(context: Context, file: Path, exports: tuple[Path, ...]) -> int:
    """Recompute the guidelines of GUIDELINE.json from the stored records, bit for bit."""
    from edgerig_controller.evidence import replay as replays
    from edgerig_controller.evidence.build import build
    from edgerig_controller.evidence.judge import judge

    entries = replays.read(file)
    wanted = replays.studies_of(entries)
    hard = replays.difficulty_of(entries)
    data = _exported(exports, wanted) if exports else _stored(context, wanted)
    found = replays.compare(entries, judge(build(data, difficulty=hard)))
    for one in found:
        _show(context, one)
    same = sum(one.identical for one in found)
    context.out.text(f"{same} of {len(found)} guidelines identical")
    code = EXIT_OK if same == len(found) else EXIT_FAILED
    context.out.document(
        {"identical": same == len(found), "guidelines": [_facts(one) for one in found], "exit_code": code}
    )
    return code


def _stored(context: Context, wanted: Sequence[Mapping[str, str]]) -> list[StudyData]:
    from edgerig_controller.evidence.load import stored

    with open_store(context.home) as repository:
        known = {study.digest: study for study in repository.studies()}
        missing = [study["digest"] for study in wanted if study["digest"] not in known]
        if missing:
            raise _lacking(missing, f"the data folder {context.home.root}")
        return [stored(context.home, repository, known[study["digest"]]) for study in wanted]


def _exported(folders: tuple[Path, ...], wanted: Sequence[Mapping[str, str]]) -> list[StudyData]:
    from edgerig_controller.evidence import exported

    read = [exported.read(one) for folder in folders for one in exported.find(folder)]
    known = {data.study.digest: data for data in read}
    missing = [study["digest"] for study in wanted if study["digest"] not in known]
    if missing:
        raise _lacking(missing, ", ".join(str(folder) for folder in folders))
    return [known[study["digest"]] for study in wanted]


def _lacking(digests: Sequence[str], where: str) -> NotFoundError:
    return NotFoundError(
        f"{where} lacks studies that these guidelines come from: {', '.join(d[:12] for d in digests)}",
        hint="name the data folder with --data DIR, or an export with --from DIR",
    )


def _show(context: Context, one: Replayed) -> None:
    out = context.out
    state = "identical" if one.identical else "differs"
    out.text(f"{one.claim_id} ({one.family}): {out.style(state, 'green' if one.identical else 'red')}")
    for row in one.differences[:MOST_SHOWN]:
        out.text(f"  {row.place}: {_brief(row.recorded)} recorded, {_brief(row.recomputed)} recomputed")
    if len(one.differences) > MOST_SHOWN:
        out.text(f"  and {len(one.differences) - MOST_SHOWN} more fields")
    if one.other_code:
        names = ", ".join(row.place.removeprefix("origin.code.") for row in one.other_code)
        out.note(f"{one.claim_id}: judged by other code than this ({names})")


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _facts(one: Replayed) -> dict[str, Any]:
    def rows(differences: Sequence[Difference]) -> list[dict[str, Any]]:
        return [vars(row) for row in differences]

    return {
        "family": one.family,
        "claim_id": one.claim_id,
        "identical": one.identical,
        "differences": rows(one.differences),
        "other_code": rows(one.other_code),
    }
