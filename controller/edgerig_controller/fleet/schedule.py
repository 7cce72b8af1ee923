"""Which trial next, as pure functions.

Trials of one study run in blocks of (repeat, seed), each holding every cell
once in a random order, so that warming up, ageing and other slow changes of a
device do not fall on one method. Inside a block the cells of one power mode stand
together, because a change of mode takes a new idle temperature or a restart; the
modes follow each other in a random order that begins where the block before
ended. The order is a keyed hash: it is drawn once per study, the same on every
machine, and does not change when trials are taken out or put back. Knows
nothing of leases or of the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from edgerig_controller.study.labels import holds


@dataclass(frozen=True)
class Slot:
    """Where a trial stands in the design of its study."""

    cell_index: int
    seed: int
    repeat: int
    # Empty = as the device is.
    power_mode: str = ""


@dataclass(frozen=True)
class Candidate:
    """A study that has trials for a device. `owner` is '' for the local operator."""

    study_id: str
    submission: int
    priority: int
    owner: str
    # On how many devices of one type the whole of it runs.
    units: int = 1


@dataclass(frozen=True)
class Backlog:
    """The open trials of a study: how many, how long each takes, and on which devices they may run."""

    count: int
    trial_s: float | None
    device_ids: tuple[str, ...]


def run_order(study_digest: str, slots: Sequence[Slot]) -> list[int]:
    """Returns the position of every slot in the order of running.

    Blocks follow each other by repeat, then in the order in which their seeds
    first appear.
    """
    seed_rank: dict[int, int] = {}
    for slot in slots:
        seed_rank.setdefault(slot.seed, len(seed_rank))
    mode_rank = _mode_ranks(study_digest, slots, seed_rank)

    def key(index: int) -> tuple[int, int, int, bytes, int]:
        slot = slots[index]
        block = slot.repeat, seed_rank[slot.seed]
        return *block, mode_rank[block][slot.power_mode], _draw(study_digest, slot), index

    positions = [0] * len(slots)
    for position, index in enumerate(sorted(range(len(slots)), key=key)):
        positions[index] = position
    return positions


def _mode_ranks(
    study_digest: str, slots: Sequence[Slot], seed_rank: Mapping[int, int]
) -> dict[tuple[int, int], dict[str, int]]:
    """Draws the order of the power modes of each block."""
    modes: dict[tuple[int, int], dict[str, bytes]] = {}
    for slot in slots:
        text = f"{study_digest}/{slot.repeat}/{slot.seed}/power mode {slot.power_mode}"
        drawn = modes.setdefault((slot.repeat, seed_rank[slot.seed]), {})
        if slot.power_mode not in drawn:
            drawn[slot.power_mode] = hashlib.sha256(text.encode()).digest()
    ranks: dict[tuple[int, int], dict[str, int]] = {}
    last = None
    for block in sorted(modes):
        drawn = modes[block]
        order = sorted(drawn, key=lambda mode: (mode != last, drawn[mode]))
        ranks[block] = {mode: rank for rank, mode in enumerate(order)}
        last = order[-1]
    return ranks


def matches(
    names: Collection[str], labels: Collection[str], device_id: str, device_labels: Collection[str]
) -> bool:
    """Tells whether a device may run a study that asks for these names, or for all these labels.

    Each of the labels may be an expression such as `orin and not nx`. A study
    that asks for nothing takes any device. A device's own id counts as a label.

    Raises:
        ExpressionError: a label is no expression; planning has checked those of studies.
    """
    if names:
        return device_id in names
    present = {*device_labels, device_id}
    return all(holds(expression, present) for expression in labels)


def by_turn(
    candidates: Sequence[Candidate],
    open_counts: Mapping[str, int],
    used_s: Callable[[], Mapping[str, float]],
) -> list[Candidate]:
    """Orders studies by whose turn it is: priority, then fair share between people, then age.

    Of equal priority, the person comes first who has fewer devices at work
    now, then who has used less device time lately (asked for only to break
    such a tie). The studies of one person are served in the order of submission.
    """
    shares = {(item.priority, open_counts.get(item.owner, 0)) for item in candidates}
    owners = {item.owner for item in candidates}
    tied = len(owners) > 1 and len(shares) < len({(item.priority, item.owner) for item in candidates})
    used = used_s() if tied else {}
    return sorted(
        candidates,
        key=lambda item: (
            -item.priority,
            open_counts.get(item.owner, 0),
            used.get(item.owner, 0.0),
            item.submission,
        ),
    )


def eta_by_device(busy_s: Mapping[str, float | None], backlogs: Sequence[Backlog]) -> dict[str, float | None]:
    """Estimates for each device the seconds until nothing is left for it; None where nothing is known.

    `busy_s` is what each present device still has to do on what it runs. Each
    study's open trials are poured, in the order of service, onto the devices
    that may run them so that those end together.
    """
    ends = dict(busy_s)
    for backlog in backlogs:
        devices = [name for name in backlog.device_ids if name in ends]
        if backlog.count == 0 or not devices:
            continue
        known = {name: end for name in devices if (end := ends[name]) is not None}
        if backlog.trial_s is None or len(known) < len(devices):
            ends.update(dict.fromkeys(devices))
        else:
            ends.update(_poured(known, backlog.count * backlog.trial_s))
    return ends


def _poured(ends: Mapping[str, float], work_s: float) -> dict[str, float]:
    """Raises the lowest ends to one level until the work is used up."""
    ordered = sorted(ends.values())
    level = ordered[0]
    for index, end in enumerate(ordered):
        needed = sum(end - lower for lower in ordered[:index])
        if needed > work_s:
            break
        level = end + (work_s - needed) / (index + 1)
    return {name: max(end, level) for name, end in ends.items()}


def eta_s(
    open_count: int, device_count: int, finished_mean_s: float | None, predicted_s: float | None
) -> float | None:
    """Estimates the seconds until the last open trial ends; None when nothing is known.

    Args:
        open_count: trials that are still to run.
        device_count: devices that may run them.
        finished_mean_s: mean duration of finished trials of the same study, if there are any.
        predicted_s: sum of the predictions for the open trials, if each has one; counts after that.
    """
    if open_count == 0:
        return 0.0
    lanes = max(1, min(device_count, open_count))
    if finished_mean_s is not None:
        return finished_mean_s * open_count / lanes
    return None if predicted_s is None else predicted_s / lanes


def _draw(study_digest: str, slot: Slot) -> bytes:
    text = f"{study_digest}/{slot.repeat}/{slot.seed}/{slot.cell_index}"
    return hashlib.sha256(text.encode()).digest()
