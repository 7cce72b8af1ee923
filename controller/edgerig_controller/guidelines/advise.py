"""What to deploy: measured configurations held against a person's limits, and how sure that is.

Only what was measured counts. A configuration is excluded if a limit is broken,
`unsure` if the interval of a figure spans the limit, if only one run stands
behind it, or if a limited figure was not measured; else it fits. Memory is a limit and not an average: the
largest run plus a margin must fit. The probability of being the best comes from
joint replicates of quality, so that users who are hard for all configurations
do not blur differences between them. Nothing is carried from one device or power
boundary to another. Pure: arrays in, objects out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgerig_controller.guidelines.estimate import mean_interval, spread_of_mean, t_quantile
from edgerig_controller.guidelines.joint import replicates
from edgerig_controller.guidelines.matching import TaskEvidence
from edgerig_controller.guidelines.pareto import best_by_utility
from edgerig_controller.guidelines.resources import Ratio, RunTable, fieller, upper_bound
from edgerig_controller.guidelines.scores import POINTS, Config

RAM_MARGIN = 0.10
# Memory of the process on the host, and what an integrated GPU takes of the same chips besides.
HOST_MEMORY, SHARED_GPU_MEMORY = "rss_peak_bytes", "nvmap_peak_bytes"
ONE_RUN = "one run: no interval"
State = Literal["fits", "unsure", "excluded"]


@dataclass(frozen=True)
class Limits:
    """What a configuration must keep; None = no limit. Latency is of one whole request."""

    ram_bytes: float | None = None
    latency_s: float | None = None
    energy_j: float | None = None
    ram_margin: float = RAM_MARGIN


@dataclass(frozen=True)
class Amount:
    """A figure with its interval over runs (or users and seeds); `value` None = not measured, see `note`."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str


@dataclass(frozen=True)
class BreakEven:
    """After how many requests training pays for itself against a configuration that retrieves."""

    against: str
    requests: Ratio
    days: float | None


@dataclass(frozen=True)
class Option:
    """One configuration on one device. `ram` is the largest run, its `high` that plus the margin.

    `reasons` say what is broken or unsure. Quality is in points of a hundred.
    """

    config_id: str
    device: str
    state: State
    reasons: tuple[str, ...]
    quality: Amount
    ram: Amount
    latency_s: Amount
    energy_j: Amount
    train_j: Amount
    train_s: Amount
    daily_j: float | None
    probability_best: float | None
    break_even: tuple[BreakEven, ...]
    factors: Mapping[str, Any]


@dataclass(frozen=True)
class Advice:
    """Advice for one task: options that fit or may fit, the best first; what is excluded or unknown."""

    task: str
    metric: str
    boundary: str
    options: tuple[Option, ...]
    excluded: tuple[Option, ...]
    not_measured: tuple[str, ...]
    notes: tuple[str, ...]


def advise(
    task: TaskEvidence,
    configs: Sequence[Config],
    tables: Sequence[RunTable],
    limits: Limits,
    *,
    boundary: str,
    new_tokens: int,
    requests_per_day: float | None = None,
) -> Advice:
    """Lists what a person may deploy for a task, by quality.

    Args:
        task: its scores and failed cells.
        configs: all configurations of the records.
        tables: figures of runs on the devices that count, any boundary.
        limits: to be kept.
        boundary: of the power figures that count; '' where power was not measured.
        new_tokens: length of an answer, for the latency of a whole request.
        requests_per_day: for energy per day and days to break-even.
    """
    factors = {config.config_id: config.factors for config in configs}
    devices = sorted({table.device for table in tables})
    found = [
        _option(task, name, device, factors[name], tables, limits, boundary, new_tokens, requests_per_day)
        for name in task.table.configs
        for device in devices
        if task.table.has(name) and _measured_on(tables, device, name)
    ]
    kept = [option for option in found if option.state != "excluded"]
    shares, notes = best_shares(task, sorted({option.config_id for option in kept}))
    by_name = {(option.config_id, option.device): option for option in kept}
    options = [
        _completed(option, by_name, tables, boundary, shares.get(option.config_id), requests_per_day)
        for option in kept
    ]
    options.sort(key=lambda option: (-(option.quality.value or 0.0), option.config_id, option.device))
    unknown = _not_measured(task, sorted({option.config_id for option in found}))
    excluded = tuple(option for option in found if option.state == "excluded")
    return Advice(
        task.table.task, task.metric, boundary, tuple(options), excluded, unknown, (*notes, *_scope(devices))
    )


def best_shares(task: TaskEvidence, names: Sequence[str]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Returns how probably each configuration has the highest quality, and what to know of that.

    Replicates are multivariate t: the covariance of configurations over users
    and over seeds, of the users and seeds that all of them share. No shares
    below two users: nothing is known about other users then.
    """
    if not names:
        return {}, ()
    if len(names) == 1:
        return {names[0]: 1.0}, ("one configuration is left: it is the best of one",)
    per_config = [task.table.user_means({name: 1.0}) for name in names]
    known = [entry.means for entry in per_config if entry is not None]
    users = {means.shape[0] for means in known}
    if len(known) < len(names) or len(users) != 1 or users == {1}:
        return {}, ("how probably each is the best is not known: no two users were scored on all of them",)
    found = replicates(known)
    shares = best_by_utility(names, found.draws[..., None], lambda drawn: drawn[..., 0])
    return shares, (f"probabilities of being best: t with {found.df:.3g} degrees of freedom{found.note}",)


def _option(
    task: TaskEvidence,
    name: str,
    device: str,
    factors: Mapping[str, Any],
    tables: Sequence[RunTable],
    limits: Limits,
    boundary: str,
    new_tokens: int,
    requests_per_day: float | None,
) -> Option:
    mine = [table for table in tables if table.device == device and table.boundary in ("", boundary)]
    ram, latency = _ram(mine, name, limits.ram_margin), _over_runs(request_latency(mine, name, new_tokens))
    energy = _over_runs(_runs(mine, "j_per_request", name))
    broken, unsure = _against(limits, ram, latency, energy)
    if task.emulated:
        unsure.append("measured under an emulated memory limit only")
    return Option(
        config_id=name,
        device=device,
        state="excluded" if broken else "unsure" if unsure else "fits",
        reasons=tuple(broken or unsure),
        quality=_quality(task, name),
        ram=ram,
        latency_s=latency,
        energy_j=energy,
        train_j=_over_runs(_runs(mine, "train_j", name)),
        train_s=_over_runs(_runs(mine, "train_s", name)),
        daily_j=None if requests_per_day is None or energy.value is None else requests_per_day * energy.value,
        probability_best=None,
        break_even=(),
        factors=factors,
    )


def _against(limits: Limits, ram: Amount, latency: Amount, energy: Amount) -> tuple[list[str], list[str]]:
    """Returns what is broken and what is not sure."""
    broken, unsure = [], []
    if limits.ram_bytes is not None:
        if ram.value is None or ram.high is None:
            unsure.append("peak memory was not measured")
        elif ram.high > limits.ram_bytes:
            broken.append(
                f"memory: {ram.high / 2**20:.4g} MiB with the margin, "
                f"the limit is {limits.ram_bytes / 2**20:.4g} MiB"
            )
    for what, amount, limit, scale, unit in (
        ("latency of a request", latency, limits.latency_s, 1e3, "ms"),
        ("energy of a request", energy, limits.energy_j, 1.0, "J"),
    ):
        if limit is None:
            continue
        if amount.value is None:
            unsure.append(f"{what} was not measured")
        elif amount.value > limit:
            broken.append(
                f"{what}: {scale * amount.value:.4g} {unit}, the limit is {scale * limit:.4g} {unit}"
            )
        elif amount.high is None:
            unsure.append(f"{what}: {ONE_RUN}")
        elif amount.high > limit:
            unsure.append(
                f"{what}: up to {scale * amount.high:.4g} {unit}, the limit is {scale * limit:.4g} {unit}"
            )
    return broken, unsure


def request_latency(tables: Sequence[RunTable], name: str, new_tokens: int) -> tuple[float, ...]:
    """Returns seconds from a request to its last token, one per run.

    As measured (`e2e_s`), else the time to the first token and all further ones.
    """
    whole = _runs(tables, "e2e_s", name)
    if whole:
        return whole
    for table in tables:
        first, further = table.runs("ttft_s", name), table.runs("tpot_s", name)
        if first and len(first) == len(further):
            return tuple(a + (new_tokens - 1) * b for a, b in zip(first, further, strict=True))
    return ()


def _ram(tables: Sequence[RunTable], name: str, margin: float) -> Amount:
    host = _runs(tables, HOST_MEMORY, name)
    if not host:
        return Amount(None, None, None, 0, "not measured")
    gpu = max(_runs(tables, SHARED_GPU_MEMORY, name), default=0.0)
    largest = max(host) + gpu
    return Amount(
        largest, None, upper_bound([largest], margin=margin), len(host), "largest run; bound with margin"
    )


def _runs(tables: Sequence[RunTable], figure: str, name: str) -> tuple[float, ...]:
    return next((runs for table in tables if (runs := table.runs(figure, name))), ())


def _over_runs(values: Sequence[float]) -> Amount:
    found = mean_interval(values)
    if found.estimate is None:
        return Amount(None, None, None, 0, "not measured")
    low = None if found.low is None else max(0.0, found.low)
    return Amount(found.estimate, low, found.high, found.n, found.note)


def _quality(task: TaskEvidence, name: str) -> Amount:
    means = task.table.user_means({name: 1.0})
    if means is None:
        return Amount(None, None, None, 0, "no item was scored under every seed")
    spread = spread_of_mean(means.means)
    value = POINTS * float(means.means.mean())
    if spread.variance is None:
        return Amount(value, None, None, means.n_items, spread.note)
    half = POINTS * t_quantile(0.95, spread.df) * math.sqrt(spread.variance)
    # No score lies outside 0 to 100, so that cutting the interval there loses no truth.
    return Amount(value, max(0.0, value - half), min(POINTS, value + half), means.n_items, spread.note)


def _completed(
    option: Option,
    others: Mapping[tuple[str, str], Option],
    tables: Sequence[RunTable],
    boundary: str,
    share: float | None,
    requests_per_day: float | None,
) -> Option:
    """Adds the probability of being best and, for a configuration that trains, its break-even points."""
    mine = [table for table in tables if table.device == option.device and table.boundary in ("", boundary)]
    rivals = [
        other
        for (_, device), other in sorted(others.items())
        if device == option.device and _rival(option, other)
    ]
    points = []
    if option.train_j.value is not None:
        for other in rivals:
            ratio = fieller(
                _runs(mine, "train_j", option.config_id),
                _runs(mine, "j_per_request", other.config_id),
                _runs(mine, "j_per_request", option.config_id),
            )
            if ratio.estimate is not None and ratio.estimate < 0:
                ratio = Ratio(
                    None, None, None, "no finite break-even: a request costs more than with retrieval"
                )
            days = None
            if requests_per_day and ratio.estimate is not None:
                days = ratio.estimate / requests_per_day
            points.append(BreakEven(other.config_id, ratio, days))
    return Option(**{**vars(option), "probability_best": share, "break_even": tuple(points)})


def _rival(option: Option, other: Option) -> bool:
    """Tells whether the other retrieves instead of training, all else equal."""

    def rest(found: Option) -> dict[str, Any]:
        return {name: value for name, value in found.factors.items() if name not in ("method", "budget")}

    return _kind(other) == "rag" and _kind(option) != "rag" and rest(option) == rest(other)


def _kind(option: Option) -> str:
    method = option.factors.get("method")
    return str(method.get("kind", "")) if isinstance(method, Mapping) else str(method)


def _measured_on(tables: Sequence[RunTable], device: str, name: str) -> bool:
    return any(
        table.device == device and any(name in configs for configs in table.figures.values())
        for table in tables
    )


def _not_measured(task: TaskEvidence, measured: Sequence[str]) -> tuple[str, ...]:
    found = []
    for name in task.table.configs:
        states = sorted({cell.status for cell in task.failed if cell.config_id == name})
        if name not in measured:
            found.append(f"{name}: {', '.join(states) or 'not measured on this device'}")
    return tuple(found)


def _scope(devices: Sequence[str]) -> tuple[str, ...]:
    return (f"time, energy and memory hold for {', '.join(devices)} only",) if devices else ()
