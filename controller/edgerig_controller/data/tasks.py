"""Turns a task of a study into task data and the message that names it.

Sources: `synthetic`, made here from fixed seeds; `lamp`, a folder of the benchmark's
own files; and `jsonl`, a user's own file. Knows neither methods nor models.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgerig import words
from edgerig.errors import DataError, UsageError
from edgerig.v1.trial_pb2 import FileRef, Task, TaskKind
from edgerig_controller.data import local, rows
from edgerig_controller.data.lamp_shapes import PUBLISHED, Part, Split
from edgerig_controller.data.sink import BlobSink

# One data set for every study: cells and studies are compared on the same items.
DATA_SEED = 1
DEFAULT_USERS = 40
DEFAULT_ITEMS_PER_USER = 4
DEFAULT_HISTORY = 16
# Above this many labels a set is not closed, and a prompt cannot list it.
LABELS_MOST = 1000
PLAIN = "plain"


@dataclass(frozen=True)
class Family:
    """What the catalogue says of a task family."""

    kind: Literal["classification", "rating", "generation"]
    metric: str
    metrics: tuple[str, ...]
    answer_tokens: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A task as the study asks for it; None where the study leaves the choice to us."""

    name: str
    source: Literal["synthetic", "jsonl", "lamp"]
    path: str | None = None
    users: int | None = None
    items_per_user: int | None = None
    kind: Literal["classification", "rating", "generation"] | None = None
    metric: str | None = None
    labels: tuple[str, ...] | None = None
    answer_tokens: int | None = None
    split: Split | None = None
    part: Part | None = None


def largest_history(levels: Sequence[int]) -> int:
    """Return how many profile items synthetic users need; -1 among the levels means all there are."""
    return max(
        [level for level in levels if level >= 0] + [DEFAULT_HISTORY] * (-1 in levels),
        default=DEFAULT_HISTORY,
    )


def kept_history(levels: Sequence[int]) -> int | None:
    """Return how many items of a history of LaMP a study can use; None where a level asks for all.

    Compressions that calibrate on histories need some even where no method is given any.
    """
    return None if -1 in levels or not levels else max(levels) or DEFAULT_HISTORY


def resolve(
    wanted: Wanted,
    *,
    folder: Path,
    history: int,
    families: Mapping[str, Family],
    blobs: BlobSink,
    kept: int | None = None,
) -> Task:
    """Make or check a task's data, keep it, and describe the task.

    Args:
        wanted: the task of the study.
        folder: where relative paths of the study start.
        history: profile items that a synthetic user gets.
        families: the catalogue's task families by name.
        blobs: keeps the data.
        kept: latest profile items of a user of LaMP that are kept; None = all.

    Raises:
        DataError: the file cannot be used, with every fault of it.
        UsageError: the task is not made synthetically.
    """
    if wanted.source == "synthetic":
        return _synthetic(wanted, history, families, blobs)
    if wanted.source == "lamp":
        return _lamp(wanted, folder, kept, families, blobs)
    return _own_file(wanted, folder, families, blobs)


def _lamp(
    wanted: Wanted, folder: Path, kept: int | None, families: Mapping[str, Family], blobs: BlobSink
) -> Task:
    from edgerig_controller.data import lamp, lamp_rows
    from edgerig_controller.data.lamp_shapes import SHAPES

    if wanted.name not in families or not wanted.path:
        raise UsageError(f"there is no LaMP task `{wanted.name}`", hint=f"LaMP tasks: {', '.join(SHAPES)}")
    place = local.absolute(folder, wanted.path)
    if not place.is_dir():
        raise DataError(f"there is no folder {place}", hint="`path` starts at the folder of the study file")
    files = lamp.locate(place, wanted.name, wanted.split or "user", wanted.part or "dev")
    findings = lamp.check(files, wanted.name)
    if refusal := lamp.refusal(files, findings):
        raise refusal
    if not findings.item_count:
        raise DataError(f"{files.questions} holds no questions", hint=f"edgerig task check {place}")
    users = None if wanted.users is None else lamp_rows.chosen_users(findings.users, wanted.users, DATA_SEED)
    family = families[wanted.name]
    with tempfile.TemporaryDirectory(prefix="edgerig-lamp-") as scratch:
        path = Path(scratch) / f"{wanted.name}.jsonl"
        item_count = lamp_rows.write(lamp_rows.rows(files, wanted.name, users, kept), path)
        size_bytes = path.stat().st_size
        sha256 = blobs.put_file(path)
    return Task(
        name=wanted.name,
        kind=_kind(family.kind),
        metric=wanted.metric or family.metric,
        prompt=f"{wanted.name}{PUBLISHED}",
        labels=family.labels,
        data=FileRef(path=f"{wanted.name}.jsonl", sha256=sha256, size_bytes=size_bytes),
        user_count=len(findings.users if users is None else users),
        item_count=item_count,
        answer_tokens=wanted.answer_tokens or family.answer_tokens,
    )


def _synthetic(wanted: Wanted, history: int, families: Mapping[str, Family], blobs: BlobSink) -> Task:
    from edgerig_controller.data import synthetic

    if wanted.name not in families or wanted.name not in synthetic.TASKS:
        raise UsageError(
            f"there is no synthetic task `{wanted.name}`",
            hint=f"synthetic tasks: {', '.join(synthetic.TASKS)}",
        )
    users = wanted.users or DEFAULT_USERS
    per_user = wanted.items_per_user or DEFAULT_ITEMS_PER_USER
    made = synthetic.generate(
        wanted.name, users=users, items_per_user=per_user, history=history, seed=DATA_SEED
    )
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in made]
    data = "".join(lines).encode()
    family = families[wanted.name]
    return Task(
        name=wanted.name,
        kind=_kind(family.kind),
        metric=wanted.metric or family.metric,
        prompt=wanted.name,
        labels=synthetic.facts(wanted.name).labels,
        data=FileRef(path=f"{wanted.name}.jsonl", sha256=blobs.put_bytes(data), size_bytes=len(data)),
        user_count=users,
        item_count=len(made),
        answer_tokens=wanted.answer_tokens or family.answer_tokens,
    )


def _own_file(wanted: Wanted, folder: Path, families: Mapping[str, Family], blobs: BlobSink) -> Task:
    if wanted.kind is None or not wanted.path:
        raise UsageError(f"task `{wanted.name}` needs `path` and `kind`", hint="see docs/how-to/own-task.md")
    path = local.absolute(folder, wanted.path)
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint="`path` starts at the folder of the study file")
    summary = rows.check(path, _output_check(wanted))
    same_kind = next((family for family in families.values() if family.kind == wanted.kind), None)
    if same_kind is None:
        raise DataError(f"the worker knows no task of the kind {wanted.kind}", hint="choose another kind")
    return Task(
        name=wanted.name,
        kind=_kind(wanted.kind),
        metric=wanted.metric or same_kind.metric,
        prompt=PLAIN,
        labels=_labels(wanted, summary),
        data=FileRef(
            path=f"{wanted.name}.jsonl", sha256=blobs.put_file(path), size_bytes=path.stat().st_size
        ),
        user_count=summary.user_count,
        item_count=summary.item_count,
        answer_tokens=wanted.answer_tokens or same_kind.answer_tokens,
    )


def _labels(wanted: Wanted, summary: rows.Summary) -> tuple[str, ...]:
    if wanted.kind != "classification":
        return ()
    if wanted.labels is not None:
        return wanted.labels
    if not 2 <= len(summary.outputs) <= LABELS_MOST:
        raise DataError(
            f"task `{wanted.name}`: a classification needs 2 to {LABELS_MOST} labels; "
            f"the outputs of {wanted.path} are {len(summary.outputs)} different ones",
            hint="give `labels`, or use `kind: generation`",
        )
    return summary.outputs


def _output_check(wanted: Wanted) -> rows.OutputCheck:
    labels = frozenset(wanted.labels or ())

    def fault(output: str) -> str:
        if wanted.kind == "classification" and not output.strip():
            return "`output` is empty"
        if labels and output not in labels:
            return f"`output` {output[:80]!r} is none of the labels"
        if wanted.kind == "rating" and not _on_scale(output):
            return f"`output` {output[:80]!r} is no score from 1 to 5"
        return ""

    return fault


def _on_scale(output: str) -> bool:
    try:
        return 1 <= float(output) <= 5
    except ValueError:
        return False


def _kind(word: str) -> TaskKind:
    kind: TaskKind = words.number(TaskKind, word)  # type: ignore[assignment]
    return kind
