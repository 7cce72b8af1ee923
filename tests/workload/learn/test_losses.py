"""The loss with its gradient against autograd of torch's own cross-entropy, on shapes of real models."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from edgerig_workload.learn.examples import IGNORED, Batch  # noqa: E402
from edgerig_workload.learn.losses import backward, mean_loss  # noqa: E402

VOCABULARY = 97
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
# The answer begins at a different place in each row, and the second row is padded.
PROMPTS, LENGTHS, PLACES = (5, 9), (16, 12), 16


def llama(**changes: Any) -> Any:
    torch.manual_seed(3)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, **changes))


def gemma() -> Any:
    """Caps its logits, so that the way back needs them."""
    torch.manual_seed(3)
    config = transformers.Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=0.5)
    return transformers.Gemma2ForCausalLM(config)


def gpt() -> Any:
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    return transformers.GPT2LMHeadModel(config)


MODELS = {
    "tied": lambda: llama(tie_word_embeddings=True),
    "untied": lambda: llama(tie_word_embeddings=False),
    "capped": gemma,
    "gpt2": gpt,
    "bfloat16": lambda: llama().to(torch.bfloat16),
}


@pytest.fixture
def batch() -> Batch:
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(0, VOCABULARY, (2, PLACES), generator=draw)
    places = torch.arange(PLACES)
    inside = places < torch.tensor(LENGTHS)[:, None]
    labels = ids.masked_fill((places < torch.tensor(PROMPTS)[:, None]) | ~inside, IGNORED)
    inputs = {"input_ids": ids, "attention_mask": inside.long(), "labels": labels}
    return Batch(inputs, 2, sum(LENGTHS))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_all_weights_are_those_of_the_models_own_loss(name: str, batch: Batch) -> None:
    model = MODELS[name]()
    own = model(**batch.inputs, use_cache=False).loss
    own.backward()
    wanted = {key: weight.grad.clone() for key, weight in model.named_parameters()}
    model.zero_grad(set_to_none=True)

    loss = backward(model, batch)

    near = {"rtol": 2e-2, "atol": 2e-4} if name == "bfloat16" else {"rtol": 1e-4, "atol": 1e-7}
    assert loss.item() == pytest.approx(own.item(), rel=1e-6 if name != "bfloat16" else 2e-3)
    for key, weight in model.named_parameters():
        assert torch.allclose(weight.grad, wanted[key], **near), key


@pytest.mark.parametrize("vocabulary", [97, 200_000])
def test_gradient_takes_the_place_of_logits_that_nothing_needs_any_more(vocabulary: int) -> None:
    # 200,000 logits are less than two rows of what is worked on at once.
    torch.manual_seed(1)
    hidden = torch.randn(2, 3, 8, requires_grad=True)
    head = torch.nn.Linear(8, vocabulary, bias=False)
    targets = torch.tensor([[4, IGNORED, 96], [0, 1, IGNORED]])
    plain = head(hidden)
    own = torch.nn.functional.cross_entropy(plain.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    own.backward()
    wanted = hidden.grad.clone()
    hidden.grad = None
    logits = head(hidden)
    before = logits.detach().clone()

    loss = mean_loss(logits, targets)
    assert not torch.equal(logits.detach(), before)
    (3.0 * loss).backward()

    assert loss.item() == pytest.approx(own.item(), rel=1e-6)
    assert torch.allclose(hidden.grad, 3.0 * wanted, rtol=1e-5, atol=1e-8)


def test_nobody_holds_the_gradient_while_the_rest_of_the_model_goes_back() -> None:
    torch.manual_seed(1)
    hidden = torch.randn(1, 2, 8, requires_grad=True)
    below = torch.tanh(hidden)
    logits = torch.nn.Linear(8, 11)(below)
    table = weakref.ref(logits.untyped_storage())
    gone: list[bool] = []
    below.register_hook(lambda _gradient: gone.append(table() is None))

    loss = mean_loss(logits, torch.tensor([[4, 5]]))
    del logits
    assert table() is not None
    loss.backward()

    assert gone == [True]


def test_logits_that_are_still_needed_stay_as_they_are() -> None:
    torch.manual_seed(1)
    capped = torch.tanh(torch.nn.Linear(8, 11)(torch.randn(1, 2, 8)))
    before = capped.detach().clone()

    mean_loss(capped, torch.tensor([[4, 5]])).backward()

    assert torch.equal(capped, before)


def test_padding_may_hold_anything() -> None:
    hidden = torch.randn(1, 2, 8, requires_grad=True)
    logits = torch.nn.Linear(8, 11)(hidden)
    with torch.no_grad():
        logits[0, 1] = float("nan")

    loss = mean_loss(logits, torch.tensor([[4, IGNORED]]))
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.equal(hidden.grad[0, 1], torch.zeros(8))


def test_a_loss_that_is_not_finite_says_so(batch: Batch) -> None:
    model = llama()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("inf"))

    assert not torch.isfinite(backward(model, batch))
