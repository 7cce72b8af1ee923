"""The `servers` section of a study file: shapes only."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from edgerig_controller.study.values import Frozen, Name

_Word = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]
_Path = Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]{0,255}$")]
_Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class Server(Frozen):
    """An OpenAI-compatible streaming server that the worker starts, asks and ends."""

    name: Name = Field(description="What `factors.engine` calls it.")
    command: tuple[_Word, ...] = Field(
        min_length=1,
        max_length=256,
        description="Program and arguments; `{model}` and `{port}` stand for the model's folder and a free "
        "port. The program must be one that the device allows (`server_programs` of its agent.json).",
    )
    environment: dict[_Variable, _Word] = Field(
        default_factory=dict,
        max_length=64,
        description="Variables for it, with the same placeholders; the device must allow their names.",
    )
    ready: _Path = Field(default="/health", description="Path that answers when it can be used.")
    ready_s: float = Field(default=120.0, gt=0, le=86_400, description="Longest wait for that.")
    path: _Path = Field(default="/v1/completions", description="Path of its streaming completions.")
    model: _Word = Field(default="{model}", description="The model's name in requests.")
    request: dict[str, Any] = Field(
        default_factory=dict, max_length=64, description="Further fields of every request."
    )
    forced: dict[str, Any] = Field(
        default_factory=dict,
        max_length=64,
        description="Further fields of the profile's requests, which have a forced length "
        "(`{new_tokens}`): `{ignore_eos: true}` for llama-server and vLLM.",
    )
