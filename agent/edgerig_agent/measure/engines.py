"""What the engine of a run said of itself, as figures; pure."""

from __future__ import annotations

from edgerig.v1.attempt_pb2 import PHASE_DECODE, PHASE_INFERENCE, PHASE_LOAD, Measurement, WorkerFacts
from edgerig_agent.measure.figures import Origin, figure

# A flag of runs in sustained mode whose block no thermometer ended.
SUSTAINED_BY_TIME = "sustained_by_time"


def engine_figures(facts: WorkerFacts | None) -> list[Measurement]:
    """Return the bytes of a request's key-value cache, the share of the model in memory before the load, and
    the tokens of the measured requests as a server counts them; each only where it is known."""
    if facts is None:
        return []
    found = []
    if facts.HasField("kv_cache_bytes"):
        origin = Origin("worker", "sum_of_tensors")
        found.append(figure("kv_cache_bytes", PHASE_DECODE, "last", float(facts.kv_cache_bytes), origin))
    if facts.HasField("page_cache_share"):
        origin = Origin("worker", "mincore_before_the_phase")
        found.append(figure("page_cache_share", PHASE_LOAD, "ratio", facts.page_cache_share, origin))
    if facts.HasField("engine_token_count"):
        origin = Origin("server_processes", "usage_of_the_answers")
        count = float(facts.engine_token_count)
        found.append(figure("engine_token_count", PHASE_INFERENCE, "sum", count, origin))
    return found


def engine_flags(facts: WorkerFacts) -> list[str]:
    """Return the flag of a sustained block that ended although temperatures moved, or could not be read."""
    return [SUSTAINED_BY_TIME] if facts.block_ended_by.startswith("time") else []
