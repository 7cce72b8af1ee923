"""What a person means by STUDY: a name, the beginning of an id, or a study file.

Reads go to the store directly, so that results can be looked at while no
controller runs, without starting one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from edgerig.errors import EdgerigError, NotFoundError, UsageError

if TYPE_CHECKING:
    from edgerig_controller.home import Home
    from edgerig_controller.store.repository import Repository
    from edgerig_controller.store.rows import StudyRow
    from edgerig_controller.study.prepared import PreparedStudy

_SUFFIXES = (".yaml", ".yml")
_MOST_BYTES = 1024 * 1024


def complete_studies(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it
    incomplete: str,
) -> list[CompletionItem]:
    """Lists the names of stored studies for the shell; nothing when there are none to read."""
    from edgerig_controller.home import resolve

    try:
        with open_store(resolve(ctx.params.get("data"), os.environ)) as repository:
            names = sorted({study.name for study in repository.studies()})
    except EdgerigError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


study_argument = click.argument("study", shell_complete=complete_studies)


@contextmanager
def open_store(home: Home) -> Iterator[Repository]:
    """Opens the database of a data folder for reading, also while a controller runs.

    Raises:
        NotFoundError: there is no study yet.
    """
    from edgerig_controller.store.repository import Repository

    if not home.has_store:
        raise NotFoundError(
            f"the data folder {home.root} holds no study yet",
            hint="edgerig run STUDY.yaml, or name another folder with --data DIR",
        )
    repository = Repository.open_readonly(home)
    try:
        yield repository
    finally:
        repository.close()


def read_file(path: Path) -> str:
    """Reads a study file as text.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no text, too large, or cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is larger than 1 MiB; that is no study file", hint="edgerig init DIR")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no file {path}", hint="edgerig init DIR, to get a study file"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", hint="save the file as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error


def prepare_file(path: Path, *, device_memory_bytes: int | None = None) -> PreparedStudy:
    """Resolves and expands a study file on this machine; stores nothing.

    Raises:
        StudyProblems: everything that is wrong with the file, at once.
        DataError: a model or data set cannot be used.
    """
    from edgerig_controller.study import plan

    return plan.prepare(
        read_file(path),
        origin=path.name,
        folder=path.parent.absolute(),
        blobs=plan.HashOnly(),
        catalog=plan.local_catalog(sys.executable),
        device_memory_bytes=device_memory_bytes,
    )


def is_file_reference(reference: str) -> bool:
    """Says whether STUDY names a file and not a stored study."""
    return reference.endswith(_SUFFIXES) or "/" in reference or Path(reference).is_file()


def find(repository: Repository, reference: str) -> StudyRow:
    """Finds the stored study that a reference means.

    Raises:
        NotFoundError: there is none; for a changed file the message names the
            newest study of its name.
    """
    if not is_file_reference(reference):
        return repository.find_study(reference)
    path = Path(reference)
    prepared = prepare_file(path)
    stored = repository.studies()
    for study in stored:
        if study.digest == prepared.digest:
            return study
    same_name = [study for study in stored if study.name == prepared.name]
    if not same_name:
        raise NotFoundError(f"{path} was never run in this data folder", hint=f"edgerig run {path}")
    newest = max(same_name, key=lambda study: study.created_unix_s)
    raise NotFoundError(
        f"{path} has changed since it was run; the newest study named {newest.name} is {newest.study_id}",
        hint=f"edgerig run {path}, or use the id {newest.study_id}",
    )
