"""What goes wrong in one schedule, drawn from its seed.

Three kinds: rates of the wires, events at moments, and deaths at the n-th
durable write or message of a node. All of it ends, and then everything has to
come right by itself.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from tests.sim.network import Rates

Kind = Literal[
    "kill_agent",
    "kill_controller",
    "kill_attempt",
    "cut",
    "clock",
    "full",
    "reboot",
    "power_cut",
    "new_disk",
]
_KINDS: tuple[Kind, ...] = (
    "kill_agent",
    "kill_controller",
    "kill_attempt",
    "cut",
    "clock",
    "full",
    "reboot",
    "power_cut",
    "new_disk",
)
# Most trials of a schedule end within this time where nothing goes wrong.
_WINDOW_S = 90.0


@dataclass(frozen=True)
class Event:
    """Something that happens to a node at a moment, and for how long where it lasts."""

    at_s: float
    kind: Kind
    node: str
    lasts_s: float = 0.0
    # How far a clock is set, for `clock`.
    step_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Everything that goes wrong in one schedule."""

    rates: dict[str, Rates]
    events: tuple[Event, ...]
    # When the study is submitted; the agents may be there long before.
    submitted_s: float
    # Node to the number of points in each of its lives after which it dies.
    deaths: dict[str, tuple[int, ...]]

    @property
    def ends_s(self) -> float:
        return max((event.at_s + event.lasts_s for event in self.events), default=self.submitted_s)


NOTHING = Plan({}, (), 0.0, {})


def draw(seed: int, devices: tuple[str, ...]) -> Plan:
    """Draws a plan; the same seed is the same plan."""
    rng = random.Random(f"{seed}/plan")
    noise = rng.choice([0.0, 0.0, 0.05, 0.2])
    rates = {
        device: Rates(
            request_lost=noise * rng.random(),
            reply_lost=noise * rng.random(),
            doubled=noise * rng.random(),
            late=noise * rng.random(),
            hint_lost=rng.choice([0.0, 0.3, 1.0]),
        )
        for device in devices
    }
    nodes = (*devices, "controller")
    events = tuple(
        sorted(
            (_event(rng, devices) for _ in range(rng.choice([0, 1, 2, 3, 5]))), key=lambda event: event.at_s
        )
    )
    deaths = {
        node: tuple(rng.randrange(1, 120) for _ in range(rng.choice([0, 1, 1, 2, 3])))
        for node in nodes
        if rng.random() < 0.7
    }
    return Plan(rates, events, rng.choice([0.0, 0.0, 10.0, 40.0]), deaths)


def _event(rng: random.Random, devices: tuple[str, ...]) -> Event:
    kind = rng.choice(_KINDS)
    at_s = rng.uniform(0.0, _WINDOW_S)
    device = rng.choice(devices)
    if kind == "kill_controller":
        return Event(at_s, kind, "controller")
    if kind == "cut":
        return Event(at_s, kind, device, rng.choice([1.0, 25.0, 60.0, 400.0]))
    if kind == "full":
        return Event(at_s, kind, rng.choice((*devices, "controller")), rng.choice([5.0, 60.0, 300.0]))
    if kind == "clock":
        # A step that is put right again after a while.
        step_s = rng.choice([-86400.0, -3600.0, -30.0, 30.0, 3600.0, 86400.0])
        return Event(at_s, kind, rng.choice((*devices, "controller")), 200.0, step_s)
    if kind == "power_cut":
        return Event(at_s, kind, rng.choice((*devices, "controller")))
    return Event(at_s, kind, device)
