"""`edgerig plan`: what to run next to settle the open claims of a study."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from edgerig.errors import EXIT_OK
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.output import Column
from edgerig_controller.cli.reference import complete_studies

if TYPE_CHECKING:
    from edgerig_controller.cli.output import Output
    from edgerig_controller.evidence.build import Evidence
    from edgerig_controller.guidelines.plan_next import NextPlan, OpenClaim


@click.command()
@click.option(
    "--next", "study", required=True, metavar="STUDY", shell_complete=complete_studies, help="Its claims."
)
@click.option("--registered", is_flag=True, help="Plan for H1 to H10 as well.")
@common_options
def plan(context: Context, study: str, registered: bool) -> int:
    """Name the cells, seeds and repeats that would settle open claims with the fewest device-hours."""
    from edgerig_controller.cli.guide import load
    from edgerig_controller.evidence.build import build
    from edgerig_controller.evidence.judge import claim_of
    from edgerig_controller.guidelines import claims as engine
    from edgerig_controller.guidelines.plan_next import plan_next

    (data,) = load(context, (study,), ())
    evidence = build([data])
    claims = [claim_of(entry) for entry in data.study.claims]
    claims += list(engine.registered()) if registered else []
    found = plan_next(evidence.records, claims, durations_s(evidence))
    if not claims:
        context.out.text(f"{data.study.name} registered no claim: there is nothing to settle.")
    show(context.out, found)
    context.out.document({"study_id": data.study.study_id, "plan": asdict(found)})
    return EXIT_OK


def durations_s(evidence: Evidence) -> dict[str, float]:
    """Returns the mean wall time of a trial by configuration, as far as it was run."""
    times: dict[str, list[float]] = defaultdict(list)
    for data in evidence.studies:
        for row in data.results():
            if row.ended_unix_s is not None and row.status == "ok" and row.device_id:
                times[evidence.config_of[row.trial_id]].append(row.ended_unix_s - row.created_unix_s)
    return {name: sum(values) / len(values) for name, values in times.items()}


def show(out: Output, found: NextPlan) -> None:
    """Prints the plan for a person."""
    if found.settled:
        out.heading("Settled")
        for text in found.settled:
            out.text(text)
    if found.claims:
        out.heading("Open")
    for claim in found.claims:
        out.text(f"{claim.claim_id}: {claim.verdict}; {_power(claim)}")
        for way in claim.ways:
            out.text(f"  {way.more} more {way.kind}: {way.trials} trials, {_hours(way.device_hours)}")
        if claim.reason:
            out.text(f"  {claim.reason}")
    if not found.additions:
        return
    out.heading("Run next")
    out.table(
        [Column("configuration"), Column("more"), Column("device-hours", right=True), Column("for")],
        [
            (
                entry.config_id,
                f"{entry.more} {entry.kind}",
                _hours(entry.device_hours),
                ", ".join(entry.claims),
            )
            for entry in found.additions
        ],
    )
    out.text(f"Together: {_hours(found.device_hours)}. Projected from estimated variances.")


def _power(claim: OpenClaim) -> str:
    if claim.mde is None:
        return "nothing can be projected"
    return f"an effect of {claim.mde:.3g} {claim.unit} could be seen, {claim.margin:.3g} matter"


def _hours(value: float | None) -> str:
    return "hours unknown" if value is None else f"{value:.2g} h"
