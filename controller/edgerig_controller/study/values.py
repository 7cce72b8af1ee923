"""Values that all parts of the study file are made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

COUNT_MOST = 2**31 - 1

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


class Frozen(BaseModel):
    """A part of the study file: no key but these, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
