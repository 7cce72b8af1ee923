"""Words of progress, and following a study until it ends, is left, or is cancelled."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgerig.errors import UnreachableError
from edgerig.v1 import control_service_pb2 as pb
from edgerig_controller.cli import progress
from edgerig_controller.cli.output import Output


class ScriptedControl:
    """Plays the controller's side of watching and cancelling."""

    def __init__(self, *messages: pb.WatchStudyResponse) -> None:
        self.messages = messages
        self.cancelled: list[str] = []
        self.presses = 0

    async def watch(self, study_id: str) -> AsyncIterator[pb.WatchStudyResponse]:
        """Says its messages, presses Ctrl-C as often as told, and then waits for ever."""
        for message in self.messages:
            yield message
        for _ in range(self.presses):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def cancel(self, study_id: str) -> int:
        self.cancelled.append(study_id)
        return 3


def message(**fields: Any) -> pb.WatchStudyResponse:
    return pb.WatchStudyResponse(**{"study_id": "s", "trial_count": 12, **fields})


@pytest.fixture
def out() -> Output:
    return Output(stdout=io.StringIO(), stderr=io.StringIO(), environ={})


def test_the_line_says_what_is_done_what_runs_and_how_long_it_takes() -> None:
    words = progress.line(
        message(done_count=3, failed_count=1, eta_s=61.0, current="starter/small lora seed 1")
    )
    assert words == "3/12 done, 1 failed, about 60 s left; now: starter/small lora seed 1"


def test_the_line_says_why_nothing_runs() -> None:
    words = progress.line(message(blocked_reason="no enrolled device has the labels orin"))
    assert words == "0/12 done, 0 failed; waiting: no enrolled device has the labels orin"


def test_the_last_line_has_no_estimate() -> None:
    assert progress.line(message(done_count=12, finished=True, eta_s=0.0)) == "12/12 done, 0 failed"


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [(3, "a few seconds"), (44, "about 40 s"), (150, "about 2 min"), (3 * 3600, "about 3.0 h")],
)
def test_durations_are_worded_as_roughly_as_they_are_known(duration_s: float, words: str) -> None:
    assert progress.duration_words(duration_s) == words


async def test_following_ends_with_the_study(out: Output) -> None:
    control: Any = ScriptedControl(message(done_count=1), message(done_count=12, finished=True))
    assert await progress.follow_or_leave(control, out, "s", "tiny") == 0


async def test_a_study_that_waits_for_its_agent_has_it_looked_after(out: Output) -> None:
    looked = []

    async def look() -> None:
        looked.append("agent")

    waiting = message(blocked_reason="no device is connected")
    control: Any = ScriptedControl(message(done_count=1), waiting, message(done_count=12, finished=True))
    await progress.follow(control.watch("s"), out, "tiny", look)
    assert looked == ["agent"]


async def test_a_stream_that_ends_early_says_how_to_come_back(out: Output) -> None:
    async def ending() -> AsyncIterator[pb.WatchStudyResponse]:
        yield message(done_count=1)

    with pytest.raises(UnreachableError) as caught:
        await progress.follow(ending(), out, "tiny")
    assert "edgerig watch tiny" in caught.value.hint


async def test_ctrl_c_once_leaves(out: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "GRACE_S", 0.0)
    control: Any = ScriptedControl(message(done_count=1))
    control.presses = 1
    assert await progress.follow_or_leave(control, out, "s", "tiny") == 1
    assert control.cancelled == []


async def test_ctrl_c_twice_asks_for_cancelling(out: Output) -> None:
    control: Any = ScriptedControl(message(done_count=1))
    control.presses = 2
    assert await progress.follow_or_leave(control, out, "s", "tiny") == 2


async def test_cancelling_waits_until_no_device_holds_a_trial(out: Output) -> None:
    control: Any = ScriptedControl(message(running_count=1), message(), message(finished=True))
    assert await progress.cancel_and_wait(control, out, "s", "tiny")
    assert control.cancelled == ["s"]


async def test_cancelling_gives_up_on_a_trial_that_does_not_end(
    out: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "CANCEL_DEADLINE_S", 0.0)
    control: Any = ScriptedControl(message(running_count=1))
    assert not await progress.cancel_and_wait(control, out, "s", "tiny")
