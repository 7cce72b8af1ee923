"""`edgerig version`: the versions that a fault report needs."""

from __future__ import annotations

import platform

import click

from edgerig.version import DOCUMENT_SCHEMA, PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION
from edgerig_controller.cli.options import Context, output_options


@click.command()
@output_options
def version(context: Context) -> None:
    """Print the versions."""
    facts = {
        "edgerig": VERSION,
        "protocol": f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
        "documents": str(DOCUMENT_SCHEMA),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for name, value in facts.items():
        context.out.text(f"{name} {value}")
    context.out.document({"versions": facts})
