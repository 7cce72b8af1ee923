"""Worker reports with known times, for the modules that reduce them."""

from __future__ import annotations

from collections.abc import Sequence

from edgerig.v1.attempt_pb2 import Measurement, Phase, PhaseInterval, Request, TrainStep

S = 1_000_000_000
MS = 1_000_000


def request(
    index: int, accept_ns: int, *, prefill_ns: int, gaps_ns: Sequence[int], tokens_in: int = 64
) -> Request:
    """Makes a request: tokenisation takes 1 ms, then prefill, then a token after each gap."""
    model_ns = accept_ns + MS
    tokens = [model_ns + prefill_ns]
    for gap_ns in gaps_ns:
        tokens.append(tokens[-1] + gap_ns)
    return Request(
        index=index,
        accept_mono_ns=accept_ns,
        model_mono_ns=model_ns,
        token_mono_ns=tokens,
        tokens_in=tokens_in,
        tokens_out=len(tokens),
        batch=1,
    )


def step(index: int, begin_ns: int, duration_ns: int, *, tokens: int = 100, samples: int = 4) -> TrainStep:
    """Makes a training step."""
    end_ns = begin_ns + duration_ns
    return TrainStep(index=index, begin_mono_ns=begin_ns, end_mono_ns=end_ns, tokens=tokens, samples=samples)


def interval(phase: Phase, begin_ns: int, end_ns: int, rss_peak_bytes: int | None = None) -> PhaseInterval:
    """Makes an interval of a phase, with an exact peak where one is given."""
    made = PhaseInterval(phase=phase, begin_mono_ns=begin_ns, end_mono_ns=end_ns)
    if rss_peak_bytes is not None:
        made.rss_peak_bytes = rss_peak_bytes
        made.rss_peak_method = "vmhwm_reset"
    return made


def find(
    figures: Sequence[Measurement], name: str, statistic: str, phase: Phase | None = None
) -> Measurement:
    """Returns the only figure with this name, statistic and phase."""
    (found,) = [
        one
        for one in figures
        if one.name == name and one.statistic == statistic and phase in (None, one.phase)
    ]
    return found
