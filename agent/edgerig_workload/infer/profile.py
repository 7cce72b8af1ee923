"""The inference profile: requests of forced lengths, stamped on the host token by token.

A request is accepted, tokenised, prefilled and decoded to exactly `new_tokens`
tokens whatever the model says, so that every trial does the same work. Timed
requests are undisturbed: Python's cyclic collector is off, nothing is written,
no counter is reset. Peak memory of prefill and decode comes from one more
request after the timed block.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgerig_workload.engines import Engine
from edgerig_workload.engines.in_process import InProcess
from edgerig_workload.engines.stamps import Stamps as Stamps
from edgerig_workload.events import Events
from edgerig_workload.faults import WorkerFault
from edgerig_workload.heat import Heat
from edgerig_workload.models import Loaded
from edgerig_workload.phases import Marks, no_collection
from edgerig_workload.protocol import Rules, settled
from edgerig_workload.trial import Inference

_WORDS = ("the", "small", "house", "by", "a", "river", "was", "old", "and", "its", "garden", "green")


@dataclass(frozen=True)
class Profile:
    """Everything that one request needs; `text` tokenises to at least `prompt_tokens` tokens."""

    engine: Engine
    shape: Inference
    text: str
    clock: Callable[[], int] = time.monotonic_ns

    def request(self) -> Stamps:
        """Run one request and return its stamps."""
        return self.engine.request(self.text, self.shape, self.clock)

    def instrumented(self, marks: Marks) -> None:
        """Run one request with its parts marked as phases."""
        self.engine.instrumented(self.text, self.shape, marks)


def prepare(loaded: Loaded, shape: Inference, engine: Engine | None = None, taken_tokens: int = 0) -> Profile:
    """Make the prompt of a profile for an engine, by default the loaded model itself.

    `taken_tokens` is the room that what was learnt takes before every prompt.

    Raises:
        WorkerFault: the lengths exceed the model's context (precondition), or the
            tokenizer makes no tokens out of plain words (bad_model).
    """
    asked = shape.prompt_tokens + shape.new_tokens
    if asked + taken_tokens > loaded.max_tokens:
        taken = f", and {taken_tokens} virtual tokens stand before them" if taken_tokens else ""
        raise WorkerFault(
            "precondition",
            f"inference.prompt_tokens + new_tokens is {asked}{taken}; the model's context holds "
            f"{loaded.max_tokens}: ask for {asked + taken_tokens - loaded.max_tokens} fewer",
        )
    return Profile(engine or InProcess(loaded), shape, prompt_text(loaded, shape.prompt_tokens))


def prompt_text(loaded: Loaded, token_count: int) -> str:
    """Return the shortest run of fixed words that has at least `token_count` tokens.

    Raises:
        WorkerFault: of class bad_model, where words make no tokens.
    """
    count = 1

    def text(words: int) -> str:
        return " ".join(_WORDS[place % len(_WORDS)] for place in range(words))

    while len(loaded.encode(text(count))) < token_count:
        count *= 2
        if count > 4 * max(token_count, len(_WORDS)):
            raise WorkerFault("bad_model", "the tokenizer makes no tokens out of plain English words")
    low = count // 2
    while count - low > 1:
        middle = (low + count) // 2
        low, count = (middle, count) if len(loaded.encode(text(middle))) < token_count else (low, middle)
    return text(count)


def warm_up(profile: Profile, rules: Rules) -> dict[str, Any]:
    """Run requests until the protocol's warm-up rule is met; return what is to be known of it."""
    medians_s: list[float] = []
    while not rules.warm(medians_s):
        medians_s.append(profile.request().gap_median_s())
    facts: dict[str, Any] = {"warmup_request_count": len(medians_s)}
    return {**facts, "warmup_settled": settled(medians_s)} if rules.asks_to_settle else facts


def measure(
    profile: Profile, rules: Rules, marks: Marks, events: Events, heat: Heat | None = None
) -> dict[str, Any]:
    """Run the measured block, report its requests, then run one more for peak memory.

    `heat` is asked in sustained mode only. Returns what is to be known of the block.
    """
    if rules.sustained_s and heat is None:
        heat = Heat(slope_c_per_min=rules.slope_c_per_min, window_s=rules.window_s)
    requests = _block(profile, rules, marks, heat)
    facts = _answer_facts(requests)
    if heat is not None:
        facts |= _heat_facts(heat)
        heat.close()
    for index, stamps in enumerate(requests):
        events.emit("request", _event(index, stamps, profile.shape))
    profile.instrumented(marks)
    return facts


def _heat_facts(heat: Heat) -> dict[str, Any]:
    if not heat.is_known:
        return {"block_ended_by": "time_without_thermal_zone"}
    settled = heat.settled()
    return {"block_settled": settled, "block_ended_by": "temperature" if settled else "time"}


def _answer_facts(requests: Sequence[Stamps]) -> dict[str, Any]:
    """Returns how many answers were short, and the tokens that the engine itself counted."""
    told = [stamps.told for stamps in requests if stamps.told is not None]
    short_count = sum(stamps.is_short for stamps in requests)
    facts: dict[str, Any] = {"short_answer_count": short_count} if short_count else {}
    return {**facts, "engine_token_count": sum(told)} if len(told) == len(requests) else facts


def _block(profile: Profile, rules: Rules, marks: Marks, heat: Heat | None) -> list[Stamps]:
    requests: list[Stamps] = []
    with no_collection(), marks.phase("inference"):
        began_mono_ns = profile.clock()
        while not rules.measured(
            len(requests),
            (profile.clock() - began_mono_ns) / 1e9,
            profile.shape.requests,
            heat is None or heat.settled(),
        ):
            requests.append(profile.request())
    return requests


def _event(index: int, stamps: Stamps, shape: Inference) -> dict[str, Any]:
    return {
        "index": index,
        "accept_mono_ns": stamps.accept_mono_ns,
        "model_mono_ns": stamps.model_mono_ns,
        "token_mono_ns": stamps.token_mono_ns,
        "tokens_in": shape.prompt_tokens if stamps.tokens_in is None else stamps.tokens_in,
        "tokens_out": len(stamps.token_mono_ns),
        "batch": shape.batch,
    }
