"""What a watcher is told of a study: counts, an estimate, and why nothing runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgerig.v1.control_service_pb2 import WatchStudyResponse
from edgerig_controller.fleet.schedule import eta_s, matches
from edgerig_controller.store.devices import DeviceRow
from edgerig_controller.store.watch import Load, Progress

# A watcher takes at most about this share of the database's time, however large and busy the fleet is.
_SHARE = 0.05
_LONGEST_PAUSE_S = 5.0


def pause_s(read_s: float) -> float:
    """Returns how long a watcher pauses who has just read for so long; changes meanwhile make one message."""
    return min(read_s / _SHARE, _LONGEST_PAUSE_S)


def message(
    progress: Progress,
    load: Load,
    rows: Sequence[DeviceRow],
    connected: frozenset[str],
    refusals: Mapping[str, str],
) -> WatchStudyResponse:
    """Composes one message of WatchStudy; `refusals` says which devices take no work, and why."""
    usable = [row for row in rows if _matches(progress, row)]
    present = [row for row in usable if row.device_id in connected]
    response = WatchStudyResponse(
        study_id=progress.study.study_id,
        trial_count=progress.study.trial_count,
        done_count=progress.study.done_count,
        running_count=len(progress.running),
        failed_count=progress.study.failed_count,
        finished=progress.finished,
        quiet=bool(load.running),
        current=_current(progress, len(usable) > 1),
        blocked_reason=_blocked(progress, load, usable, present, refusals),
    )
    estimate = eta_s(
        progress.queued_count + progress.leased_count,
        len(present),
        progress.finished_mean_s,
        progress.predicted_s,
    )
    if estimate is not None:
        response.eta_s = estimate
    return response


def _current(progress: Progress, several_devices: bool) -> str:
    def words(index: int) -> str:
        item = progress.running[index]
        text = f"{item.cell_label} seed {item.seed}"
        if item.repeat > 1:
            text += f" repeat {item.repeat}"
        return f"{text} on {item.device_id}" if several_devices else text

    return "; ".join(words(index) for index in range(len(progress.running)))


def _blocked(
    progress: Progress,
    load: Load,
    usable: Sequence[DeviceRow],
    present: Sequence[DeviceRow],
    refusals: Mapping[str, str],
) -> str:
    if progress.finished:
        return ""
    if progress.leased_count > len(progress.batch_devices):
        return ""
    if not progress.queued_count:
        names = ", ".join(sorted(set(progress.batch_devices)))
        return f"{progress.leased_count} trials are out in batches for {names} (edgerig batch list)"
    if (lacking := _lacking_units(progress, present)) is not None:
        return lacking
    wanted = _wanted(progress)
    if not usable:
        return f"no enrolled device {wanted}"
    if not present:
        names = ", ".join(row.device_id for row in usable)
        return f"no device that {wanted} is connected ({names})"
    if all(row.device_id in refusals for row in present):
        return "; ".join(f"{row.device_id} takes no work: {refusals[row.device_id]}" for row in present)
    busy = {item.device_id: item for item in load.running}
    others = [busy[row.device_id] for row in present if row.device_id in busy]
    if len(others) == len(present):
        return f"waiting for study {others[0].study_id} on {others[0].device_id}"
    return ""


def _lacking_units(progress: Progress, present: Sequence[DeviceRow]) -> str | None:
    """Says which units of a study still need a device; None where that is not what it waits for."""
    units = progress.units
    if units is None or len(units.devices) == units.count:
        return None
    free = [row.device_id for row in present if row.device_id not in units.devices.values()]
    if free and not units.devices:
        return None
    lacking = units.count - len(units.devices)
    of = f" of the type {units.kind}" if units.kind else ""
    return f"{lacking} of {units.count} units wait for a device{of}"


def _wanted(progress: Progress) -> str:
    if progress.device_names:
        return f"is named {' or '.join(progress.device_names)}"
    if progress.device_labels:
        return f"has the labels {', '.join(progress.device_labels)}"
    return "is there"


def _matches(progress: Progress, row: DeviceRow) -> bool:
    return row.enrolled and matches(progress.device_names, progress.device_labels, row.device_id, row.labels)
