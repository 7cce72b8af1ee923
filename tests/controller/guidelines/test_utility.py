"""What a deployment is worth, within limits and outside of them."""

from __future__ import annotations

import pytest

from edgerig_controller.guidelines.utility import Utility, broken, worth

MIB = 2.0**20
RUNS = {
    "rss_peak_bytes": [400 * MIB, 500 * MIB],
    "e2e_s": [0.1, 0.2],
    "e2e_p95_s": [0.3, 0.5],
    "j_per_request": [2.0, 4.0],
    "train_j": [1000.0, 3000.0],
}


def test_without_a_declaration_quality_is_all() -> None:
    assert not Utility().declared
    assert worth(Utility(), 60.0, {}) == 60.0
    assert Utility().words() == "quality in points"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        # The largest run and a tenth: 550 MiB.
        (Utility(ram_bytes=549 * MIB), "memory reaches 550 MiB"),
        (Utility(ram_bytes=551 * MIB), ""),
        (Utility(ram_bytes=499 * MIB, ram_margin=0.0), "memory"),
        # The 95th percentile counts before the median.
        (Utility(latency_s=0.39), "latency is 0.4 s"),
        (Utility(latency_s=0.41), ""),
        (Utility(energy_j=2.9), "energy per request is 3 J"),
        (Utility(energy_j=3.0), ""),
    ],
)
def test_limits_must_hold(limits: Utility, says: str) -> None:
    why = broken(limits, RUNS)
    assert why.startswith(says) and bool(why) is bool(says)
    assert worth(limits, 60.0, RUNS) == (0.0 if says else 60.0)


@pytest.mark.parametrize("limits", [Utility(ram_bytes=1.0), Utility(latency_s=1.0), Utility(energy_j=1.0)])
def test_what_was_not_measured_does_not_fit(limits: Utility) -> None:
    assert "not measured" in broken(limits, {})


def test_energy_has_a_price_and_training_is_spread_over_requests() -> None:
    priced = Utility(points_per_joule=0.5)
    assert worth(priced, 60.0, RUNS) == pytest.approx(60 - 0.5 * 3)
    spread = Utility(points_per_joule=0.5, requests=100)
    assert worth(spread, 60.0, RUNS) == pytest.approx(60 - 0.5 * (3 + 20))
    assert worth(spread, 60.0, {**RUNS, "train_j": []}) == pytest.approx(60 - 0.5 * 3)
    assert worth(priced, 60.0, {}) is None


def test_a_utility_is_worded() -> None:
    said = Utility(ram_bytes=512 * MIB, latency_s=0.2, points_per_joule=0.5, requests=10_000).words()
    assert said == (
        "quality in points minus 0.5 points per joule of a request, training spread over 10,000 requests; "
        "0 where peak memory at most 512 MiB or latency at most 0.2 s does not hold"
    )
