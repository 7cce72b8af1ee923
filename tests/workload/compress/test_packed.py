"""Packed layers compute what their dense weights would, forward and backward, and keep nothing dense."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5DenseActDense, T5DenseGatedActDense

from edgerig_workload.compress.packed import Codes, Format, PackedLinear, PackedWeight, linear, nearest


def packed_and_source(written: Format, columns: int = 40) -> tuple[PackedLinear, torch.nn.Linear]:
    torch.manual_seed(5)
    layer = torch.nn.Linear(columns, 9)
    return linear(layer, nearest(layer.weight.detach(), written), written), layer


@pytest.mark.parametrize("written", [Format(4, 16, True), Format(3, 16, False), Format(5, 0, True)])
def test_product_is_that_of_the_rounded_weights(written: Format) -> None:
    packed, layer = packed_and_source(written)
    x = torch.randn(2, 3, 40)
    # An independent rounding, written out group by group.
    expected = layer.weight.detach().clone()
    step = written.group or 40
    for begin in range(0, 40, step):
        part = expected[:, begin : begin + step]
        if written.symmetric:
            scale = part.abs().amax(1, keepdim=True) / (2 ** (written.bits - 1) - 1)
            part.copy_(torch.round(part / scale) * scale)
        else:
            low, high = part.amin(1, keepdim=True).clamp(max=0), part.amax(1, keepdim=True).clamp(min=0)
            scale = (high - low) / (2**written.bits - 1)
            zero = torch.round(-low / scale)
            part.copy_(((torch.round(part / scale) + zero).clamp(0, 2**written.bits - 1) - zero) * scale)

    torch.testing.assert_close(packed.weight, expected)
    torch.testing.assert_close(packed(x), functional.linear(x, expected, layer.bias))


def test_gradient_of_the_input_is_that_of_a_dense_layer_in_both_modes() -> None:
    packed, _ = packed_and_source(Format(4, 16, True))
    x = torch.randn(3, 40, requires_grad=True)
    pull, push = torch.randn(3, 9), torch.randn(3, 40)

    (found,) = torch.autograd.grad(packed(x), x, pull)
    _, pushed = torch.func.jvp(packed, (x.detach(),), (push,))

    torch.testing.assert_close(found, pull @ packed.weight)
    torch.testing.assert_close(pushed, push @ packed.weight.T)


def test_training_through_the_layer_keeps_no_dense_weight() -> None:
    packed, _ = packed_and_source(Format(4, 0, True), columns=512)
    kept: list[torch.Tensor] = []
    x = torch.randn(1, 512, requires_grad=True)

    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        packed(x)

    assert sum(tensor.numel() for tensor in kept) < packed.in_features * packed.out_features


def test_a_reordered_matrix_is_given_back_in_its_own_order() -> None:
    written = Format(8, 4, True)
    weights = torch.randn(3, 10)
    order = torch.randperm(10)
    codes = nearest(weights[:, order], written)

    packed = PackedWeight(Codes(codes.codes, codes.grids, order), written, torch.float32)

    rounded = PackedWeight(codes, written, torch.float32).dense()
    torch.testing.assert_close(packed.dense()[:, order], rounded)


def test_memory_is_bits_and_scales_and_nothing_else() -> None:
    packed, _ = packed_and_source(Format(3, 16, False), columns=64)

    held = sum(part.numel() * part.element_size() for part in packed.packed_weight.buffers())

    assert held == 9 * (64 * 3 // 8 + 4 * (4 + 1))
    assert [name for name, _ in packed.named_parameters()] == ["bias"]


@pytest.fixture
def spelled_out(monkeypatch: pytest.MonkeyPatch) -> list[PackedWeight]:
    """The weights that were spelled out, in order."""
    found: list[PackedWeight] = []
    dense = PackedWeight.dense

    def noted(self: PackedWeight, rows: torch.Tensor | None = None) -> torch.Tensor:
        found.append(self)
        return dense(self, rows)

    monkeypatch.setattr(PackedWeight, "dense", noted)
    return found


def test_what_a_weight_is_costs_nothing_and_its_numbers_are_made_once(
    spelled_out: list[PackedWeight],
) -> None:
    packed, layer = packed_and_source(Format(4, 16, True))

    weight = packed.weight
    told = (weight.dtype, weight.shape, weight.device, weight.ndim, weight.requires_grad)

    assert isinstance(weight, torch.Tensor)
    assert told == (layer.weight.dtype, layer.weight.shape, layer.weight.device, 2, False)
    assert spelled_out == []
    assert type(weight + 1) is type(weight.float()) is type(weight[0]) is torch.Tensor
    assert torch.equal(torch.from_numpy(weight.numpy()), torch.tensor(weight.tolist()))
    assert len(spelled_out) == 1


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_t5_spells_each_layer_out_once_a_pass(
    gated: bool, dtype: torch.dtype, spelled_out: list[PackedWeight]
) -> None:
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=40,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu" if gated else "relu",
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config).to(dtype).eval()
    for block in model.modules():
        if isinstance(block, (T5DenseActDense, T5DenseGatedActDense)):
            # As in a checkpoint whose last layer of the block is kept in float32.
            last = block.wo.float()
            block.wo = linear(last, nearest(last.weight.detach(), Format(8, 0, True)), Format(8, 0, True))
    ids = torch.arange(5)[None]

    with torch.inference_mode():
        logits = model(input_ids=ids, decoder_input_ids=ids).logits

    assert bool(logits.isfinite().all())
    # Two layers of the encoder and two of the decoder.
    assert len(spelled_out) == len({id(weight) for weight in spelled_out}) == 4
