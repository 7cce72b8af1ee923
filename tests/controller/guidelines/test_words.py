"""Selectors and comparisons in words."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from edgerig_controller.guidelines.claims import contradictions, of_study, registered
from edgerig_controller.guidelines.words import (
    COMPRESSIONS,
    METHODS,
    comparison,
    compression_words,
    likeness,
    method_words,
    selector,
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method.kind": "rag"}, "RAG"),
        ({"method": "none"}, "no adaptation"),
        ({"method.kind": "rag-lora"}, "RAG together with LoRA"),
        ({"method.kind": "lora", "method.r": 8, "method.alpha": 16}, "LoRA with rank 8 and alpha 16"),
        ({"method.kind": ["prompt", "prefix", "ia3"]}, "prompt tuning, prefix tuning or IA3"),
        ({"model": "org/a", "method.kind": "lora", "method.r": 8}, "LoRA with rank 8 on org/a"),
        ({"model": "org/a"}, "org/a"),
        ({"model": "org/a", "compression.kind": "none"}, "no compression on org/a"),
        ({"model": "org/a", "history": 16}, "org/a with 16 items of history"),
        ({"compression.kind": "rtn-int4"}, "int4 rounding to nearest"),
        ({"compression": "gptq-int4", "method": "rag"}, "RAG with int4 GPTQ"),
        ({"history": "all"}, "all of the history"),
        ({"train_samples": 100}, "100 training samples"),
        ({"power_mode": "15W"}, "power mode 15W"),
        ({"method.kind": "something-new", "method.dial": 3}, "something-new with dial 3"),
    ],
)
def test_a_selector_reads_like_a_noun(given: dict[str, Any], said: str) -> None:
    assert selector(given) == said


def test_a_comparison_says_what_is_compared_and_which_way() -> None:
    sides: tuple[dict[str, Any], dict[str, Any]] = ({"method.kind": "rag"}, {"method.kind": "none"})
    assert comparison(*sides, "accuracy", larger=True) == "RAG is better than no adaptation in accuracy"
    assert comparison(*sides, "rmse", larger=True) == "RAG has a lower RMSE than no adaptation"
    energy = comparison(*sides, "j_per_request", larger=False)
    assert energy == "RAG takes less energy per request than no adaptation"
    slow = comparison(*sides, "ttft_p95_s", larger=True)
    assert slow == "RAG has a larger 95th percentile of the time to the first token than no adaptation"
    assert likeness(*sides, "rouge1_f").format(margin="1 points") == (
        "RAG and no adaptation differ by less than 1 points in ROUGE-1"
    )


def test_braces_in_a_name_are_words_like_others() -> None:
    claim = of_study({"id": "c", "better": {"model": "a{b}"}, "than": {"model": "{}"}, "metric": "accuracy"})
    assert claim.alike.format(margin="2 points") == "a{b} and {} differ by less than 2 points in accuracy"


def test_every_kind_of_the_catalogue_has_words_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgerig_workload", "catalog"], capture_output=True, check=True, timeout=60
    )
    catalog = json.loads(done.stdout)
    # A name that is shown as it stands is allowed, but not for what the product ships.
    plain = [kind for kind in catalog["methods"] if method_words(kind) == kind and kind not in METHODS]
    plain += [
        kind
        for kind in catalog["compressions"]
        if compression_words(kind) == kind and kind not in COMPRESSIONS
    ]
    assert not plain


def test_registered_claims_say_each_outcome_in_words_of_their_own() -> None:
    for claim in registered():
        sentences = {claim.subject, claim.opposite, claim.alike.format(margin="2 points")}
        assert len(sentences) == 3
        assert "2 points" in claim.alike.format(margin="2 points")


def test_a_claim_keeps_the_exact_selectors() -> None:
    entry = {"id": "c", "better": {"method": "rag"}, "than": {"method": "none"}, "metric": "ttft_s"}
    claim = of_study({**entry, "direction": "smaller", "margin": 10.0})
    assert claim.subject == "RAG takes less time to the first token than no adaptation"
    assert claim.opposite == "RAG takes more time to the first token than no adaptation"
    assert claim.asked == {
        "better": {"method": "rag"},
        "than": {"method": "none"},
        "metric": "ttft_s",
        "margin": 10.0,
        "direction": "smaller",
    }


def claim(a: str, b: str, metric: str, direction: str = "", *, key: str = "method.kind") -> dict[str, Any]:
    sides = {"better": {key: a}, "than": {key: b}}
    return {"id": f"{a}-{b}-{direction}", **sides, "metric": metric, "direction": direction}


@pytest.mark.parametrize(
    ("a", "b", "contradict"),
    [
        (claim("rag", "none", "accuracy"), claim("none", "rag", "accuracy"), True),
        (claim("rag", "none", "accuracy"), claim("rag", "none", "accuracy", "smaller"), True),
        (claim("rag", "none", "rmse"), claim("none", "rag", "rmse", "smaller"), True),
        (claim("rag", "none", "ttft_s", "smaller"), claim("rag", "none", "ttft_s", "larger"), True),
        (claim("rag", "none", "ttft_s", "smaller"), claim("none", "rag", "ttft_s", "larger"), False),
        (claim("rag", "none", "accuracy"), claim("rag", "none", "rouge1_f", "smaller"), False),
        (
            claim("rag", "none", "accuracy"),
            claim("none", "rag", "accuracy", key="method"),
            True,
        ),
    ],
)
def test_claims_that_cannot_both_hold_are_found(
    a: dict[str, Any], b: dict[str, Any], contradict: bool
) -> None:
    assert bool(contradictions([a, b])) is contradict
