"""The inference profile: forced lengths, order of stamps, and what is refused."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")

from edgerig_workload import models  # noqa: E402 - imports torch at its top
from edgerig_workload.infer import profile  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402
from edgerig_workload.protocol import Rules  # noqa: E402
from edgerig_workload.trial import Inference  # noqa: E402

RULES = Rules(idle_s=0.0, warmup_least=2, warmup_most=2, block_least_s=0.0, requests_least=1)


@pytest.fixture(scope="module")
def loaded(llama_folder: Path) -> Any:
    return models.load(llama_folder, "auto", torch.device("cpu"))


@pytest.mark.parametrize("token_count", [1, 7, 200])
def test_prompt_has_the_tokens_asked_for_and_no_spare_word(loaded: Any, token_count: int) -> None:
    text = profile.prompt_text(loaded, token_count)

    shorter = text.rpartition(" ")[0]
    assert len(loaded.encode(text)) >= token_count
    assert not shorter or len(loaded.encode(shorter)) < token_count


def test_request_is_stamped_in_order_with_every_token(loaded: Any) -> None:
    clock = count(100)
    prepared = profile.prepare(loaded, Inference(8, 5, 2, 1))
    stamps = profile.Profile(
        prepared.engine, prepared.shape, prepared.text, clock=lambda: next(clock)
    ).request()

    assert (stamps.accept_mono_ns, stamps.model_mono_ns) == (100, 101)
    assert stamps.token_mono_ns == [102, 103, 104, 105, 106]


def test_measured_requests_go_out_after_the_block(loaded: Any, recorder: Any) -> None:
    prepared = profile.prepare(loaded, Inference(8, 3, 1, 4))

    profile.measure(prepared, RULES, Marks(recorder, ProcResidentSet()), recorder)

    kinds = [kind for kind, _ in recorder.events]
    assert kinds[:6] == ["phase_begin", "phase", *["request"] * 4]


def test_prefill_and_decode_are_marked_once_with_their_peaks(loaded: Any, recorder: Any) -> None:
    prepared = profile.prepare(loaded, Inference(8, 3, 1, 1))

    profile.measure(prepared, RULES, Marks(recorder, ProcResidentSet()), recorder)

    phases = [event["phase"] for event in recorder.of("phase") if event["rss_peak_bytes"]]
    assert phases == ["PHASE_INFERENCE", "PHASE_PREFILL", "PHASE_DECODE"]


def test_lengths_beyond_the_context_are_refused(loaded: Any) -> None:
    with pytest.raises(WorkerFault, match="context holds 256") as caught:
        profile.prepare(loaded, Inference(250, 7, 1, 1))

    assert caught.value.failure_class == "precondition"


def test_virtual_tokens_count_against_the_context(loaded: Any) -> None:
    profile.prepare(loaded, Inference(8, 4, 1, 1), taken_tokens=244)

    with pytest.raises(WorkerFault, match=r"245 virtual tokens .* ask for 1 fewer") as caught:
        profile.prepare(loaded, Inference(8, 4, 1, 1), taken_tokens=245)

    assert caught.value.failure_class == "precondition"


def test_median_gap_leaves_out_the_first_token() -> None:
    stamps = profile.Stamps(0, 0, [10**9, 10**9 + 2, 10**9 + 4])

    assert stamps.gap_median_s() == pytest.approx(2e-9)


class Cooling:
    """Temperatures that stand still from the given look on; each look is a second later."""

    def __init__(self, still_after: int, *, is_known: bool = True) -> None:
        self.looks = 0
        self.still_after = still_after
        self.is_known = is_known
        self.closed = False

    def settled(self) -> bool:
        self.looks += 1
        return self.looks >= self.still_after

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("still_after", "requests", "settled"), [(5, 5, True), (10**6, 18, False)])
def test_a_sustained_block_goes_on_until_the_device_is_warm(
    loaded: Any, recorder: Any, still_after: int, requests: int, settled: bool
) -> None:
    rules = Rules(0.0, 2, 2, 0.0, 1, sustained_s=3.0)
    prepared = profile.prepare(loaded, Inference(8, 1, 1, 1))
    # Three looks at the clock for each request, one for each check: a request takes a second.
    clock = count(0, 250_000_000)
    timed = profile.Profile(prepared.engine, prepared.shape, prepared.text, clock=lambda: next(clock))
    heat: Any = Cooling(still_after)

    facts = profile.measure(timed, rules, Marks(recorder, ProcResidentSet()), recorder, heat)

    assert len(recorder.of("request")) == pytest.approx(requests, abs=1)
    assert facts == {"block_settled": settled, "block_ended_by": "temperature" if settled else "time"}
    assert heat.closed


def test_without_thermometers_nothing_is_said_of_heat(loaded: Any, recorder: Any) -> None:
    rules = Rules(0.0, 2, 2, 0.0, 1, sustained_s=0.001)
    prepared = profile.prepare(loaded, Inference(8, 1, 1, 1))
    heat: Any = Cooling(1, is_known=False)

    assert profile.measure(prepared, rules, Marks(recorder, ProcResidentSet()), recorder, heat) == {
        "block_ended_by": "time_without_thermal_zone"
    }


def test_a_warm_up_says_how_long_it_was_and_whether_it_settled(loaded: Any) -> None:
    prepared = profile.prepare(loaded, Inference(8, 3, 1, 1))

    quick = profile.warm_up(prepared, RULES)
    patient = profile.warm_up(prepared, Rules(0.0, 3, 4, 0.0, 1))

    assert quick == {"warmup_request_count": 2}
    assert patient["warmup_request_count"] in (3, 4)
    assert isinstance(patient["warmup_settled"], bool)
