"""One call of FleetService from the command line, and words that its answers share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click
import grpc

from edgerig_controller.cli.control import CALL_S, channel, error_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from edgerig_controller.cli.options import Context
    from edgerig_controller.home import Home

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float:
    """Reads `30m`, `2h`, `3d` or a number of seconds.

    Raises:
        click.BadParameter: it is no duration.
    """
    text = text.strip()
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS_S else (text, "s")
    try:
        seconds = float(number) * _UNITS_S[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise click.BadParameter(f"{text!r} is no duration; write 30m, 2h or 3d")
    return seconds


def ask(context: Context, method: str, request: Message) -> Any:
    """Makes one call and returns its answer.

    Raises:
        UnreachableError: no controller runs or answers.
        EdgerigError: it refused.
    """
    return asyncio.run(call(context.home, method, request))


async def stream(home: Home, method: str, request: Message) -> AsyncIterator[Any]:
    """Yields the answers of a streaming call."""
    from edgerig.v1.fleet_service_pb2_grpc import FleetServiceStub

    async with channel(home) as opened:
        try:
            async for message in getattr(FleetServiceStub(opened), method)(request):
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_of(error, home) from error


def moment(unix_s: float) -> str:
    """Words a time as people of several places can read it."""
    return datetime.fromtimestamp(unix_s, timezone.utc).strftime("%Y-%m-%d %H:%M")


def as_json(message: Message) -> dict[str, Any]:
    """Returns a message for the JSON document: every field is there, enumerations are short words."""
    from google.protobuf import json_format

    document: dict[str, Any] = json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        use_integers_for_enums=False,
    )
    shortened: dict[str, Any] = _short(document)
    return shortened


async def call(home: Home, method: str, request: Message) -> Any:
    """Makes one call on the controller of a data folder; raises as `ask` does."""
    from edgerig.v1.fleet_service_pb2_grpc import FleetServiceStub

    async with channel(home) as opened:
        try:
            return await getattr(FleetServiceStub(opened), method)(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            raise error_of(error, home) from error


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, str):
        for prefix in ("DEVICE_ACTIVITY_", "DEVICE_HEALTH_", "DEVICE_MODE_"):
            if value.startswith(prefix):
                return value.removeprefix(prefix).lower()
    return value
