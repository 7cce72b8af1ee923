"""What a guideline found beside its effect, in words."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from edgerig_controller.guidelines.claims import registered
from edgerig_controller.guidelines.guideline import Guideline, Place, judge_family
from edgerig_controller.guidelines.worlds import WORLDS, records_of
from edgerig_controller.report.guide.facts import sentences


@cache
def judged(world: str) -> dict[str, Guideline]:
    study = records_of(replace(WORLDS[world], users=40), np.random.default_rng(5))
    return {found.claim_id: found for found in judge_family(study, registered())}


def said(world: str, claim_id: str) -> str:
    return "\n".join(sentences(judged(world)[claim_id]))


def test_the_inverted_u_tells_its_shape_and_its_simpler_rivals() -> None:
    text = said("W1", "H1")
    assert "the curve turns at difficulty D1 = 0." in text
    assert "straight lines slope by +" in text and " and −" in text
    assert "simpler: a straight line over D3 (r = " in text


def test_training_tells_what_was_chosen_when_it_is_enough_and_whether_it_turns_down() -> None:
    text = said("W2", "H2")
    assert "chosen on the other half: train samples" in text and "against" in text
    assert "95 % of the gain at " in text and "samples [" in text
    assert "no overfitting shown" in text
    found = judged("W2")["H2"]
    turned = {**found.facts["overfit"], "flag": True, "points": -4.0, "best_earlier": 400}
    worse = replace(found, facts={**found.facts, "overfit": turned})
    assert "the largest budget is 4 points worse than 400 samples" in "\n".join(sentences(worse))


def test_energy_tells_its_break_even_and_together_who_was_the_rival() -> None:
    assert "training pays for itself after: task-1 on box: " in said("W0", "H9")
    assert "the better of the two on the other half: " in said("W0", "H10")
    assert "users with little history: the quarter of users" in said("W0", "H10b")


def test_sizes_tell_how_far_quality_is_from_rising() -> None:
    assert "quality departs from rising with size by" in said("W0", "H7")


def test_tasks_are_counted_after_holm_and_named_after_benjamini_and_hochberg() -> None:
    text = said("W3", "H3a")
    assert "of 7 tasks for the claim and on" in text and "against it (Holm)" in text
    assert "where, with one false in ten allowed: task-1 (−)" in text


def test_items_weighed_equally_are_said_where_that_matters() -> None:
    found = judged("W0")["H5"]

    def moved(by: float) -> Guideline:
        places = tuple(replace(place, micro=place.estimate + by) for place in found.places)
        return replace(found, places=places)

    assert "with items instead of users weighed equally" in "\n".join(sentences(moved(1.0)))
    assert "weighed equally" not in "\n".join(sentences(moved(0.0)))
    lacking: tuple[Place, ...] = (replace(found.places[0], micro=None), *moved(9.0).places[1:])
    assert "weighed equally" not in "\n".join(sentences(replace(found, places=lacking)))


def test_a_claim_that_was_not_tested_tells_nothing() -> None:
    assert sentences(replace(judged("W0")["H7"], estimate=None)) == ()
