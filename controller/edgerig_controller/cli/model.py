"""`edgerig model`: converting models of other programs into folders that studies can name."""

from __future__ import annotations

from pathlib import Path

import click

from edgerig_controller.cli.options import Context, output_options


@click.group()
def model() -> None:
    """Convert models."""


@model.group(name="import")
def import_group() -> None:
    """Turn a model of another program into a transformers folder."""


@import_group.command()
@click.argument("checkpoint", metavar="BIN", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("tokenizer", metavar="TOKENIZER", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="New folder."
)
@output_options
def llama2c(context: Context, checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Convert a llama2.c checkpoint BIN with its TOKENIZER."""
    from edgerig_controller.data.llama2c import convert

    convert(checkpoint, tokenizer, folder)
    context.out.text(f"Wrote {folder}.")
    context.out.note(f"In a study file: model: [{folder}]")
    context.out.document({"path": str(folder)})
