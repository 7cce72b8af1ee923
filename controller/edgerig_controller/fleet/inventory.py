"""Declared intent against observed facts: what changes, what differs, and what Ansible is told.

Declared is what `fleet.inventory_file` reads; it is intent and no address book:
the controller dials nobody. Pure functions of messages; knows nothing of the
database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerig.errors import UsageError
from edgerig.v1.attempt_pb2 import Boundary
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.fleet_service_pb2 import DeclaredDevice, InventoryChange, InventoryDifference
from edgerig.words import word
from edgerig_controller.fleet import tokens

PREFIX = "edgerig_"
TEXT_MAX_CHARS = 200
# MemTotal is what the kernel has left of the modules' size: firmware and carve-outs of
# Jetsons take up to 15 % (an 8 GB Orin Nano shows 7.4 GiB), never more than is there.
_MEMORY_LOW, _MEMORY_HIGH = 0.80, 1.02

# JetPack by L4T release, newest first: the release notes of https://developer.nvidia.com/embedded/jetpack-archive
_JETPACK: tuple[tuple[tuple[int, ...], str], ...] = (
    ((38, 2), "7.0"), ((36, 4, 4), "6.2.1"), ((36, 4, 3), "6.2"), ((36, 4), "6.1"), ((36, 3), "6.0"),
    ((35, 6), "5.1.4"), ((35, 5), "5.1.3"), ((35, 4), "5.1.2"), ((35, 3), "5.1.1"), ((35, 2), "5.1"),
    ((35, 1), "5.0.2"), ((32, 7), "4.6.1"), ((32, 6), "4.6"), ((32, 5), "4.5.1"), ((32, 4, 4), "4.4.1"),
)  # fmt: skip


def check(device: DeclaredDevice) -> DeclaredDevice:
    """Returns a declaration that came over the wire when it is one.

    Raises:
        UsageError: id, labels, sizes or texts are not what a file could have said.
    """
    tokens.check_device_id(device.device_id)
    labels = tokens.check_labels(device.labels)
    texts = (
        device.device_type, device.serial_number, device.module, device.jetpack, device.power_meter_source,
        device.power_meter_boundary, device.power_mode, device.owner, device.address, *device.groups,
    )  # fmt: skip
    if any(len(text) > TEXT_MAX_CHARS for text in texts) or len(device.groups) > 100:
        raise UsageError(f"A text of {device.device_id} is longer than {TEXT_MAX_CHARS} characters.")
    if device.memory_bytes < 0:
        raise UsageError(f"The memory of {device.device_id} is negative.")
    checked = DeclaredDevice()
    checked.CopyFrom(device)
    checked.labels[:] = labels
    return checked


def changes(
    before: Mapping[str, DeclaredDevice], after: Mapping[str, DeclaredDevice], *, prune: bool
) -> list[InventoryChange]:
    """Lists what applying `after` changes, by device; unchanged devices are left out."""
    found = []
    for device_id in sorted({*before, *after}):
        old, new = before.get(device_id), after.get(device_id)
        if new is None:
            found.append(InventoryChange(device_id=device_id, kind="removed" if prune else "kept"))
        elif old is None:
            found.append(InventoryChange(device_id=device_id, kind="added", details=_words(new)))
        elif old != new:
            found.append(InventoryChange(device_id=device_id, kind="changed", details=_changed(old, new)))
    return found


def differences(declared: DeclaredDevice, facts: DeviceFacts | None) -> list[InventoryDifference]:
    """Lists where a device is not what is declared; what it cannot tell is noted and blocks nothing."""
    if facts is None:
        return []
    found = [
        _same("serial", declared.serial_number, facts.serial_number),
        _memory(declared.memory_bytes, facts.memory_bytes),
        _module(declared.module, facts.machine),
        _jetpack(declared.jetpack, facts.l4t_release),
        _meter(declared, facts),
        _power_mode(declared.power_mode, facts.power_mode),
    ]
    return [item for item in found if item is not None]


def mismatch(declared: DeclaredDevice | None, facts: DeviceFacts | None) -> str:
    """Says why a device may not run trials: it is not what is declared; '' when it is."""
    if declared is None:
        return ""
    return "; ".join(item.message for item in differences(declared, facts) if item.blocks)


def jetpack_of(l4t_release: str) -> str:
    """Returns the JetPack of an L4T release such as `36.4.3`, '' when it is not known."""
    parts = _numbers(l4t_release)
    return next((name for prefix, name in _JETPACK if parts and parts[: len(prefix)] == prefix), "")


def ansible_host_variables(device: DeclaredDevice, facts: DeviceFacts | None) -> dict[str, Any]:
    """Returns the variables of one host for Ansible: what is declared, and what was observed."""
    declared = {f"{PREFIX}{name}": value for name, value in _values(device).items()}
    if device.address:
        declared["ansible_host"] = device.address
    if facts is not None:
        declared[f"{PREFIX}observed"] = {
            "machine": facts.machine,
            "memory_bytes": facts.memory_bytes,
            "serial": facts.serial_number,
            "l4t_release": facts.l4t_release,
            "jetpack": jetpack_of(facts.l4t_release),
            "agent_version": facts.agent_version,
        }
    return declared


def ansible_inventory(
    devices: Mapping[str, tuple[DeclaredDevice, DeviceFacts | None]],
) -> dict[str, Any]:
    """Returns what an Ansible inventory program prints for `--list`."""
    groups: dict[str, list[str]] = {}
    for device_id, (device, _) in sorted(devices.items()):
        for group in device.groups or ["ungrouped"]:
            groups.setdefault(group, []).append(device_id)
    return {
        "_meta": {
            "hostvars": {
                device_id: ansible_host_variables(device, facts)
                for device_id, (device, facts) in sorted(devices.items())
            }
        },
        "all": {"children": sorted(groups)},
        **{group: {"hosts": hosts} for group, hosts in sorted(groups.items())},
    }


def _values(device: DeclaredDevice) -> dict[str, Any]:
    meter = {"source": device.power_meter_source, "boundary": device.power_meter_boundary}
    values: dict[str, Any] = {
        "device_type": device.device_type,
        "labels": list(device.labels),
        "serial": device.serial_number,
        "memory_bytes": device.memory_bytes,
        "module": device.module,
        "jetpack": device.jetpack,
        "power_meter": meter if device.power_meter_source else {},
        "power_mode": device.power_mode,
        "owner": device.owner,
    }
    return {name: value for name, value in values.items() if value}


def _words(device: DeclaredDevice) -> list[str]:
    return [f"{name}: {value}" for name, value in _values(device).items()]


def _changed(old: DeclaredDevice, new: DeclaredDevice) -> list[str]:
    before, after = _values(old), _values(new)
    found = [
        f"{name}: {before.get(name, 'nothing')} becomes {after.get(name, 'nothing')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    if old.address != new.address:
        found.append(f"address: {old.address or 'nothing'} becomes {new.address or 'nothing'}")
    if old.groups != new.groups:
        found.append(f"groups: {', '.join(old.groups)} becomes {', '.join(new.groups)}")
    return found


def _difference(
    field: str, declared: str, observed: str, *, blocks: bool = True, message: str = ""
) -> InventoryDifference:
    return InventoryDifference(
        field=field,
        declared=declared,
        observed=observed,
        blocks=blocks,
        message=message or f"{field} is {observed}, declared is {declared}",
    )


def _unseen(field: str, declared: str) -> InventoryDifference:
    return _difference(
        field, declared, "", blocks=False, message=f"{field} {declared} is declared; the device cannot tell"
    )


def _same(field: str, declared: str, observed: str) -> InventoryDifference | None:
    if not declared or declared == observed:
        return None
    return _difference(field, declared, observed) if observed else _unseen(field, declared)


def _memory(declared_bytes: int, observed_bytes: int) -> InventoryDifference | None:
    if not declared_bytes or _MEMORY_LOW <= observed_bytes / declared_bytes <= _MEMORY_HIGH:
        return None
    declared = f"{declared_bytes / 2**30:.1f} GiB"
    if not observed_bytes:
        return _unseen("memory", declared)
    return _difference("memory", declared, f"{observed_bytes / 2**30:.1f} GiB")


def _module(declared: str, observed: str) -> InventoryDifference | None:
    if not declared or declared.lower() in observed.lower():
        return None
    return _difference("module", declared, observed) if observed else _unseen("module", declared)


def _jetpack(declared: str, l4t_release: str) -> InventoryDifference | None:
    if not declared:
        return None
    observed = jetpack_of(l4t_release)
    if not observed:
        text = f"an L4T {l4t_release} that this version does not know" if l4t_release else "no JetPack"
        return _difference("jetpack", declared, text, blocks=not l4t_release)
    wanted = _numbers(declared)
    if wanted and _numbers(observed)[: len(wanted)] == wanted:
        return None
    return _difference("jetpack", declared, f"{observed} (L4T {l4t_release})")


def _meter(declared: DeclaredDevice, facts: DeviceFacts) -> InventoryDifference | None:
    source = declared.power_meter_source
    if not source:
        return None
    wanted = f"{source} ({declared.power_meter_boundary or 'any boundary'})"
    found = [sensor for sensor in facts.sensors if sensor.source == source]
    if not found:
        return _difference("power meter", wanted, "no such sensor")
    readable = [sensor for sensor in found if not sensor.unavailable_reason]
    if not readable:
        return _difference("power meter", wanted, f"unreadable ({found[0].unavailable_reason})")
    boundaries = sorted({word(Boundary, sensor.boundary) for sensor in readable})
    if declared.power_meter_boundary and declared.power_meter_boundary not in boundaries:
        return _difference("power meter", wanted, f"{source} ({', '.join(boundaries) or 'no boundary'})")
    return None


def _power_mode(declared: str, observed: str) -> InventoryDifference | None:
    # `default` is whatever the board comes up with; studies change modes, so this is only noted.
    if not declared or declared == "default" or declared == observed:
        return None
    return _difference("power mode", declared, observed or "none", blocks=False)


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.strip().lstrip("rR").split(".")
    return tuple(int(part) for part in parts if part.isdigit()) if all(p.isdigit() for p in parts) else ()
