"""The worker's events by kind."""

from edgerig.v1.attempt_pb2 import (
    PHASE_DECODE,
    PHASE_INFERENCE,
    PHASE_LOAD,
    PHASE_PREFILL,
    PHASE_TRAIN,
    PhaseBegin,
    WorkerDone,
    WorkerEvent,
    WorkerFacts,
)
from edgerig_agent.measure.events import collect
from tests.fakes.reports import MS, interval, request


def test_the_phase_that_had_begun_when_the_worker_fell_silent_is_known() -> None:
    report = collect(
        [
            WorkerEvent(phase_begin=PhaseBegin(phase=PHASE_LOAD)),
            WorkerEvent(phase=interval(PHASE_LOAD, 0, 1)),
            WorkerEvent(phase_begin=PhaseBegin(phase=PHASE_TRAIN)),
        ]
    )
    assert report.open_phase == PHASE_TRAIN
    assert not report.is_done


def test_after_its_interval_a_phase_is_not_open() -> None:
    report = collect(
        [
            WorkerEvent(phase_begin=PhaseBegin(phase=PHASE_LOAD)),
            WorkerEvent(phase=interval(PHASE_LOAD, 0, 1)),
            WorkerEvent(done=WorkerDone()),
        ]
    )
    assert report.open_phase is None
    assert report.is_done


def test_prefill_and_decode_are_those_of_the_measured_requests() -> None:
    report = collect(
        [
            WorkerEvent(request=request(0, 0, prefill_ns=10 * MS, gaps_ns=[5 * MS, 5 * MS])),
            # An extra request that is only there for its peak memory.
            WorkerEvent(phase=interval(PHASE_PREFILL, 900 * MS, 990 * MS)),
        ]
    )
    assert report.windows(PHASE_PREFILL) == [(1 * MS, 11 * MS)]
    assert report.windows(PHASE_DECODE) == [(11 * MS, 21 * MS)]


def test_phases_come_in_the_order_of_their_begin() -> None:
    report = collect(
        [
            WorkerEvent(phase=interval(PHASE_INFERENCE, 50, 60)),
            WorkerEvent(phase=interval(PHASE_LOAD, 10, 20)),
        ]
    )
    assert report.phases() == [PHASE_LOAD, PHASE_INFERENCE]


def test_later_facts_complete_earlier_ones() -> None:
    report = collect(
        [
            WorkerEvent(facts=WorkerFacts(torch="2.6", threads=1)),
            WorkerEvent(facts=WorkerFacts(train_token_count=7)),
        ]
    )
    assert report.facts == WorkerFacts(torch="2.6", threads=1, train_token_count=7)
