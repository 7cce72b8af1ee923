"""The numbers of each named protocol, and a trial's own in their place; pure.

The worker has the same windows in `edgerig_workload.protocol`; the two packages
never import each other, and a test holds them against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from edgerig.v1.trial_pb2 import PROTOCOL_PUBLISHABLE, PROTOCOL_QUICK, PROTOCOL_STANDARD, Trial

SHORTENED = "shortened_protocol"


@dataclass(frozen=True)
class Parameters:
    """How an attempt is framed: windows, waits, and what must hold at the start."""

    # Whether the conditions decide about the start; where not, they are only recorded.
    checks: bool
    idle_s: float
    warmup_most: int
    block_s: float
    block_requests: int
    # Least length of a block in sustained mode; 0 = it is not asked for.
    sustained_s: float
    # Longest wait for the preconditions, and for cooling down afterwards.
    wait_s: float
    cooldown_s: float
    # How far above its idle base a temperature may be at the start.
    temperature_margin_c: float
    # Load average of one minute, as a share of the processors.
    load_share: float
    # Time over which temperatures stand still before they are taken as the idle base.
    settle_s: float


_STANDARD = Parameters(True, 30.0, 20, 30.0, 20, 0.0, 600.0, 600.0, 3.0, 0.2, 60.0)
_NAMED = {
    PROTOCOL_QUICK: Parameters(False, 1.0, 2, 0.0, 20, 0.0, 0.0, 0.0, 3.0, 0.2, 0.0),
    PROTOCOL_STANDARD: _STANDARD,
    PROTOCOL_PUBLISHABLE: replace(_STANDARD, block_s=60.0),
}
_OVERRIDABLE = tuple(field.name for field in fields(Parameters) if field.name != "checks")
# Larger is laxer for these; for all others smaller is.
_UPPER_LIMITS = frozenset({"temperature_margin_c", "load_share"})
# A shorter wait makes nothing laxer: what it does not see is a failure.
_INDIFFERENT = frozenset({"wait_s"})


def named(trial: Trial) -> Parameters:
    """Returns the numbers of the protocol that the trial names."""
    return _NAMED.get(trial.protocol, _NAMED[PROTOCOL_QUICK])


def parameters(trial: Trial) -> Parameters:
    """Returns the numbers that hold for a trial: its protocol's, and its own in their place."""
    own = trial.protocol_overrides
    given = {name: getattr(own, name) for name in _OVERRIDABLE if own.HasField(name)}
    return replace(named(trial), **given)


def is_shortened(trial: Trial) -> bool:
    """Tells whether a trial asks for less than the protocol whose name it carries."""
    asked, own = named(trial), parameters(trial)
    if not asked.checks:
        return False
    for name in _OVERRIDABLE:
        want, have = getattr(asked, name), getattr(own, name)
        laxer = have > want if name in _UPPER_LIMITS else have < want
        if laxer and name not in _INDIFFERENT:
            return True
    return False


def framing_s(trial: Trial) -> float:
    """Returns the longest time that an attempt may be silent beyond its worker's budget."""
    own = parameters(trial)
    return own.wait_s + own.cooldown_s
