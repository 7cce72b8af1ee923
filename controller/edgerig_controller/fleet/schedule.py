"""Which trial next, as pure functions.

Trials of one study run in blocks of (repeat, seed), each holding every cell
once in a random order, so that warming up, ageing and other slow changes of a
device do not fall on one method. The order is a keyed hash: it is drawn once
per study, the same on every machine, and does not change when trials are
taken out or put back. Knows nothing of leases or of the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """Where a trial stands in the design of its study."""

    cell_index: int
    seed: int
    repeat: int


def run_order(study_digest: str, slots: Sequence[Slot]) -> list[int]:
    """Returns the position of every slot in the order of running.

    Blocks follow each other by repeat, then in the order in which their seeds
    first appear.
    """
    seed_rank: dict[int, int] = {}
    for slot in slots:
        seed_rank.setdefault(slot.seed, len(seed_rank))

    def key(index: int) -> tuple[int, int, bytes, int]:
        slot = slots[index]
        return slot.repeat, seed_rank[slot.seed], _draw(study_digest, slot), index

    positions = [0] * len(slots)
    for position, index in enumerate(sorted(range(len(slots)), key=key)):
        positions[index] = position
    return positions


def matches(
    names: Collection[str], labels: Collection[str], device_id: str, device_labels: Collection[str]
) -> bool:
    """Tells whether a device may run a study that asks for these names, or for all these labels.

    A study that asks for nothing takes any device. A device's own id counts as a label.
    """
    if names:
        return device_id in names
    return set(labels) <= {*device_labels, device_id}


def eta_s(
    open_count: int,
    device_count: int,
    finished_durations_s: Sequence[float],
    predicted_durations_s: Sequence[float | None],
) -> float | None:
    """Estimates the seconds until the last open trial ends; None when nothing is known.

    Finished trials of the same study count before predictions, and predictions
    only when every open trial has one.
    """
    if open_count == 0:
        return 0.0
    lanes = max(1, min(device_count, open_count))
    if finished_durations_s:
        mean_s = sum(finished_durations_s) / len(finished_durations_s)
        return mean_s * open_count / lanes
    known = [value for value in predicted_durations_s if value is not None]
    if len(known) == open_count:
        return sum(known) / lanes
    return None


def _draw(study_digest: str, slot: Slot) -> bytes:
    text = f"{study_digest}/{slot.repeat}/{slot.seed}/{slot.cell_index}"
    return hashlib.sha256(text.encode()).digest()
