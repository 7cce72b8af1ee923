"""Kinds of key-value caches: the same answers where nothing is rounded, fewer bytes where something is."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault, classify

torch = pytest.importorskip("torch")

from edgerig_workload import models  # noqa: E402 - imports torch at its top
from edgerig_workload.engines.catalog import KV_CACHES  # noqa: E402
from edgerig_workload.engines.in_process import InProcess  # noqa: E402
from edgerig_workload.infer.caches import maker, stored_bytes  # noqa: E402
from edgerig_workload.infer.steps import begin  # noqa: E402

PROMPTS = [[1, 9, 8, 7, 6, 5], [1, 30]]
BYTES_PER_TOKEN = 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads for them, head size, float32


@pytest.fixture(scope="module")
def loaded(llama_folder: Path) -> Any:
    return models.load(llama_folder, "auto", torch.device("cpu"))


def tokens(loaded: Any, kind: str, count: int = 8) -> list[list[int]]:
    steps = begin(loaded, PROMPTS, maker(kind, loaded)(len(PROMPTS), 6 + count))
    return [steps.prefill(), *(steps.decode() for _ in range(count - 1))]


def held(loaded: Any, kind: str, prompt_tokens: int = 40) -> int:
    steps = begin(loaded, [list(range(4, 4 + prompt_tokens))], maker(kind, loaded)(1, prompt_tokens + 8))
    steps.prefill()
    found = stored_bytes(steps.cache)
    assert found is not None
    return found


def test_a_static_cache_gives_the_same_tokens_and_takes_its_full_length_at_once(loaded: Any) -> None:
    assert tokens(loaded, "static") == tokens(loaded, "dynamic")
    assert held(loaded, "dynamic") == 40 * BYTES_PER_TOKEN
    assert 48 * BYTES_PER_TOKEN <= held(loaded, "static") < 49 * BYTES_PER_TOKEN


@pytest.mark.parametrize("kind", [kind for kind, entry in KV_CACHES.items() if entry["bits"]])
def test_a_quantised_cache_is_smaller_or_says_what_it_lacks(loaded: Any, kind: str) -> None:
    lacking = [
        name for name in KV_CACHES[kind]["requires"] if importlib.util.find_spec(name.split(".")[0]) is None
    ]
    if lacking:
        with pytest.raises(WorkerFault, match="pip install") as caught:
            maker(kind, loaded)
        assert caught.value.failure_class == "not_installed"
        return
    assert len(tokens(loaded, kind)) == 8
    assert held(loaded, kind) < 0.5 * held(loaded, "dynamic")


def test_offloading_needs_a_device_to_take_it_from(loaded: Any) -> None:
    if loaded.device.type == "cuda":
        pytest.skip("there is one")
    with pytest.raises(WorkerFault, match="CUDA") as caught:
        maker("offloaded", loaded)
    assert caught.value.failure_class == "kernel_missing"


def test_an_encoder_decoder_keeps_its_own_cache(t5_folder: Path) -> None:
    encoder_decoder = models.load(t5_folder, "auto", torch.device("cpu"))
    assert maker("dynamic", encoder_decoder)(1, 4) is None
    with pytest.raises(WorkerFault, match="encoder-decoder") as caught:
        maker("static", encoder_decoder)
    assert caught.value.failure_class == "kernel_missing"


def test_the_engine_says_what_its_cache_took(loaded: Any, recorder: Any) -> None:
    from edgerig_workload.phases import Marks, ProcResidentSet
    from edgerig_workload.trial import Inference

    engine = InProcess(loaded, "static")
    engine.instrumented("a film of robots and trains", Inference(6, 4), Marks(recorder, ProcResidentSet()))

    facts = engine.facts()
    assert facts["kv_cache"] == "static"
    assert 10 * BYTES_PER_TOKEN <= facts["kv_cache_bytes"] < 11 * BYTES_PER_TOKEN


def test_lack_of_memory_is_not_a_kind_of_cache_that_is_missing(loaded: Any) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    with (
        _before_every_pass(loaded.model, refuse),
        pytest.raises(RuntimeError, match="out of memory") as caught,
    ):
        maker("static", loaded)

    assert classify(caught.value).failure_class == "oom_cuda"


@contextmanager
def _before_every_pass(model: Any, act: Any) -> Iterator[None]:
    handle = model.register_forward_pre_hook(act)
    try:
        yield
    finally:
        handle.remove()
