"""What a self-test found, its verdict, and its words for a person; pure."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from edgerig_agent.selftest.comparison import Additivity, MeterFit
from edgerig_agent.selftest.response import Response

SCHEMA = 1
WIDTH = 80
# What follows which load; boundaries that are not named here follow every load.
_FOLLOWS = {"gpu_board": {"gpu"}, "cpu_pkg": {"cpu"}, "estimate": {"cpu"}}


@dataclass(frozen=True)
class Findings:
    """Everything that one self-test found. `skipped` are loads that could not be made, and why."""

    period_s: float
    responses: tuple[Response, ...]
    additivity: tuple[Additivity, ...]
    meters: tuple[MeterFit, ...]
    skipped: dict[str, str]

    def problems(self) -> list[str]:
        """Returns what should not be: totals that do not follow a load, rails beyond their total."""
        found = [
            f"{one.source} does not follow the {one.load} load: {_interval(one)}"
            for one in self.responses
            if _is_expected(one) and not one.responds
        ]
        found += [
            f"the rails of {one.total} are more than it under the {one.load} load"
            for one in self.additivity
            if not one.holds
        ]
        return found

    @property
    def passed(self) -> bool:
        """Tells whether nothing is amiss."""
        return bool(self.responses) and not self.problems()

    def document(self) -> dict[str, Any]:
        """Returns the findings as one JSON document."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "problems": self.problems(),
            "period_s": self.period_s,
            "skipped": self.skipped,
            "responses": [asdict(one) for one in self.responses],
            "additivity": [{**asdict(one), "holds": one.holds} for one in self.additivity],
            "meters": [asdict(one) for one in self.meters],
        }

    def lines(self) -> list[str]:
        """Returns the findings as text of at most 80 columns."""
        found = [
            f"{'load':<4} {'source':<24} {'idle':>7} {'off':>7} {'on':>7} {'lag':>8} {'new':>8}  follows",
        ]
        for one in self.responses:
            row = f"{one.load:<4} {_cut(one.source, 24):<24} {_watts(one.idle_w):>7} {_watts(one.off_w):>7} "
            row += f"{_watts(one.on_w):>7} {_ms(one.lag_s):>8} {_ms(one.update_s):>8}  {_follows(one)}"
            found.append(row.rstrip())
        for share in self.additivity:
            found += _wrapped(
                f"{share.load}: rails ({len(share.rails)}) are {_percent(share.idle_share)} of "
                f"{share.total} at rest, {_percent(share.response_share)} of its response"
            )
        for fit in self.meters:
            found += _wrapped(
                f"{fit.source} ({fit.boundary}) = {fit.gain:.4f} ± {fit.gain_error:.4f} x {fit.meter} "
                f"({fit.meter_boundary}) {fit.offset_w:+.3f} W, over {fit.point_count} windows"
            )
        for load, reason in self.skipped.items():
            found += _wrapped(f"no {load} load: {reason}")
        verdict = self.problems() or ["Every sensor follows its load."]
        return [*found, "", *(line for text in verdict for line in _wrapped(text))]


def _is_expected(response: Response) -> bool:
    if response.boundary == "rail":
        return False
    return response.load in _FOLLOWS.get(response.boundary, {"cpu", "gpu"})


def _follows(response: Response) -> str:
    if not _is_expected(response):
        return "yes" if response.responds else "-"
    return "yes" if response.responds else "NO"


def _interval(response: Response) -> str:
    if response.response_w is None or response.low_w is None or response.high_w is None:
        return "it gave too few values"
    return f"{response.response_w:+.3f} W, 95 % interval {response.low_w:+.3f} to {response.high_w:+.3f} W"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"..{text[2 - width :]}"


def _watts(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} W"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value * 1e3:.0f} ms"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.0%}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False) or [""]
