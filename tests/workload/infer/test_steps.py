"""Greedy steps give the tokens that the library's own generation gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgerig_workload import models  # noqa: E402 - imports torch at its top
from edgerig_workload.infer.generate import StopRule, generate, stop_rule  # noqa: E402

PROMPTS = [[1, 40, 41, 42, 43, 44], [1, 90, 91], [1, 200, 33, 7, 250]]


@pytest.fixture(scope="module")
def llama(llama_folder: Path) -> Any:
    return models.load(llama_folder, "auto", torch.device("cpu"))


@pytest.fixture(scope="module")
def t5(t5_folder: Path) -> Any:
    return models.load(t5_folder, "auto", torch.device("cpu"))


def never(row: Any) -> bool:
    return False


def library_tokens(loaded: Any, prompt: list[int], count: int) -> list[int]:
    """Generation by transformers, one prompt at a time and to a forced length."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = loaded.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=count,
            eos_token_id=-1,
            pad_token_id=0,
        )
    return out[0].tolist()[1 if loaded.encoder_decoder else len(prompt) :]


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_single_prompt_gives_the_tokens_of_the_library(name: str, request: Any) -> None:
    loaded = request.getfixturevalue(name)

    [row] = generate(loaded, PROMPTS[:1], 12, never)

    assert row == library_tokens(loaded, PROMPTS[0], 12)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_padded_batch_gives_each_row_its_own_tokens(name: str, request: Any) -> None:
    loaded = request.getfixturevalue(name)

    rows = generate(loaded, PROMPTS, 8, never)

    assert rows == [library_tokens(loaded, prompt, 8) for prompt in PROMPTS]


def test_row_ends_where_the_rule_says_while_others_go_on(llama: Any) -> None:
    whole = generate(llama, PROMPTS, 6, never)
    last = whole[0][2]
    first_at = whole[0].index(last)

    rows = generate(llama, PROMPTS, 6, lambda row: row[-1] == last and row == whole[0][: len(row)])

    assert rows == [whole[0][: first_at + 1], *whole[1:]]


@pytest.mark.parametrize(
    ("row", "ends"), [([5, 2], True), ([5, 10], True), ([10], False), ([10, 10], False), ([5], False)]
)
def test_line_break_ends_a_row_only_after_text(row: list[int], ends: bool) -> None:
    assert StopRule(frozenset({2}), frozenset({10})).ends(row) is ends


def test_line_break_tokens_are_found_in_the_vocabulary(llama: Any) -> None:
    [line_break] = llama.tokenizer("\n", add_special_tokens=False)["input_ids"]

    assert line_break in stop_rule(llama).break_ids
