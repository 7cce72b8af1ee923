"""The study file as frozen values: which keys exist and what each of them takes.

Shapes only. Which methods, compressions, tasks and metrics exist is said by
the workload's catalogue; whether models and data exist, by `data`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from edgerig_controller.study.crossed import Exclude, Factors, TaskEntry
from edgerig_controller.study.labels import MAX_CHARS
from edgerig_controller.study.labels import check as check_label
from edgerig_controller.study.servers import Server
from edgerig_controller.study.values import COUNT_MOST, Frozen, Name, Selector, Text

SCHEMA_VERSION = 1
SEED_MOST = 2**31 - 1
_DAYS_30_S = 30 * 24 * 3600.0
_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})\s*")


def _bytes(value: Any) -> Any:
    """Turns `2GiB` into bytes; everything else is left to the number check."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("expected bytes as a whole number, or text such as 512MiB, 2GiB, 4GB")
    return round(float(match[1]) * _UNITS[match[2].lower()])


def _expressions(value: Any) -> Any:
    """Lets `orin and not nx` stand for a list of one."""
    if isinstance(value, str):
        return (value,)
    # What went through a validator of ours is no longer JSON: strict tuples want a tuple.
    return tuple(value) if isinstance(value, list) else value


LabelExpression: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_CHARS), AfterValidator(check_label)
]


class Devices(Frozen):
    """Which devices may run the trials: by name, or by having all of the labels."""

    names: tuple[Name, ...] = Field(default=(), max_length=1000, description="Ids of enrolled devices.")
    labels: Annotated[
        tuple[LabelExpression, ...],
        BeforeValidator(_expressions, json_schema_input_type=tuple[LabelExpression, ...] | LabelExpression),
    ] = Field(
        default=(),
        max_length=32,
        description="A device must carry all of them. One text alone, and each of the list, may be an "
        "expression of `and`, `or`, `not` and brackets: `orin and not nx`.",
    )


class TrainBudget(Frozen):
    """Stop rules of training, whichever comes first; 0 means not limited by it."""

    samples: int = Field(default=0, ge=0, le=COUNT_MOST)
    tokens: int = Field(default=0, ge=0, le=COUNT_MOST)
    steps: int = Field(default=0, ge=0, le=COUNT_MOST)
    duration_s: float = Field(default=0.0, ge=0, le=_DAYS_30_S)
    energy_j: float = Field(
        default=0.0,
        ge=0,
        le=1e12,
        description="By the widest power figure that the device has; an attempt without any fails.",
    )
    points: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(),
        max_length=1000,
        description="Shares of the budget, ascending, at which training pauses and all items are scored.",
    )
    patience_points: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Ends training after so many points without a lower loss on held-out training pairs and "
        "keeps the best; 0: never.",
    )
    held_out_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the training pairs held out for patience; 0: a tenth.",
    )


class AttemptBudget(Frozen):
    """Limits of one attempt."""

    duration_s: float = Field(
        default=3600.0,
        gt=0,
        le=_DAYS_30_S,
        description="Wall time after which the attempt ends with class `timeout`.",
    )
    memory: Annotated[
        int, Field(ge=0, le=2**53), BeforeValidator(_bytes, json_schema_input_type=int | str)
    ] = Field(
        default=0,
        description="Address-space limit that emulates a smaller box (`2GiB`, or bytes); 0 means none.",
    )


class Budgets(Frozen):
    """Limits of training and of whole attempts."""

    train: TrainBudget = TrainBudget()
    attempt: AttemptBudget = AttemptBudget()


class Settings(Frozen):
    """What is set on the device during each attempt and put back afterwards."""

    jetson_clocks: bool = Field(
        default=False, description="Pin all clocks at the highest of the power mode (`jetson_clocks`)."
    )
    gpu_clock_mhz: int = Field(
        default=0, ge=0, le=10_000, description="Lock the clocks of NVIDIA GPUs (`nvidia-smi -lgc`); 0: not."
    )
    cpu_governor: Annotated[str, StringConstraints(pattern=r"^[a-z_]{0,32}$")] = Field(
        default="", description="Frequency governor of the processor, such as `performance`."
    )


class ProtocolOverrides(Frozen):
    """Numbers of the protocol that differ from those of its name.

    Figures of a study that asks for less than its protocol carry the flag `shortened_protocol`.
    """

    idle_s: float | None = Field(default=None, ge=0, le=3600, description="Each of the three idles.")
    warmup_most: int | None = Field(
        default=None, ge=1, le=10_000, description="Requests after which the warm-up ends in any case."
    )
    block_s: float | None = Field(default=None, ge=0, le=86_400, description="Least length of the block.")
    block_requests: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Least requests of the block."
    )
    sustained_s: float | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="Sustained mode: the block lasts this long and until temperatures stand still.",
    )
    sustained_slope_c_per_min: float | None = Field(
        default=None, gt=0, le=100, description="Slope below which temperatures stand still; 0.5."
    )
    sustained_window_s: float | None = Field(
        default=None, ge=10, le=3600, description="Time over which that slope is taken; 60."
    )
    wait_s: float | None = Field(
        default=None, ge=0, le=3600, description="Longest wait for the preconditions."
    )
    cooldown_s: float | None = Field(
        default=None, ge=0, le=3600, description="Longest wait for the device to cool down."
    )
    temperature_margin_c: float | None = Field(
        default=None, ge=0, le=100, description="How far above its idle base a temperature may be."
    )
    load_share: float | None = Field(
        default=None, ge=0, le=100, description="Load average at the start, as a share of the processors."
    )
    settle_s: float | None = Field(
        default=None, ge=0, le=3600, description="How long temperatures stand still to be the idle base."
    )


class Inference(Frozen):
    """The inference profile; lengths are forced so that the work is the same for all."""

    prompt_tokens: int = Field(default=64, ge=1, le=1_000_000)
    new_tokens: int = Field(default=32, ge=1, le=100_000)
    batch: int = Field(default=1, ge=1, le=4096)
    requests: int = Field(default=20, ge=1, le=100_000)


class Precision(Frozen):
    """When the further repeats of a cell are left out: its figures are precise enough.

    Half of the 95 % t interval over all runs of the cell, as a share of the mean. A figure that
    no run has (energy without a power sensor) is not waited for.
    """

    repeats: int = Field(default=3, ge=2, le=1000, description="Repeats that run in any case.")
    latency: float = Field(default=0.03, ge=0, le=1, description="Of `ttft_s` and `tpot_s`; 0 = not asked.")
    energy: float = Field(default=0.05, ge=0, le=1, description="Of `j_per_request`; 0 = not asked.")


class Claim(Frozen):
    """A statement fixed before the first run: one side is better than the other by a margin."""

    id: Name
    better: Selector
    than: Selector
    metric: Text = Field(
        description="A metric of the catalogue (`accuracy`), or a measured figure (`ttft_s`)."
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        description="Least difference that counts: points of a hundred for scores, stars for rmse, "
        "percent for measured figures; 0: the usual.",
    )
    direction: Literal["larger", "smaller"] | None = Field(
        default=None,
        description="Which is better. Known for metrics of the catalogue, needed for measured figures.",
    )


class Retry(Frozen):
    """Which trials run again by themselves. What the earlier attempts brought is kept, and does not count."""

    max_attempts: int = Field(
        default=1, ge=1, le=100, description="How often a trial may begin; 1: whatever comes of it stands."
    )
    retry_on: tuple[
        Literal["agent_lost", "rebooted", "killed", "precondition", "worker_error", "unknown"], ...
    ] = Field(
        default=("agent_lost", "rebooted", "killed"),
        min_length=1,
        max_length=6,
        description="Failure classes that say nothing of the cell. Results such as `timeout` or `oom_host` "
        "are never repeated.",
    )


class Study(Frozen):
    """A study file, schema version 1."""

    edgerig: Literal[1] = Field(description="Version of this schema.")
    name: Name = Field(description="Short name; letters, digits, `.`, `_` and `-`.")
    protocol: Literal["quick", "standard", "publishable"] = Field(
        default="standard", description="How long idles, warm-up and measured windows are."
    )
    devices: Devices = Devices(labels=("local",))
    seeds: tuple[Annotated[int, Field(ge=0, le=SEED_MOST)], ...] = Field(
        default=(1,), min_length=1, max_length=10_000, description="Every cell is run once with each of them."
    )
    repeats: int = Field(
        default=1, ge=1, le=1000, description="Attempts of each cell and seed, on each unit."
    )
    units: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Runs the whole study on so many devices of one type, and tells differences between them "
        "from differences between repeats.",
    )
    precision: Precision | None = Field(
        default=None, description="Lets `repeats` be the most, and leaves out what precision does not need."
    )
    stop: Literal["never", "when_settled"] = Field(
        default="never",
        description="`when_settled`: claims are judged after each seed from the second on, at levels that "
        "alpha spending leaves; what settled claims need no more is left out.",
    )
    tasks: tuple[TaskEntry, ...] = Field(
        min_length=1, max_length=1000, description="Crossed with the factors."
    )
    factors: Factors
    servers: tuple[Server, ...] = Field(
        default=(), max_length=100, description="Servers that `factors.engine` may name."
    )
    exclude: tuple[Exclude, ...] = Field(
        default=(), max_length=1000, description="Combinations that are not run."
    )
    budgets: Budgets = Budgets()
    inference: Inference = Inference()
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="`auto`: the checkpoint's own on an accelerator, float32 on a processor."
    )
    threads: int = Field(
        default=0, ge=0, le=4096, description="Threads of the tensor library; 0 leaves its default."
    )
    claims: tuple[Claim, ...] = Field(
        default=(), max_length=1000, description="What is to be tested, fixed in advance."
    )
    retry: Retry = Retry()
    settings: Settings = Settings()
    protocol_overrides: ProtocolOverrides = ProtocolOverrides()
    canary: Selector | None = Field(
        default=None,
        description="The cell whose figures are watched for drift over the blocks: the first that matches, "
        "by default the first cell. Not under `quick`.",
    )
