"""What the losses of the contamination probe say, with planted skill and planted memory."""

from __future__ import annotations

import numpy as np
import pytest

from edgerig_controller.guidelines.contamination import Contamination, ItemLosses, probe


def losses(gap: float, reordered_gap: float | None, users: int = 20, noise: float = 0.2) -> list[ItemLosses]:
    rng = np.random.default_rng(4)

    def one(user: int) -> ItemLosses:
        own, wobble = 2.0 + rng.normal(0, noise), rng.normal(0, noise)
        again = None if reordered_gap is None else 2.0 + reordered_gap + wobble
        return ItemLosses(
            f"u{user}",
            own,
            2.0 + gap + wobble,
            own,
            2.0 + gap + wobble,
            None if again is None else own,
            again,
        )

    return [one(user) for user in range(users) for _ in range(4)]


def judged(gap: float, reordered_gap: float | None, users: int = 20) -> Contamination:
    return probe("m", "t", losses(gap, reordered_gap, users))


def test_right_answers_that_are_not_preferred_are_no_sign() -> None:
    found = judged(0.0, 0.0)
    assert found.state == "no sign" and found.gap.n == 20 and found.n_items == 80


def test_skill_cannot_be_told_from_memory_without_a_control_or_where_it_stays() -> None:
    assert judged(1.0, None).state == "not excluded"
    assert "no options" in judged(1.0, None).reason and judged(1.0, None).wording is None
    kept = judged(1.0, 1.0)
    assert kept.state == "not excluded" and "does not change" in kept.reason


def test_a_preference_that_goes_with_the_order_of_options_is_a_sign() -> None:
    found = judged(1.0, 0.5)
    assert found.state == "sign"
    assert found.wording is not None and found.wording.estimate == pytest.approx(0.5)


def test_a_worse_than_chance_model_is_no_sign() -> None:
    assert judged(-1.0, -1.0).state == "no sign"


@pytest.mark.parametrize("users", [0, 1, 4])
def test_few_users_are_said(users: int) -> None:
    found = judged(1.0, 0.5, users)
    assert found.state == "unknown" and f"{users} users" in found.reason


def test_without_an_effect_a_sign_is_rare() -> None:
    signs = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = [ItemLosses(f"u{n}", *rng.normal(2, 0.5, size=6)) for n in range(20)]
        signs += probe("m", "t", rows).state != "no sign"
    # One side of a 95 % interval: 5 of 200 expected.
    assert signs <= 14
