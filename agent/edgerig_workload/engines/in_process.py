"""The model that the worker holds, by transformers, as an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgerig_workload.engines import Ends
from edgerig_workload.engines.stamps import Stamps
from edgerig_workload.infer.caches import Maker, maker, stored_bytes
from edgerig_workload.infer.generate import generate
from edgerig_workload.infer.steps import Steps, begin
from edgerig_workload.models import Loaded
from edgerig_workload.phases import Marks
from edgerig_workload.trial import Inference


class InProcess:
    """Prefill and decode, one call of the model each. Makes sure of its key-value cache at once.

    `taken_tokens` is the room that what was learnt takes before every prompt.
    """

    def __init__(self, loaded: Loaded, kv_cache: str = "dynamic", taken_tokens: int = 0) -> None:
        self._loaded = loaded
        self._kv_cache = kv_cache
        self._maker: Maker = maker(kv_cache, loaded, taken_tokens)
        self._kv_cache_bytes: int | None = None

    def request(self, text: str, shape: Inference, clock: Callable[[], int]) -> Stamps:
        """Answer a batch of one prompt and stamp each token when its id is on the host."""
        stamps = Stamps(clock())
        steps = self._begin(text, shape)
        stamps.model_mono_ns = clock()
        steps.prefill()
        stamps.token_mono_ns.append(clock())
        for _ in range(shape.new_tokens - 1):
            steps.decode()
            stamps.token_mono_ns.append(clock())
        return stamps

    def instrumented(self, text: str, shape: Inference, marks: Marks) -> None:
        """Run one request with its prefill and its decode marked as phases."""
        steps = self._begin(text, shape)
        with marks.phase("prefill"):
            steps.prefill()
        if shape.new_tokens > 1:
            with marks.phase("decode"):
                for _ in range(shape.new_tokens - 1):
                    steps.decode()
        self._kv_cache_bytes = stored_bytes(steps.cache)

    def answer(self, prompts: Sequence[str], most_tokens: int, ends: Ends) -> list[list[int]]:
        """Answer a batch of prompts."""
        ids = [self._loaded.encode(prompt) for prompt in prompts]
        return generate(self._loaded, ids, most_tokens, ends, self._maker)

    def facts(self) -> dict[str, Any]:
        """Return which key-value cache was used and what it took."""
        known = {} if self._kv_cache_bytes is None else {"kv_cache_bytes": self._kv_cache_bytes}
        return {"engine": "transformers", "kv_cache": self._kv_cache, **known}

    def close(self) -> None:
        """Nothing was started."""

    def _begin(self, text: str, shape: Inference) -> Steps:
        prompts = [self._loaded.encode(text)[: shape.prompt_tokens] for _ in range(shape.batch)]
        return begin(self._loaded, prompts, self._maker(shape.batch, shape.prompt_tokens + shape.new_tokens))
