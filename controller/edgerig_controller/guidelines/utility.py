"""What a person declares a deployment to be worth: limits that must hold, and what a joule costs in points.

    utility = quality in points - points_per_joule x (J per request + training J / requests)

within the limits; outside of them a configuration is worth nothing. Memory is held
against the largest run plus a margin, latency (95th percentile, else the median of a whole
request) and energy against their means: a limit that breaks on average is broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgerig_controller.guidelines.resources import upper_bound

RAM_MARGIN = 0.10
RAM, ENERGY, TRAINING = "rss_peak_bytes", "j_per_request", "train_j"
# The first that was measured counts.
LATENCY = ("e2e_p95_s", "e2e_s", "ttft_p95_s", "ttft_s")
NOTHING = 0.0


@dataclass(frozen=True)
class Utility:
    """Limits (None = none) and prices; nothing declared = quality alone counts."""

    ram_bytes: float | None = None
    latency_s: float | None = None
    energy_j: float | None = None
    points_per_joule: float = 0.0
    # Requests that a training is spread over; None = training costs nothing.
    requests: float | None = None
    ram_margin: float = RAM_MARGIN

    @property
    def declared(self) -> bool:
        """Tells whether anything beside quality counts."""
        limits = (self.ram_bytes, self.latency_s, self.energy_j)
        return any(limit is not None for limit in limits) or bool(self.points_per_joule)

    def words(self) -> str:
        """Words the utility."""
        parts = ["quality in points"]
        if self.points_per_joule:
            spread = f", training spread over {self.requests:,.0f} requests" if self.requests else ""
            parts.append(f"minus {self.points_per_joule:g} points per joule of a request{spread}")
        limits = [
            f"{name} at most {value:.4g} {unit}"
            for name, value, unit in (
                ("peak memory", None if self.ram_bytes is None else self.ram_bytes / 2**20, "MiB"),
                ("latency", self.latency_s, "s"),
                ("energy per request", self.energy_j, "J"),
            )
            if value is not None
        ]
        return " ".join(parts) + (f"; 0 where {' or '.join(limits)} does not hold" if limits else "")


Figures = Mapping[str, Sequence[float]]


def broken(utility: Utility, figures: Figures) -> str:
    """Words the first limit that a configuration breaks, or that it was not measured for; '' = it keeps all.

    Args:
        utility: what is asked.
        figures: figure name to one value per run of the configuration, on one device.
    """
    if utility.ram_bytes is not None:
        runs = figures.get(RAM, ())
        if not runs:
            return "peak memory was not measured"
        needed = upper_bound(runs, margin=utility.ram_margin)
        if needed > utility.ram_bytes:
            return (
                f"memory reaches {needed / 2**20:.4g} MiB with the margin, "
                f"the limit is {utility.ram_bytes / 2**20:.4g} MiB"
            )
    latency = next((figures[name] for name in LATENCY if figures.get(name)), ())
    for what, runs, limit, unit in (
        ("latency", latency, utility.latency_s, "s"),
        ("energy per request", figures.get(ENERGY, ()), utility.energy_j, "J"),
    ):
        if limit is None:
            continue
        if not runs:
            return f"{what} was not measured"
        mean = sum(runs) / len(runs)
        if mean > limit:
            return f"{what} is {mean:.4g} {unit}, the limit is {limit:.4g} {unit}"
    return ""


def worth(utility: Utility, quality_points: float, figures: Figures) -> float | None:
    """Returns the utility of a configuration in points; None where a price has no measured joule to it."""
    if broken(utility, figures):
        return NOTHING
    if not utility.points_per_joule:
        return quality_points
    joules = figures.get(ENERGY, ())
    if not joules:
        return None
    spent = sum(joules) / len(joules)
    training = figures.get(TRAINING, ())
    if utility.requests and training:
        spent += sum(training) / len(training) / utility.requests
    return quality_points - utility.points_per_joule * spent
