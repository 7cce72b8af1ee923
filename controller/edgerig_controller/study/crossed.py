"""What a study crosses: its tasks, its factors with their levels, and the combinations it leaves out."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edgerig_controller.study import presets
from edgerig_controller.study.values import COUNT_MOST, Frozen, Level, Name, Text

HISTORY_MOST = 1_000_000


def _history(value: Any) -> Any:
    return -1 if value == "all" else value


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


class TaskEntry(Frozen):
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


class Factors(Frozen):
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
    train_samples: tuple[Annotated[int, Field(ge=1, le=COUNT_MOST)], ...] = Field(
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
