"""Flags that say how far a figure or a run can be trusted; pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgerig.v1.trial_pb2 import PROTOCOL_QUICK, Protocol
from edgerig_agent.measure.energy import MIN_COVERAGE

INDICATIVE = "indicative"
SELF_DISTURBED = "self_disturbed"
LOW_COVERAGE = "low_coverage"
SWAP_IN = "swap_in"
SAMPLER_LATE = "sampler_late"
SAMPLER_DIED = "sampler_died"
SOURCES_DISAGREE = "sources_disagree"
SHORT_WINDOW = "short_window"
IDLE_DRIFT = "idle_drift"
THROTTLED = "throttled"
CLOCK_LOW = "clock_low"
FOREIGN_LOAD = "foreign_load"
TRANSIENT = "transient"

MAX_OWN_CPU_SHARE = 0.005
MAX_LATE_P99_NS = 25_000_000
MAX_SOURCE_GAP = 0.05

# A run with one of these is not evidence, except that `quick` never claims to be.
INVALIDATING = frozenset(
    {
        *(LOW_COVERAGE, SWAP_IN, SAMPLER_LATE, SAMPLER_DIED, SOURCES_DISAGREE),
        *(THROTTLED, CLOCK_LOW, FOREIGN_LOAD),
    }
)


@dataclass(frozen=True)
class RunConditions:
    """What is known of a run besides its figures."""

    protocol: Protocol
    # Processor time of our own processes (without the sampler), as a share of one processor in the window.
    own_cpu_share: float
    # None where the sampler left no summary.
    late_p99_ns: int | None
    sampler_died: bool
    swapped_in_pages: int


def protocol_flags(protocol: Protocol) -> tuple[str, ...]:
    """Returns the flags that every energy and latency figure of a protocol carries."""
    return (INDICATIVE,) if protocol == PROTOCOL_QUICK else ()


def coverage_flags(coverage: float) -> tuple[str, ...]:
    """Returns `low_coverage` where samples cover less than 98 % of the window."""
    return (LOW_COVERAGE,) if coverage < MIN_COVERAGE else ()


def sources_disagree(one_j: float, other_j: float) -> bool:
    """Tells whether two readings of the same boundary differ by more than 5 %."""
    return abs(one_j - other_j) > MAX_SOURCE_GAP * max(abs(one_j), abs(other_j))


def run_flags(conditions: RunConditions) -> list[str]:
    """Returns the flags of the whole run, in a fixed order."""
    flags = list(protocol_flags(conditions.protocol))
    if conditions.own_cpu_share > MAX_OWN_CPU_SHARE:
        flags.append(SELF_DISTURBED)
    if conditions.swapped_in_pages > 0:
        flags.append(SWAP_IN)
    if conditions.sampler_died:
        flags.append(SAMPLER_DIED)
    if conditions.late_p99_ns is not None and conditions.late_p99_ns > MAX_LATE_P99_NS:
        flags.append(SAMPLER_LATE)
    return flags


def is_invalid(protocol: Protocol, flags: list[str]) -> bool:
    """Tells whether a finished run is no evidence; a quick run stays what it is, indicative."""
    return protocol != PROTOCOL_QUICK and not INVALIDATING.isdisjoint(flags)
