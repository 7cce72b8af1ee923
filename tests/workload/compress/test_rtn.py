"""Rounding to nearest on whole models: what is rounded, what it costs, and adapters on top."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload import compress
from edgerig_workload.compress.packed import Format, PackedEmbedding, PackedLinear
from edgerig_workload.compress.rtn import quantise_embeddings
from edgerig_workload.infer.generate import generate

IDS = torch.arange(4, 36)[None]
EIGHT_TO_THREE = [f"rtn-int{bits}" for bits in (8, 6, 5, 4, 3)]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_fewer_bits_are_further_from_the_model_and_take_fewer_bytes(
    llama_folder: Any, choose: Any, material: Any
) -> None:
    from edgerig_workload.models import load

    dense = load(llama_folder, "float32", torch.device("cpu"))
    reference = logits(dense.model)
    errors, sizes = [], [dense.weights_bytes]

    for kind in EIGHT_TO_THREE:
        loaded = load(llama_folder, "float32", torch.device("cpu"))
        done = compress.transform(kind)(loaded, choose(kind), material)
        errors.append((logits(done.loaded.model) - reference).norm().item() / reference.norm().item())
        sizes.append(done.loaded.weights_bytes)
        assert done.kernel == "dequantised"
        assert done.loaded.parameter_count == dense.parameter_count

    assert errors == sorted(errors) and errors[0] > 0
    assert errors[0] < 0.03
    assert sizes == sorted(sizes, reverse=True)


def test_bits_per_weight_are_those_of_the_format(llama: Any, choose: Any, material: Any) -> None:
    before = sum(
        layer.weight.numel() for layer in llama.model.model.layers.modules() if hasattr(layer, "weight")
    )

    done = compress.transform("rtn-int4")(llama, choose("rtn-int4", group=32), material)

    packed = [module for module in done.loaded.model.modules() if isinstance(module, PackedLinear)]
    held = sum(part.numel() * part.element_size() for layer in packed for part in layer.buffers())
    count = sum(layer.in_features * layer.out_features for layer in packed)
    assert len(packed) == 14
    # The two norms of each of the two layers stay.
    assert count == before - 4 * 32
    assert held * 8 == count * (4 + 32 / 32)


def test_embeddings_and_head_are_rounded_only_when_asked(llama: Any, choose: Any, material: Any) -> None:
    table = llama.model.get_input_embeddings().weight

    compress.transform("rtn-int8")(llama, choose("rtn-int8"), material)
    assert llama.model.get_input_embeddings().weight is table
    quantise_embeddings(llama.model, Format(8, 0, True))

    embedding, head = llama.model.get_input_embeddings(), llama.model.get_output_embeddings()
    assert isinstance(embedding, PackedEmbedding)
    assert head.packed_weight is embedding.packed_weight
    assert not torch.equal(embedding.weight, table)
    torch.testing.assert_close(embedding(IDS), table[IDS], atol=0.02, rtol=0)


def test_encoder_decoder_is_rounded_and_generates(t5: Any, choose: Any, material: Any) -> None:
    done = compress.transform("rtn-int8")(t5, choose("rtn-int8", embeddings=True), material)

    assert len(generate(done.loaded, [[5, 6, 7]], 4, lambda text: False)[0]) > 0
    assert done.loaded.weights_bytes < t5.weights_bytes / 2


def test_adapters_learn_on_packed_layers(llama: Any, choose: Any, material: Any, adapted: Any) -> None:
    done = compress.transform("rtn-int4")(llama, choose("rtn-int4"), material)
    before = [weight.clone() for weight in done.loaded.model.buffers()]

    weights, losses = adapted(done.loaded.model)

    assert len(weights) == 28
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.equal(*pair) for pair in zip(before, done.loaded.model.buffers(), strict=True))
