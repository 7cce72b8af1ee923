"""The inventory file: an Ansible inventory whose variables `edgerig_*` declare what devices should be.

Groups with `hosts`, `vars` and `children`; variables of groups hold for their
hosts, and those of hosts override. All other variables are Ansible's. Every
problem is named with its place. Knows nothing of what devices are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from edgerig.errors import Problem, StudyProblems, UsageError
from edgerig.v1.attempt_pb2 import Boundary
from edgerig.v1.fleet_service_pb2 import DeclaredDevice
from edgerig.words import words
from edgerig_controller.fleet import tokens
from edgerig_controller.fleet.inventory import PREFIX, TEXT_MAX_CHARS
from edgerig_controller.study.problems import nearest
from edgerig_controller.study.yaml_source import Document, Path, read

# Variables of the playbook that installs agents, and what `inventory list` adds.
_NOT_OURS = (f"{PREFIX}install_", f"{PREFIX}observed")
_GROUP_KEYS = ("hosts", "vars", "children")
_MAX_DEVICES = 10_000

Kind = Literal["text", "labels", "bytes", "meter"]
_FIELDS: dict[str, Kind] = {
    "device_type": "text",
    "labels": "labels",
    "serial": "text",
    "memory_bytes": "bytes",
    "module": "text",
    "jetpack": "text",
    "power_meter": "meter",
    "power_mode": "text",
    "owner": "text",
}


@dataclass(frozen=True)
class _Host:
    """A host with the variables that hold for it, and where each of them stands."""

    name: str
    variables: dict[str, tuple[Any, Path]]
    groups: tuple[str, ...]
    path: Path


def parse(text: str, origin: str) -> list[DeclaredDevice]:
    """Reads an inventory file.

    Raises:
        StudyProblems: it is not one; every problem is named with its place.
    """
    document = read(text, origin)
    problems = list(document.problems)
    hosts = _hosts(document, problems)
    if len(hosts) > _MAX_DEVICES:
        problems.append(Problem(document.place(()), f"more than {_MAX_DEVICES} hosts"))
    devices = [_declared(host, document, problems) for host in hosts[:_MAX_DEVICES]]
    if problems:
        raise StudyProblems(problems)
    return sorted(devices, key=lambda device: device.device_id)


def _hosts(document: Document, problems: list[Problem]) -> list[_Host]:
    hosts: dict[str, _Host] = {}
    root = document.value
    if not isinstance(root, dict) or not root:
        problems.append(
            Problem(document.place(()), "an inventory is a mapping of groups", "begin with `all:`")
        )
        return []
    for name, path, variables, groups, host_variables in _walk(document, root, problems):
        known = hosts.get(name)
        merged = {**(known.variables if known else {}), **variables, **host_variables}
        hosts[name] = _Host(
            name, merged, tuple(dict.fromkeys((*(known.groups if known else ()), *groups))), path
        )
    return list(hosts.values())


_Variables = dict[str, tuple[Any, Path]]


def _walk(
    document: Document, root: dict[str, Any], problems: list[Problem]
) -> Iterator[tuple[str, Path, _Variables, tuple[str, ...], _Variables]]:
    """Yields (host, place, variables of its groups, groups, variables of its own); parents come first."""
    waiting: list[tuple[str, Any, Path, _Variables, tuple[str, ...]]] = [
        (name, group, (name,), {}, ()) for name, group in root.items()
    ]
    while waiting:
        name, group, path, inherited, groups = waiting.pop(0)
        if group is None:
            continue
        if not isinstance(group, dict):
            problems.append(Problem(document.place(path), f"the group `{name}` is not a mapping"))
            continue
        problems += [
            Problem(document.key_place((*path, key)), f"a group has no `{key}`", nearest(key, _GROUP_KEYS))
            for key in group
            if key not in _GROUP_KEYS
        ]
        variables = {**inherited, **_variables(document, group.get("vars"), (*path, "vars"), problems)}
        below = groups if name == "all" else (*groups, name)
        for host, own in _mapping(document, group.get("hosts"), (*path, "hosts"), problems).items():
            place = (*path, "hosts", host)
            yield host, place, variables, below, _variables(document, own, place, problems)
        for child, content in _mapping(
            document, group.get("children"), (*path, "children"), problems
        ).items():
            waiting.append((child, content, (*path, "children", child), variables, below))


def _mapping(document: Document, value: Any, path: Path, problems: list[Problem]) -> dict[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    problems.append(Problem(document.place(path), f"`{path[-1]}` is not a mapping"))
    return {}


def _variables(document: Document, value: Any, path: Path, problems: list[Problem]) -> _Variables:
    return {name: (item, (*path, name)) for name, item in _mapping(document, value, path, problems).items()}


def _declared(host: _Host, document: Document, problems: list[Problem]) -> DeclaredDevice:
    device = DeclaredDevice(device_id=host.name, groups=sorted(host.groups))
    try:
        tokens.check_device_id(host.name)
    except UsageError as error:
        problems.append(Problem(document.key_place(host.path), error.message, error.hint))
    address = host.variables.get("ansible_host", ("", ()))[0]
    device.address = str(address)[:TEXT_MAX_CHARS]
    for name, (value, path) in host.variables.items():
        if not name.startswith(PREFIX) or name.startswith(_NOT_OURS):
            continue
        kind = _FIELDS.get(name.removeprefix(PREFIX))
        if kind is None:
            known = [PREFIX + item for item in _FIELDS]
            problems.append(Problem(document.key_place(path), f"there is no `{name}`", nearest(name, known)))
            continue
        message = _set(device, name.removeprefix(PREFIX), kind, value)
        if message:
            problems.append(Problem(document.place(path), f"`{name}`: {message}"))
    return device


def _set(device: DeclaredDevice, name: str, kind: Kind, value: Any) -> str:
    """Writes one variable into the declaration; returns what is wrong with it, or ''."""
    if kind == "labels":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return "expected a list of labels"
        try:
            device.labels[:] = tokens.check_labels(value)
        except UsageError as error:
            return error.message
    elif kind == "bytes":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**53:
            return "expected a positive whole number of bytes"
        device.memory_bytes = value
    elif kind == "meter":
        return _set_meter(device, value)
    else:
        # YAML reads `jetpack: 6.2` as a number; people mean the text.
        text = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
        if not text or len(text) > TEXT_MAX_CHARS:
            return f"expected a text of at most {TEXT_MAX_CHARS} characters"
        setattr(device, {"serial": "serial_number"}.get(name, name), text)
    return ""


def _set_meter(device: DeclaredDevice, value: Any) -> str:
    if not isinstance(value, dict) or set(value) - {"source", "boundary"} or not value.get("source"):
        return "expected {source: ..., boundary: ...}"
    boundary = value.get("boundary", "")
    if boundary and boundary not in words(Boundary):
        return f"there is no boundary {boundary!r}; {nearest(str(boundary), words(Boundary))}"
    if not isinstance(value["source"], str) or len(value["source"]) > TEXT_MAX_CHARS:
        return "the source is not a text of a sensor"
    device.power_meter_source, device.power_meter_boundary = value["source"], boundary
    return ""
