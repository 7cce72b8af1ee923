"""What an engine says of itself, as figures and a flag."""

from __future__ import annotations

import pytest

from edgerig.v1.attempt_pb2 import PHASE_DECODE, PHASE_LOAD, WorkerFacts
from edgerig_agent.measure.engines import SUSTAINED_BY_TIME, engine_figures, engine_flags


def test_what_is_known_becomes_a_figure_and_zero_is_known() -> None:
    found = engine_figures(WorkerFacts(kv_cache_bytes=4096, page_cache_share=0.0))

    assert [(one.name, one.phase, one.value) for one in found] == [
        ("kv_cache_bytes", PHASE_DECODE, 4096.0),
        ("page_cache_share", PHASE_LOAD, 0.0),
    ]
    assert engine_figures(WorkerFacts()) == engine_figures(None) == []


def test_a_servers_count_is_the_servers() -> None:
    (found,) = engine_figures(WorkerFacts(engine_token_count=160))
    assert (found.name, found.value, found.source) == ("engine_token_count", 160.0, "server_processes")


@pytest.mark.parametrize(
    ("ended_by", "flags"),
    [
        ("", []),
        ("temperature", []),
        ("time", [SUSTAINED_BY_TIME]),
        ("time_without_thermal_zone", [SUSTAINED_BY_TIME]),
    ],
)
def test_a_block_that_no_thermometer_ended_is_flagged(ended_by: str, flags: list[str]) -> None:
    assert engine_flags(WorkerFacts(block_ended_by=ended_by)) == flags
