"""When an agent asks again, without any hint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from edgerig.errors import EdgerigError, StorageError, UnreachableError
from edgerig_agent import rounds
from edgerig_agent.conductor import Rest
from edgerig_agent.signals import Signals


class Scripted:
    """Makes rounds that end as the script says, and ends the serving after the last."""

    def __init__(self, *ends: Rest | EdgerigError) -> None:
        self.ends = list(ends)
        self.made = 0
        self.connected = True

    async def round(self) -> Rest:
        self.made += 1
        if not self.ends:
            raise asyncio.CancelledError
        end = self.ends.pop(0)
        if isinstance(end, EdgerigError):
            raise end
        return end

    def unreachable_s(self) -> float:
        return 0.0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Lets no time pass and notes how long it would have been."""
    seen: list[float | None] = []

    async def within(waiting: object, timeout_s: float | None) -> None:
        waiting.close()  # type: ignore[attr-defined]
        seen.append(timeout_s)
        raise asyncio.TimeoutError

    monkeypatch.setattr(rounds, "within", within)
    return seen


async def pause_after(end: Rest | EdgerigError, pauses: list[float | None]) -> float | None:
    script = Scripted(end)
    with pytest.raises(asyncio.CancelledError):
        await rounds.serve(script, Signals(), script, embedded=False)
    assert script.made == 2
    return pauses[1]


@pytest.mark.parametrize(
    ("end", "is_right"),
    [
        (Rest.IDLE, lambda pause_s: pause_s == rounds.IDLE_S),
        (Rest.UNSETTLED, lambda pause_s: pause_s == rounds.RETRY_S),
        (StorageError("full"), lambda pause_s: pause_s == rounds.RETRY_S),
        (UnreachableError("gone"), lambda pause_s: 0 < pause_s < rounds.POLL_S),
    ],
)
async def test_the_next_round_comes_by_itself(
    end: Rest | EdgerigError, is_right: Callable[[float | None], bool], pauses: list[float | None]
) -> None:
    assert is_right(await pause_after(end, pauses))
