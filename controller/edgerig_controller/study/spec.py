"""The study file as frozen values: which keys exist and what each of them takes.

Shapes only. Which methods, compressions, tasks and metrics exist is said by
the workload's catalogue; whether models and data exist, by `data`.
"""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from edgerig_controller.study import presets
from edgerig_controller.study.labels import MAX_CHARS
from edgerig_controller.study.labels import check as check_label
from edgerig_controller.study.servers import Server

SCHEMA_VERSION = 1
SEED_MOST = 2**31 - 1
HISTORY_MOST = 1_000_000
_COUNT_MOST = 2**31 - 1
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

Scalar: TypeAlias = str | int | float | bool
Level: TypeAlias = Scalar | Annotated[list[Scalar], Field(min_length=1, max_length=1000)]
Selector: TypeAlias = Annotated[
    dict[str, Level],
    Field(
        min_length=1,
        max_length=32,
        description="Dotted factor names and the value, or the list of values, that each must have; "
        "all must hold. Examples: `{model: starter/small}`, `{method.kind: lora, method.r: [8, 16]}`.",
    ),
]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


def _bytes(value: Any) -> Any:
    """Turns `2GiB` into bytes; everything else is left to the number check."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError("expected bytes as a whole number, or text such as 512MiB, 2GiB, 4GB")
    return round(float(match[1]) * _UNITS[match[2].lower()])


def _history(value: Any) -> Any:
    return -1 if value == "all" else value


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Choice(BaseModel):
    """Levels of `method` or `compression`: a kind, and parameters that the catalogue knows.

    A list of kinds, or of values of a parameter, stands for one level each.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Level]

    kind: Text | Annotated[list[Text], Field(min_length=1, max_length=1000)] = Field(
        description="Name of the method or compression, or a list of names; "
        "`python -m edgerig_workload catalog` lists them."
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that the entry names."""
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)

    def levels(self) -> list[dict[str, Any]]:
        """Return the levels that the entry stands for; the last of its lists changes fastest."""
        lists = {
            name: value if isinstance(value, list) else [value]
            for name, value in {"kind": list(self.kinds), **(self.__pydantic_extra__ or {})}.items()
        }
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


class PresetChoice(BaseModel):
    """A published setting by its name (`edgerig presets`), and parameters that are to differ from it."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Level]

    preset: Text = Field(description="`edgerig presets` lists them with their sources.")


_NONE = Choice.model_validate({"kind": "none"})
ChoiceLevel: TypeAlias = Annotated[
    Choice,
    BeforeValidator(presets.spelled_out, json_schema_input_type=Choice | PresetChoice | str),
    Field(description="A kind alone, or kinds with parameters; lists in it are crossed."),
]
_HistoryInput: TypeAlias = Annotated[int, Field(ge=-1, le=HISTORY_MOST)] | Literal["all"]
HistoryLevel: TypeAlias = Annotated[
    Annotated[int, Field(ge=-1, le=HISTORY_MOST)],
    BeforeValidator(_history, json_schema_input_type=_HistoryInput),
]


def _expressions(value: Any) -> Any:
    """Lets `orin and not nx` stand for a list of one."""
    if isinstance(value, str):
        return (value,)
    # What went through a validator of ours is no longer JSON: strict tuples want a tuple.
    return tuple(value) if isinstance(value, list) else value


LabelExpression: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_CHARS), AfterValidator(check_label)
]


class Devices(_Frozen):
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


class TaskEntry(_Frozen):
    """One task: questions of many users, each with a history."""

    name: Name = Field(
        description="With `source: synthetic` or `lamp` a task of the catalogue; with `jsonl` any name."
    )
    source: Literal["synthetic", "jsonl", "lamp"] = Field(
        description="`synthetic`: LaMP-shaped data made by edgerig. `jsonl`: a file of your own. "
        "`lamp`: a folder with the benchmark's published files."
    )
    path: Text | None = Field(
        default=None,
        description="The file (`jsonl`) or folder (`lamp`), relative to the study file.",
    )
    users: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Users to make (`synthetic`; 40), or to take out of the data (`lamp`; all), always the "
        "same ones.",
    )
    split: Literal["user", "time"] | None = Field(
        default=None, description="Which split of LaMP: by user, or by time. Only with `lamp`; user."
    )
    part: Literal["train", "dev"] | None = Field(
        default=None,
        description="Whose questions are asked; golds of test are not public. Only with `lamp`; dev.",
    )
    items_per_user: int | None = Field(
        default=None, ge=1, le=10_000, description="Questions per user. Only with `synthetic`; 4."
    )
    kind: Literal["classification", "rating", "generation"] | None = Field(
        default=None, description="How outputs are compared. Needed with `jsonl`, and only there."
    )
    metric: Text | None = Field(
        default=None, description="Item score; by default the first that fits the kind."
    )
    labels: tuple[Text, ...] | None = Field(
        default=None,
        min_length=2,
        max_length=10_000,
        description="Closed set of outputs; by default those of the file.",
    )
    answer_tokens: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Longest answer in tokens; by default the catalogue's for the kind.",
    )


class Factors(_Frozen):
    """What is crossed. Every list is a factor."""

    model: tuple[Text, ...] = Field(
        min_length=1,
        max_length=1000,
        description="`starter/NAME`, `org/name@revision`, a folder (relative to the study file), or "
        "`device:/path` for a folder on the device.",
    )
    method: tuple[ChoiceLevel, ...] = Field(
        min_length=1, max_length=1000, description="How the model is made personal; `none` for not at all."
    )
    compression: tuple[ChoiceLevel, ...] = Field(
        default=(_NONE,), min_length=1, max_length=1000, description="How the weights are compressed."
    )
    history: tuple[HistoryLevel, ...] = Field(
        default=(16,),
        min_length=1,
        max_length=1000,
        description="Latest profile items per user that a method may use; `all` (or -1) for all of them.",
    )
    power_mode: tuple[Name, ...] = Field(
        default=(),
        max_length=32,
        description="Power modes of the device (nvpmodel name or number, or platform profile), set for each "
        "attempt and put back; left out: as it is.",
    )
    engine: tuple[Text, ...] = Field(
        default=(),
        max_length=100,
        description="What runs the model: an engine of the catalogue, or the name of one of `servers`; left "
        "out: transformers.",
    )
    kv_cache: tuple[Text, ...] = Field(
        default=(),
        max_length=100,
        description="Kinds of key-value caches of transformers; left out: dynamic.",
    )
    page_cache: tuple[Literal["cold", "warm"], ...] = Field(
        default=(),
        max_length=2,
        description="What of the model's files is in memory before the load: nothing, or all of them; left "
        "out: as it is found.",
    )
    prompt_tokens: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        default=(), max_length=1000, description="Instead of `inference.prompt_tokens`: a length as a factor."
    )
    new_tokens: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        default=(), max_length=1000, description="Instead of `inference.new_tokens`."
    )
    batch: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(), max_length=1000, description="Instead of `inference.batch`."
    )
    train_samples: tuple[Annotated[int, Field(ge=1, le=_COUNT_MOST)], ...] = Field(
        default=(),
        max_length=1000,
        description="Samples after which training stops, instead of `budgets.train.samples`: a budget as a "
        "factor. Methods that do not train stand at the largest.",
    )


class Exclude(BaseModel):
    """A combination that is not run; every key but `reason` is a dotted factor name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Level]

    reason: Text = Field(description="Why it is left out; the report prints it.")

    def selector(self) -> dict[str, Level]:
        """Return the conditions, all of which must hold."""
        return dict(self.__pydantic_extra__ or {})


class TrainBudget(_Frozen):
    """Stop rules of training, whichever comes first; 0 means not limited by it."""

    samples: int = Field(default=0, ge=0, le=_COUNT_MOST)
    tokens: int = Field(default=0, ge=0, le=_COUNT_MOST)
    steps: int = Field(default=0, ge=0, le=_COUNT_MOST)
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


class AttemptBudget(_Frozen):
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


class Budgets(_Frozen):
    """Limits of training and of whole attempts."""

    train: TrainBudget = TrainBudget()
    attempt: AttemptBudget = AttemptBudget()


class Settings(_Frozen):
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


class ProtocolOverrides(_Frozen):
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


class Inference(_Frozen):
    """The inference profile; lengths are forced so that the work is the same for all."""

    prompt_tokens: int = Field(default=64, ge=1, le=1_000_000)
    new_tokens: int = Field(default=32, ge=1, le=100_000)
    batch: int = Field(default=1, ge=1, le=4096)
    requests: int = Field(default=20, ge=1, le=100_000)


class Precision(_Frozen):
    """When the further repeats of a cell are left out: its figures are precise enough.

    Half of the 95 % t interval over all runs of the cell, as a share of the mean. A figure that
    no run has (energy without a power sensor) is not waited for.
    """

    repeats: int = Field(default=3, ge=2, le=1000, description="Repeats that run in any case.")
    latency: float = Field(default=0.03, ge=0, le=1, description="Of `ttft_s` and `tpot_s`; 0 = not asked.")
    energy: float = Field(default=0.05, ge=0, le=1, description="Of `j_per_request`; 0 = not asked.")


class Claim(_Frozen):
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


class Retry(_Frozen):
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


class Study(_Frozen):
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
