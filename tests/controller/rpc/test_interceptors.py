"""Errors across the wire, bounds of messages, and the life of an embedded controller."""

from __future__ import annotations

import asyncio
import io

import grpc
import pytest

from edgerig import errors
from edgerig.errors import EdgerigError, ProtocolError
from edgerig_controller.rpc import checks
from edgerig_controller.rpc.interceptors import CLASS_KEY, from_rpc_error, to_status
from edgerig_controller.rpc.linger import Linger
from edgerig_controller.rpc.scores import read_scores

KINDS: list[type[EdgerigError]] = [
    errors.UsageError,
    errors.NotFoundError,
    errors.DataError,
    errors.UnreachableError,
    errors.DeviceError,
    errors.TimeoutExceededError,
    errors.RejectedError,
    errors.StorageError,
    errors.ProtocolError,
    errors.BugError,
]


def rpc_error(
    code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_out_of_the_wire_as_it_went_in(kind: type[EdgerigError]) -> None:
    code, details, metadata = to_status(kind("what happened", hint="type this"))
    back = from_rpc_error(rpc_error(code, details, metadata))
    assert type(back) is kind
    assert (back.message, back.hint) == ("what happened", "type this")


def test_a_status_of_other_origin_is_read_by_its_code() -> None:
    back = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "Socket closed"))
    assert type(back) is errors.UnreachableError


def test_an_unknown_class_name_is_not_trusted() -> None:
    back = from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, "x", ((CLASS_KEY, "SystemExit"),)))
    assert type(back) is errors.NotFoundError


def test_long_details_are_cut_so_that_the_headers_fit() -> None:
    _, details, _ = to_status(errors.UsageError("x" * 100_000))
    assert len(details) <= 3000


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a" * 129, "a\n"])
def test_ids_of_peers_are_bounded(name: str) -> None:
    with pytest.raises(ProtocolError):
        checks.check_name(name, "attempt_id")


def test_a_score_line_that_is_too_long_is_refused() -> None:
    with pytest.raises(ProtocolError, match="longer"):
        read_scores(io.BytesIO(b'{"output": "' + b"x" * 2_000_000))


def test_scores_are_read_line_by_line() -> None:
    scores = read_scores(io.BytesIO(b'{"item_id": "a", "score": 1}\n{"item_id": "b", "score": 0.5}\n'))
    assert [(item.item_id, item.score) for item in scores] == [("a", 1.0), ("b", 0.5)]


async def test_an_idle_controller_ends() -> None:
    ended = asyncio.Event()

    async def idle() -> bool:
        return True

    await asyncio.wait_for(Linger(is_idle=idle, end=ended.set, linger_s=0).run(), 5)
    assert ended.is_set()


async def test_a_disk_that_is_full_for_a_while_ends_no_controller() -> None:
    ended = asyncio.Event()
    answers: list[bool | errors.StorageError] = [errors.StorageError("the disk is full"), True]

    async def idle() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, errors.StorageError):
            raise answer
        return answer

    await asyncio.wait_for(Linger(is_idle=idle, end=ended.set, linger_s=0, again_s=0).run(), 5)
    assert ended.is_set()
    assert answers == []


async def test_a_controller_with_a_call_or_a_study_stays() -> None:
    state = {"idle": False}
    asked = asyncio.Event()

    async def idle() -> bool:
        asked.set()
        return state["idle"]

    ended = asyncio.Event()
    linger = Linger(is_idle=idle, end=ended.set, linger_s=0)
    task = asyncio.ensure_future(linger.run())
    await asyncio.wait_for(asked.wait(), 5)
    linger.enter()
    state["idle"] = True
    linger.poke()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not ended.is_set()
    linger.leave()
    await asyncio.wait_for(task, 5)
    assert ended.is_set()
