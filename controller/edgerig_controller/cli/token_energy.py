"""`edgerig token-energy`: what a prompt token and an output token cost, over studies of many lengths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgerig.errors import EXIT_FAILED, EXIT_OK, UsageError
from edgerig_controller.cli.guide import load
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import complete_studies

if TYPE_CHECKING:
    from edgerig_controller.cli.output import Output
    from edgerig_controller.evidence.token_energy import TokenEnergy
    from edgerig_controller.guidelines.phase_energy import PhaseEnergy


@click.command("token-energy")
@click.argument("studies", metavar="[STUDY]...", nargs=-1, shell_complete=complete_studies)
@click.option(
    "--from",
    "exports",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of an export, or of several; may be repeated.",
)
@click.option("--fit-idle", is_flag=True, help="Fit the idle power, also where it was measured.")
@click.option("--interaction", is_flag=True, help="Let a decoded token cost more after a longer prompt.")
@common_options
def token_energy(
    context: Context, studies: tuple[str, ...], exports: tuple[Path, ...], fit_idle: bool, interaction: bool
) -> int:
    """Fit joules per prompt and output token over every STUDY.

    The studies differ in inference.prompt_tokens and new_tokens, and together have at
    least 12 pairs of lengths, each with at least 3 seeds or repeats.
    """
    from edgerig_controller.evidence.token_energy import token_energies

    if not studies and not exports:
        raise UsageError("no study is named", hint="edgerig token-energy STUDY...")
    data = load(context, studies, exports)
    found = token_energies(data, fit_idle=fit_idle, interaction=interaction)
    _show(context.out, found)
    code = EXIT_OK if found and all(entry.fitted.slopes for entry in found) else EXIT_FAILED
    context.out.document({"token_energy": [entry.document() for entry in found], "exit_code": code})
    return code


def _show(out: Output, found: list[TokenEnergy]) -> None:
    from edgerig_controller.cli.output import Column

    if not found:
        out.warn("no run of these studies has an energy of inference at a total boundary")
    for entry in found:
        out.heading(entry.cell)
        out.text(f"{entry.device_id}, {entry.boundary} ({entry.source}), {entry.run_count} runs")
        if not entry.fitted.slopes:
            out.warn(entry.fitted.note)
            continue
        columns = (Column("coefficient"), Column("value", True), Column("95 % interval"))
        rows = [
            (slope.name, f"{slope.estimate:.4g} {slope.unit}", f"{slope.low:.4g} to {slope.high:.4g}")
            for slope in entry.fitted.slopes
        ]
        out.table(columns, rows)
        out.text(_origin(entry.fitted))


def _origin(fitted: PhaseEnergy) -> str:
    idle = "fitted" if fitted.idle_power_w is None else f"{fitted.idle_power_w:.4g} W, as measured, taken off"
    return f"idle power {idle}; HC3 errors, {fitted.df} degrees of freedom, R² {fitted.r_squared:.4f}"
