"""The report of guidelines as an object; how it is worded in markup and drawn is the renderer's.

Every sentence that states something measured carries the ids of the attempts
behind it. A section without data carries the reason in `empty`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgerig_controller.evidence.judge import Guide
from edgerig_controller.evidence.runs import Notice
from edgerig_controller.guidelines.contamination import Contamination
from edgerig_controller.guidelines.guideline import Guideline
from edgerig_controller.guidelines.pareto import Volume
from edgerig_controller.guidelines.utility import Utility


@dataclass(frozen=True)
class Amount:
    """An estimate with its 95 % interval, where it has one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Choice:
    """One line of the decision table: what to deploy on a task in a tier, and how sure that is.

    Chosen on one half of the users (and seeds), estimated on the other.
    `certainty` is clear, either or single; `rivals` cannot be told from it.
    """

    task: str
    metric: str
    config: str
    quality: Amount
    certainty: str
    rivals: tuple[str, ...]
    cheapest: str
    peak_bytes: float | None
    ttft_s: float | None
    j_per_request: float | None
    boundary: str
    failed: tuple[str, ...]
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class TierTable:
    """The decisions of one size of memory."""

    name: str
    emulated: bool
    devices: tuple[str, ...]
    choices: tuple[Choice, ...]
    empty: str


@dataclass(frozen=True)
class CoverageCell:
    """The states of the runs of one configuration on one task: (state, how many, attempt ids)."""

    states: tuple[tuple[str, int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class CoverageRow:
    config: str
    cells: tuple[CoverageCell, ...]


@dataclass(frozen=True)
class Coverage:
    """Every configuration on every task; `excluded` are combinations that were never to run."""

    tasks: tuple[str, ...]
    rows: tuple[CoverageRow, ...]
    excluded: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class FrontPoint:
    """A configuration on the plane of quality and one cost; `state` as in pareto.Member."""

    config: str
    quality: Amount
    cost: Amount
    probability: float
    state: str
    emulated: bool
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """One coordinate of the reference point of hypervolumes, in `unit`; quality's is 0 points."""

    axis: str
    value: float
    unit: str


@dataclass(frozen=True)
class FrontPlot:
    """Who is worth choosing on one device and task; `axes` says what dominance looked at.

    `volumes` compares methods by the hypervolume of their fronts, as a share of the box between
    the reference point and 100 points at no cost. `best` is how probably each
    configuration has the highest declared utility; empty where none was declared.
    """

    device: str
    task: str
    cost: str
    unit: str
    axes: tuple[str, ...]
    points: tuple[FrontPoint, ...]
    left_out: tuple[tuple[str, str], ...]
    reference: tuple[Reference, ...] = ()
    volumes: tuple[Volume, ...] = ()
    best: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Fronts:
    """`more` counts plots that are not shown."""

    plots: tuple[FrontPlot, ...]
    empty: str
    more: int = 0


@dataclass(frozen=True)
class CurvePoint:
    """`label` names a position that is no number, such as `all`."""

    x: float
    label: str
    y: Amount
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    name: str
    points: tuple[CurvePoint, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Returns the attempts behind all of its points."""
        return tuple(dict.fromkeys(attempt_id for point in self.points for attempt_id in point.run_ids))


@dataclass(frozen=True)
class CurvePlot:
    """Curves of one task over one amount."""

    task: str
    title: str
    x_name: str
    y_name: str
    curves: tuple[Curve, ...]
    left_out: int


@dataclass(frozen=True)
class Curves:
    plots: tuple[CurvePlot, ...]
    empty: str
    note: str = ""


@dataclass(frozen=True)
class RuleSection:
    """A rule that generalises, or the best fixed action and why there is no rule."""

    words: str
    published: bool
    fixed_action: str
    # (what is left out, gain of the rule, regret of rule, of the fixed action, of chance), in points.
    validations: tuple[tuple[str, Amount | None, float, float, float], ...]
    stability: str
    contexts: int
    empty: str
    # What a deployment is worth, in words.
    utility: str = ""


@dataclass(frozen=True)
class HardnessTable:
    """D1 to D5 of the tasks and how far their ranks agree; `correlations` are (a, b, Spearman's)."""

    measures: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    correlations: tuple[tuple[str, str, float], ...]
    note: str


@dataclass(frozen=True)
class PublishedRow:
    """A statement of arXiv 2406.03777 and what our records say of it."""

    statement_id: str
    statement: str
    verdicts: tuple[Guideline, ...]
    comment: str


@dataclass(frozen=True)
class RawRun:
    """One planned run; `anchor` is its place in the page."""

    anchor: str
    attempt_id: str
    study: str
    config: str
    task: str
    seed: int
    repeat: int
    device: str
    state: str
    quality: float | None
    environment: str
    message: str


@dataclass(frozen=True)
class GuideReport:
    """Everything that the page says, in its order."""

    title: str
    written_unix_s: float
    guide: Guide
    tiers: tuple[TierTable, ...]
    coverage: Coverage
    fronts: Fronts
    budgets: Curves
    histories: Curves
    interactions: Curves
    rules: RuleSection
    utility: Utility
    hardness: HardnessTable
    contamination: tuple[Contamination, ...]
    published: tuple[PublishedRow, ...]
    threats: tuple[str, ...]
    limits: tuple[str, ...]
    notices: tuple[Notice, ...]
    raw: tuple[RawRun, ...]
