"""Task data of LaMP in the published file formats: finds the files and checks them record by record.

Questions are a JSON list of {id, input, profile: [...]}, with user_id and dates where the
benchmark has them; outputs are {"task": "LaMP_k", "golds": [{id, output}]}. Files of a
gigabyte are read in the memory of one record. Knows nothing of prompts or scores.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerig.errors import DataError, UsageError
from edgerig_controller.data.json_stream import Place, Record, Stream
from edgerig_controller.data.lamp_shapes import (
    PARTS,
    SHAPES,
    SPLITS,
    Files,
    Part,
    Shape,
    Split,
    candidates,
    task_names,
)

FAULTS_SHOWN = 20
SCORES = ("1", "2", "3", "4", "5")
FAULTS_KEPT = 1000
ITEMS_MOST = 5_000_000
PROFILE_ITEMS = 100_000
# Faults that a study can live with: a user without a history has nothing to retrieve or to learn
# from, an empty gold is matched by nothing, and a history may hold labels that are never asked for.
TOLERATED = frozenset({"empty_history", "empty_output", "history_label"})
_START = Place(1, 0)
_LICENCE = (
    "LaMP-6 is made of e-mails of the Avocado collection (LDC2015T03), whose licence does not allow their "
    "text to be passed on: these files hold only ids"
)
_LICENCE_HINT = "get LDC2015T03 and make the files with the benchmark's own script, or use lamp-4 or lamp-5"


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place of a file."""

    file: str
    line: int
    offset_bytes: int
    item_id: str
    kind: str
    message: str

    def __str__(self) -> str:
        named = f" (id {self.item_id!r})" if self.item_id else ""
        return f"{self.file}, line {self.line}, byte {self.offset_bytes}{named}: {self.message}"


@dataclass
class Findings:
    """What a check found: the faults of all kinds counted, the first of them kept, and what the data are."""

    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    item_count: int = 0
    users: dict[str, int] = field(default_factory=dict)
    profile_item_count: int = 0
    longest_profile: int = 0
    undated_profile_count: int = 0
    has_user_ids: bool = True

    def add(self, fault: Fault) -> None:
        """Count a fault and keep it where there is room."""
        self.counts[fault.kind] += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    @property
    def fault_count(self) -> int:
        """Number of all faults."""
        return sum(self.counts.values())


def locate(folder: Path, name: str, split: Split, part: Part) -> Files:
    """Find the files of a part of a task.

    Raises:
        UsageError: there is no such task.
        DataError: the files are not there; the message says where they were looked for.
    """
    if name not in SHAPES:
        raise UsageError(f"there is no LaMP task `{name}`", hint=f"LaMP tasks: {', '.join(SHAPES)}")
    places = list(candidates(folder, name, split, part))
    for files in places:
        if files.questions.is_file() and files.outputs.is_file():
            return files
    for files in places:
        if files.questions.is_file():
            raise DataError(
                f"{files.questions} has no outputs beside it",
                hint=f"put {files.outputs.name} into {files.outputs.parent}; golds of test are not published",
            )
    tried = ", ".join(
        dict.fromkeys(str(files.questions.parent.relative_to(folder)) or "." for files in places)
    )
    raise DataError(
        f"{folder} has no {places[0].questions.name} of {name}",
        hint=f"it was looked for in the folders {tried}",
    )


def found_parts(folder: Path) -> list[tuple[str, Split, Part, Files]]:
    """List all parts of all tasks that lie in a folder, each pair of files once.

    Files that lie in the folder itself are of the task that their outputs name.
    """
    found: dict[Path, tuple[str, Split, Part, Files]] = {}
    for name in SHAPES:
        for split in SPLITS:
            for part in PARTS:
                for files in candidates(folder, name, split, part):
                    if files.questions.is_file() and files.outputs.is_file() and _is_of(files, name):
                        found.setdefault(files.questions, (name, split, part, files))
                        break
    return list(found.values())


def _is_of(files: Files, name: str) -> bool:
    """Says whether files are of a task, by what outputs are called and what a profile item holds."""
    outputs = Stream(files.outputs)
    for _ in outputs:
        pass
    if outputs.task and outputs.task.replace("-", "_") not in task_names(name):
        return False
    first = next(iter(Stream(files.questions)), None)
    if first is None or not isinstance(first.value, dict):
        return True
    profile = first.value.get("profile")
    entry = profile[0] if isinstance(profile, list) and profile else {}
    return not isinstance(entry, dict) or all(key in entry for key in SHAPES[name].fields) or name == "lamp-6"


def check(files: Files, name: str) -> Findings:
    """Check all records of both files and list what is wrong with each, with its place.

    Raises:
        DataError: a file cannot be read, or LaMP-6 stands without its text.
    """
    shape, findings = SHAPES[name], Findings()
    try:
        golds = read_golds(files.outputs, name, findings)
        asked: dict[str, Place] = {}
        for record in Stream(files.questions):
            _question(record, files.questions.name, shape, golds, asked, findings)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}", hint="ls -l") from error
    for item_id, (record, _) in golds.items():
        if item_id not in asked:
            _fault(
                findings, files.outputs.name, record, item_id, "gold_without_question", "no question asks it"
            )
    return findings


def refusal(files: Files, findings: Findings) -> DataError | None:
    """Word what keeps data from being used; None where nothing does."""
    grave = [fault for fault in findings.faults if fault.kind not in TOLERATED]
    count = sum(number for kind, number in findings.counts.items() if kind not in TOLERATED)
    if not count:
        return None
    shown = "\n".join(str(fault) for fault in grave[:FAULTS_SHOWN])
    more = f"\nand {count - FAULTS_SHOWN} more" if count > FAULTS_SHOWN else ""
    return DataError(
        f"{files.questions.parent} has {count} fault(s):\n{shown}{more}",
        hint=f"edgerig task check {files.questions.parent} --json lists them all",
    )


def date_of(value: Any) -> tuple[int, ...] | None:
    """Read a date as LaMP writes them, numbers joined by hyphens; None where it is none."""
    try:
        return tuple(int(part) for part in str(value).split("-"))
    except ValueError:
        return None


def user_of(value: Mapping[str, Any]) -> str:
    """Return the user of a question."""
    # Files of the user split come without user ids; there a question stands for its user.
    return str(value.get("user_id", value["id"]))


def text_of(value: str | int | float) -> str:
    """Write a number as the worker reads it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_golds(path: Path, name: str, findings: Findings) -> dict[str, tuple[Record, str]]:
    """Reads the expected outputs, by id; a record is kept without its value."""
    stream = Stream(path)
    golds: dict[str, tuple[Record, str]] = {}
    shape = SHAPES[name]
    for record in stream:
        item_id, fault = _id_fault(record)
        if not fault and item_id in golds:
            fault = f"the id was used before: {golds[item_id][0].place}"
            _fault(findings, path.name, record, item_id, "duplicate_id", fault)
            continue
        if fault:
            _fault(findings, path.name, record, item_id, "broken_record", fault)
            continue
        output = record.value.get("output")
        if isinstance(output, bool) or not isinstance(output, (str, int, float)):
            _fault(findings, path.name, record, item_id, "missing_field", "`output` is missing or no text")
            output = None
        golds[item_id] = (Record(record.place), "" if output is None else text_of(output).strip())
        if output is not None:
            _check_gold(golds[item_id][1], path.name, record, item_id, shape, findings)
        if len(golds) > ITEMS_MOST:
            raise DataError(f"{path} has more than {ITEMS_MOST} golds", hint="split it into several tasks")
    if stream.task and stream.task.replace("-", "_") not in task_names(name):
        wanted = " or ".join(task_names(name))
        message = f'the outputs are of "{stream.task}", and those of {name} are called {wanted}'
        _fault(findings, path.name, Record(_START), "", "other_task", message)
    return golds


def _check_gold(
    output: str, file: str, record: Record, item_id: str, shape: Shape, findings: Findings
) -> None:
    if shape.labels and output not in shape.labels:
        message = f"`output` {output[:80]!r} is none of the {len(shape.labels)} labels"
        _fault(findings, file, record, item_id, "label", message)
    elif shape.rated and output not in SCORES:
        _fault(findings, file, record, item_id, "label", f"`output` {output[:80]!r} is none of 1 to 5")
    elif not output:
        _fault(findings, file, record, item_id, "empty_output", "`output` is empty")


def _id_fault(record: Record) -> tuple[str, str]:
    if record.fault:
        return record.item_id, record.fault
    if not isinstance(record.value, dict):
        return "", "a record must be an object"
    value = record.value.get("id")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        return "", "`id` is missing or empty"
    return str(value), ""


def _question(
    record: Record,
    file: str,
    shape: Shape,
    golds: Mapping[str, tuple[Record, str]],
    asked: dict[str, Place],
    findings: Findings,
) -> None:
    """Checks one question and adds what it holds to the findings."""
    item_id, fault = _id_fault(record)
    if fault:
        _fault(findings, file, record, item_id, "broken_record", fault)
        return
    first = asked.setdefault(item_id, record.place)
    if first != record.place:
        _fault(findings, file, record, item_id, "duplicate_id", f"the id was used before: {first}")
        return
    value = record.value
    if shape.task == "LaMP_6" and _is_only_ids(value):
        raise DataError(_LICENCE, hint=_LICENCE_HINT)
    if item_id not in golds:
        _fault(findings, file, record, item_id, "question_without_gold", "no gold answers it")
    if not isinstance(value.get("input"), str) or not value["input"].strip():
        _fault(findings, file, record, item_id, "missing_field", "`input` is missing or empty")
    findings.has_user_ids = findings.has_user_ids and "user_id" in value
    _profile(record, file, item_id, shape, findings)
    findings.item_count += 1
    user = user_of(value)
    findings.users[user] = findings.users.get(user, 0) + 1


def _is_only_ids(value: Mapping[str, Any]) -> bool:
    """Says whether an e-mail stands as its id, as in the files that are published."""
    asked = str(value.get("input", ""))
    return ":" not in asked and len(asked.split()) <= 1


def _profile(record: Record, file: str, item_id: str, shape: Shape, findings: Findings) -> None:
    profile = record.value.get("profile")
    if not isinstance(profile, list):
        _fault(findings, file, record, item_id, "missing_field", "`profile` is missing or no list")
        return
    if not profile:
        _fault(findings, file, record, item_id, "empty_history", "the history is empty")
    if len(profile) > PROFILE_ITEMS:
        message = f"`profile` has {len(profile)} items; {PROFILE_ITEMS} is the most"
        _fault(findings, file, record, item_id, "too_long", message)
    for place, entry in enumerate(profile):
        kind, wrong = _entry_fault(entry, shape)
        if wrong:
            _fault(findings, file, record, item_id, kind, f"profile[{place}]: {wrong}")
    findings.profile_item_count += len(profile)
    findings.longest_profile = max(findings.longest_profile, len(profile))
    dated = all(isinstance(entry, dict) and date_of(entry.get("date")) is not None for entry in profile)
    findings.undated_profile_count += not dated


def _entry_fault(entry: Any, shape: Shape) -> tuple[str, str]:
    if not isinstance(entry, dict):
        return "missing_field", "it is no object"
    for key in ("id", *shape.fields):
        value = entry.get(key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number and not isinstance(value, str):
            return "missing_field", f"`{key}` is missing or no text"
    # What a profile item of LaMP-1 has for an output is a title and no label.
    output = text_of(entry[shape.output]) if shape.output and shape.task != "LaMP_1" else ""
    if shape.rated and output not in SCORES:
        return "history_label", f"`{shape.output}` {output[:80]!r} is none of 1 to 5"
    if output and shape.labels and output not in shape.labels:
        return "history_label", f"`{shape.output}` {output[:80]!r} is none of the {len(shape.labels)} labels"
    return "", ""


def _fault(findings: Findings, file: str, record: Record, item_id: str, kind: str, message: str) -> None:
    place = record.place
    findings.add(Fault(file, place.line, place.offset_bytes, item_id[:80], kind, message))
