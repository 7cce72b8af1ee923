"""Reads YAML 1.2 into plain values and remembers where each value stands.

The text may come from anybody: size, nesting, number of values and what
aliases expand to are bounded, and tags that would build objects are refused.
Knows nothing of what a study file contains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode

from edgerig.errors import Problem, StudyProblems

FILE_BYTES = 1024 * 1024
NESTING = 32
VALUES = 200_000
# Longer digits are no number of a study, and turning them into one takes quadratic time.
NUMBER_CHARACTERS = 64

Path = tuple[str | int, ...]
_Mark = tuple[int, int]
_STRING = "tag:yaml.org,2002:str"
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


@dataclass(frozen=True)
class Document:
    """The values of a file, and the place of each of them.

    A path names keys and list positions from the top; `()` is the whole file.
    """

    origin: str
    value: Any
    # What is wrong but did not hinder reading on, such as repeated keys.
    problems: tuple[Problem, ...]
    _values: dict[Path, _Mark] = field(repr=False)
    _keys: dict[Path, _Mark] = field(repr=False)

    def place(self, path: Path) -> str:
        """Return `file:line:column` of the value, or of the closest thing around it."""
        lengths = range(len(path), -1, -1)
        marks = (self._values.get(path[:length]) for length in lengths)
        return self._worded(next((mark for mark in marks if mark is not None), (0, 0)))

    def key_place(self, path: Path) -> str:
        """Return `file:line:column` of the key that names the value."""
        mark = self._keys.get(path)
        return self.place(path) if mark is None else self._worded(mark)

    def has(self, path: Path) -> bool:
        """Tell whether the file holds a value at this path."""
        return path in self._values

    def _worded(self, mark: _Mark) -> str:
        return f"{self.origin}:{mark[0] + 1}:{mark[1] + 1}"


@dataclass
class _Open:
    """A mapping or sequence whose end has not been read yet."""

    value: Any
    path: Path
    anchor: str | None
    mark: _Mark
    first_count: int
    key: str | None = None


class _Stop(Exception):  # noqa: N818 - ends the reading, caught in `read`
    """The text cannot be read further."""


def read(text: str, origin: str) -> Document:
    """Read one YAML document made of mappings, lists, texts, numbers, booleans and null.

    Raises:
        StudyProblems: not YAML, more than one document, a key that is not
            text, or a limit of this module exceeded. What else is wrong stands
            in `problems` of the document.
    """
    if len(text.encode("utf-8", "surrogatepass")) > FILE_BYTES:
        raise StudyProblems([Problem(f"{origin}:1:1", f"the file is larger than {FILE_BYTES} bytes")])
    reader = _Reader(origin)
    try:
        reader.run(text)
    except _Stop:
        raise StudyProblems(reader.problems) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line, mark.column) if mark else (0, 0)
        reader.report(
            at, f"not valid YAML: {error.problem or error.context}", "check indentation and brackets"
        )
        raise StudyProblems(reader.problems) from error
    except YAMLError as error:
        reader.report((0, 0), f"not valid YAML: {str(error).splitlines()[0]}")
        raise StudyProblems(reader.problems) from error
    return Document(origin, reader.root, tuple(reader.problems), reader.values, reader.keys)


class _Reader:
    """Builds values from parser events, so that nothing recurses and no limit is checked too late."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.problems: list[Problem] = []
        self.root: Any = None
        self.values: dict[Path, _Mark] = {}
        self.keys: dict[Path, _Mark] = {}
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0
        self._yaml = YAML(typ="safe", pure=True)

    def report(self, mark: _Mark, message: str, hint: str = "") -> None:
        self.problems.append(Problem(f"{self.origin}:{mark[0] + 1}:{mark[1] + 1}", message, hint))

    def run(self, text: str) -> None:
        for event in self._yaml.parse(text):
            mark = (event.start_mark.line, event.start_mark.column)
            if isinstance(event, DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    self._stop(mark, "a second document begins here; one file holds one study")
            elif isinstance(event, ScalarEvent):
                self._scalar(event, mark)
            elif isinstance(event, AliasEvent):
                self._alias(event, mark)
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                self._begin(event, mark)
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                self._end()

    def _stop(self, mark: _Mark, message: str, hint: str = "") -> None:
        self.report(mark, message, hint)
        raise _Stop

    def _counted(self, mark: _Mark, more: int = 1) -> None:
        self._count += more
        if self._count > VALUES:
            self._stop(mark, f"the file holds more than {VALUES} values, aliases expanded")

    def _scalar(self, event: ScalarEvent, mark: _Mark) -> None:
        self._counted(mark)
        value = self._scalar_value(event, mark)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._place_value(value, mark)

    def _scalar_value(self, event: ScalarEvent, mark: _Mark) -> Any:
        text: str = event.value
        if not _is_unicode(text):
            self.report(mark, "the text holds half a surrogate pair, which is no character")
            return ""
        tag = event.tag if event.tag is None else str(event.tag)
        if tag is None:
            tag = str(self._yaml.resolver.resolve(ScalarNode, text, event.implicit))
        if event.tag is not None and str(event.tag) not in _PLAIN_TAGS:
            self.report(mark, f"the tag {event.tag} is not allowed here")
            return text
        if tag == _STRING or tag not in _PLAIN_TAGS:
            # Dates stay text: YAML 1.2's core schema has no dates.
            return text
        if len(text) > NUMBER_CHARACTERS:
            self.report(mark, f"the number has more than {NUMBER_CHARACTERS} characters")
            return 0
        try:
            return self._yaml.constructor.construct_object(ScalarNode(tag, text))
        except (ValueError, YAMLError):
            self.report(mark, f"`{text}` is not a value of the type {tag.rpartition(':')[2]}")
            return text

    def _alias(self, event: AliasEvent, mark: _Mark) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            self.report(mark, f"the alias *{event.anchor} stands for nothing that ended before it")
            known = (None, 1)
        value, size = known
        self._counted(mark, size)
        self._place_value(value, mark)

    def _begin(self, event: MappingStartEvent | SequenceStartEvent, mark: _Mark) -> None:
        self._counted(mark)
        if len(self._open) >= NESTING:
            self._stop(mark, f"lists and mappings are nested more than {NESTING} deep")
        if event.tag is not None and str(event.tag) not in _PLAIN_TAGS:
            self.report(mark, f"the tag {event.tag} is not allowed here")
        if self._open and self._expects_key(self._open[-1]):
            self._stop(mark, "a key must be text", "write `key: value`")
        value: Any = {} if isinstance(event, MappingStartEvent) else []
        path = self._next_path()
        self._open.append(_Open(value, path, event.anchor, mark, self._count))

    def _end(self) -> None:
        done = self._open.pop()
        if done.anchor:
            self._anchors[done.anchor] = (done.value, self._count - done.first_count + 1)
        self._place_value(done.value, done.mark)

    @staticmethod
    def _expects_key(holder: _Open) -> bool:
        return isinstance(holder.value, dict) and holder.key is None

    def _next_path(self) -> Path:
        if not self._open:
            return ()
        holder = self._open[-1]
        step = holder.key if isinstance(holder.value, dict) else len(holder.value)
        return (*holder.path, step) if step is not None else holder.path

    def _place_value(self, value: Any, mark: _Mark) -> None:
        """Puts a finished value (or a key) where it belongs."""
        if not self._open:
            self.root = value
            self.values[()] = mark
            return
        holder = self._open[-1]
        if self._expects_key(holder):
            self._place_key(holder, value, mark)
            return
        path = self._next_path()
        if isinstance(holder.value, list):
            holder.value.append(value)
        elif holder.key is not None:
            holder.value[holder.key] = value
        self.values[path] = mark
        holder.key = None

    def _place_key(self, holder: _Open, value: Any, mark: _Mark) -> None:
        if not isinstance(value, str):
            self._stop(
                mark, f"a key must be text, found {value!r}", f'write "{value}" in quotes if it is one'
            )
        holder.key = value
        if value in holder.value:
            first = self.keys[(*holder.path, value)]
            self.report(
                mark, f"the key `{value}` was given before, on line {first[0] + 1}", "keep one of the two"
            )
        else:
            self.keys[(*holder.path, value)] = mark


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
