"""Small steps add up whatever the type of the parameters is, and float32 is stepped on as ever."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgerig_workload.learn.optimisers import AdamW, Sgd  # noqa: E402 - imports torch at its top

RULES: dict[str, Any] = {"weight_decay": 0.0, "clip_norm": 0.0, "warmup_steps": 0}
# Below half the distance between two numbers under 1, which is 2**-8 and 2**-11.
RATES = {torch.bfloat16: 1e-3, torch.float16: 2e-4}
STEPS = 200


def parameter(dtype: Any) -> Any:
    return torch.nn.Parameter(torch.linspace(0.6, 0.9, 7).to(dtype))


def moved(optimiser: Any, weight: Any) -> Any:
    """How far gradients of 1 move a weight."""
    before = weight.detach().clone()
    for index in range(STEPS):
        weight.grad = torch.ones_like(weight)
        optimiser.step(index)
    return before.double() - weight.detach().double()


@pytest.mark.parametrize("kind", [AdamW, Sgd])
@pytest.mark.parametrize("dtype", list(RATES))
def test_steps_below_the_types_own_add_up(kind: Any, dtype: Any) -> None:
    rate = RATES[dtype]
    half, whole = parameter(dtype), parameter(torch.float32)

    found = moved(kind([half], rate=rate, **RULES), half)
    wanted = moved(kind([whole], rate=rate, **RULES), whole)

    assert half.dtype == dtype
    assert half.grad is None
    assert torch.allclose(found, wanted, rtol=0.1, atol=0)


def test_gradients_in_half_precision_are_clipped_in_float32() -> None:
    # The squares of these are infinite in float16.
    weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.float16))
    optimiser = Sgd([weight], rate=1.0, **{**RULES, "clip_norm": 1.0})

    weight.grad = torch.full_like(weight, 1000.0)
    optimiser.step(0)

    assert torch.equal(weight.detach(), torch.full_like(weight, -0.5))


def test_float32_is_stepped_on_in_place_bit_for_bit() -> None:
    one, other = parameter(torch.float32), parameter(torch.float32)
    ours = AdamW([one], rate=1e-2, **{**RULES, "weight_decay": 0.1})
    theirs = torch.optim.AdamW([other], lr=1e-2, weight_decay=0.1)

    for index in range(5):
        one.grad, other.grad = one.detach().cos(), other.detach().cos()
        ours.step(index)
        theirs.step()

    assert torch.equal(one, other)


def test_a_parameter_without_a_gradient_stays() -> None:
    weight, still = parameter(torch.bfloat16), parameter(torch.bfloat16)
    optimiser = AdamW([weight, still], rate=1e-2, **{**RULES, "clip_norm": 1.0})

    weight.grad = torch.ones_like(weight)
    optimiser.step(0)

    assert not torch.equal(weight, still)
    assert torch.equal(still, parameter(torch.bfloat16))
