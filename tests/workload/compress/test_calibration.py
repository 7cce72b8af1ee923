"""Layers are observed on what they are really given, after earlier blocks were changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload.compress import Material, calibration
from edgerig_workload.compress.layers import Layer, blocks, linears
from edgerig_workload.faults import WorkerFault


class Kept:
    def __init__(self, columns: int, device: torch.device) -> None:
        self.columns = columns
        self.rows: list[torch.Tensor] = []

    def add(self, inputs: torch.Tensor) -> None:
        self.rows.append(inputs)


def test_histories_give_their_pairs_once(llama: Any, choose: Any, material: Any) -> None:
    given = calibration.inputs(llama, choose("wanda"), material)

    # Two users with three different movies each.
    assert len(given) == 6
    assert all(sample["attention_mask"].all() and "labels" not in sample for sample in given)
    texts = {llama.decode(sample["input_ids"][0].tolist()) for sample in given}
    assert len(texts) == 3
    assert all("film of" in text and text.strip().endswith(("comedy", "action")) for text in texts)


def test_samples_and_their_lengths_are_bounded(llama: Any, choose: Any, material: Any) -> None:
    given = calibration.inputs(llama, choose("wanda", samples=2, tokens=16), material)

    assert [sample["input_ids"].shape for sample in given] == [(1, 16), (1, 16)]


def test_without_a_task_random_tokens_must_be_asked_for(llama: Any, choose: Any) -> None:
    with pytest.raises(WorkerFault, match="random-tokens") as caught:
        calibration.inputs(llama, choose("wanda"), Material(None, seed=1))

    assert caught.value.failure_class == "bad_data"
    choice = choose("wanda", calibration="random-tokens", samples=3, tokens=20)
    one, again, other = (calibration.inputs(llama, choice, Material(None, seed)) for seed in (1, 1, 2))
    assert [tuple(sample["input_ids"].shape) for sample in one] == [(1, 20)] * 3
    assert torch.equal(one[0]["input_ids"], again[0]["input_ids"])
    assert not torch.equal(one[0]["input_ids"], other[0]["input_ids"])


def test_each_layer_hears_its_inputs_after_earlier_blocks_changed(
    llama: Any, choose: Any, material: Any
) -> None:
    given = calibration.inputs(llama, choose("wanda"), material)
    heard: dict[str, torch.Tensor] = {}

    def halve(layer: Layer, kept: Kept) -> None:
        heard[layer.name] = torch.cat(kept.rows)
        with torch.no_grad():
            layer.module.weight.mul_(0.5)

    calibration.walk(llama, linears(llama.model), given, Kept, halve)

    # The first block changed before the second was looked at, and the second has changed
    # since; its first inputs do not depend on that.
    seen: list[torch.Tensor] = []
    last = llama.model.model.layers[1].self_attn.q_proj
    last.register_forward_pre_hook(lambda module, args: seen.append(args[0].reshape(-1, 32)) and None)
    with torch.no_grad():
        for sample in given:
            llama.model(**sample)
    torch.testing.assert_close(heard["model.layers.1.self_attn.q_proj"], torch.cat(seen))
    assert len(heard) == 14
    assert heard["model.layers.0.mlp.down_proj"].shape[1] == 64


def test_no_hook_is_left_behind(llama: Any, choose: Any, material: Any) -> None:
    given = calibration.inputs(llama, choose("wanda"), material)

    calibration.walk(llama, linears(llama.model), given, Kept, lambda layer, kept: None)

    for module in llama.model.modules():
        assert not module._forward_pre_hooks and not module._forward_hooks


def test_encoder_and_decoder_are_both_heard(t5: Any, choose: Any, material: Any) -> None:
    tokens: dict[str, int] = {}
    given = calibration.inputs(t5, choose("wanda"), material)

    calibration.walk(
        t5,
        linears(t5.model),
        given,
        Kept,
        lambda layer, kept: tokens.update({layer.name: sum(len(rows) for rows in kept.rows)}),
    )

    asked = sum(sample["input_ids"].shape[1] for sample in given)
    answered = sum(sample["labels"].shape[1] for sample in given)
    assert tokens["encoder.block.1.layer.1.DenseReluDense.wi"] == asked
    assert tokens["decoder.block.1.layer.0.SelfAttention.q"] == answered
    # Cross attention reads the question.
    assert tokens["decoder.block.0.layer.1.EncDecAttention.k"] == asked


def test_blocks_are_the_repeated_parts(llama: Any) -> None:
    found = blocks([*linears(llama.model), Layer("lm_head", torch.nn.Linear(2, 2))])

    assert [(block.name, len(block.layers)) for block in found] == [
        ("model.layers.0", 7),
        ("model.layers.1", 7),
        ("lm_head", 1),
    ]


def test_a_model_without_linear_layers_is_refused(llama: Any) -> None:
    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Conv1d(1, 1, 1)

        def get_output_embeddings(self) -> None:
            return None

    with pytest.raises(WorkerFault, match="Conv1d") as caught:
        linears(replace(llama, model=Other()).model)
    assert caught.value.failure_class == "bad_model"
