"""`edgerig init`, `check`, `schema` and `presets`: study files before anything runs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from edgerig.errors import StorageError, UsageError
from edgerig_controller.cli.options import Context, output_options

FILE_NAME = "study.yaml"


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Replace an existing file.")
@output_options
def init(context: Context, folder: Path, force: bool) -> None:
    """Write a commented study file study.yaml into DIR (default: this folder)."""
    from edgerig_controller.study.template import template

    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", hint=f"edgerig init {folder} --force") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {folder}") from error
    context.out.text(f"Wrote {path}.")
    context.out.note(f"Next: edgerig run {path}")
    context.out.document({"path": str(path)})


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@output_options
def check(context: Context, file: Path) -> None:
    """Check a study file and list all its problems at once."""
    from edgerig_controller.cli.reference import prepare_file

    prepared = prepare_file(file)
    unfitting = [cell for cell in prepared.cells if cell.does_not_fit]
    context.out.text(
        f"{file} is in order: {len(prepared.cells)} cells, {len(prepared.trials)} trials, "
        f"{len(prepared.exclusions)} combinations left out."
    )
    reasons = Counter((exclusion.source, exclusion.reason) for exclusion in prepared.exclusions)
    for (source, reason), count in reasons.items():
        context.out.note(f"{count} left out by the {source}: {reason}")
    for cell in unfitting:
        context.out.note(f"does not fit: {cell.label}: {cell.does_not_fit}")
    context.out.document(
        {
            "ok": True,
            "name": prepared.name,
            "digest": prepared.digest,
            "cell_count": len(prepared.cells),
            "trial_count": len(prepared.trials),
            "exclusions": [vars(exclusion) for exclusion in prepared.exclusions],
        }
    )


@click.command()
@click.option("--guideline", is_flag=True, help="Print that of guidelines.json instead.")
@output_options
def schema(context: Context, guideline: bool) -> None:
    """Print the JSON Schema of study files, or of guidelines."""
    from edgerig_controller.guidelines.document import DOCUMENT_SCHEMA
    from edgerig_controller.study.schema import json_schema

    document = DOCUMENT_SCHEMA if guideline else json_schema()
    context.out.text(json.dumps(document, indent=1, ensure_ascii=False))
    context.out.document({"schema": document})


@click.command()
@output_options
def presets(context: Context) -> None:
    """List published settings that a study can name: `method: [{preset: mezo-lora}]`."""
    from edgerig_controller.study.presets import PRESETS

    for name, preset in PRESETS.items():
        parameters = ", ".join(f"{key}: {value}" for key, value in preset.level.items())
        context.out.text(f"{name} ({preset.factor})\n  {{{parameters}}}\n  {preset.source}")
    context.out.document({"presets": {name: asdict(preset) for name, preset in PRESETS.items()}})
