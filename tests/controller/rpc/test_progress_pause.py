"""How long a watcher pauses: in a small fleet not noticeably, in a large one so that it costs little."""

from __future__ import annotations

import pytest

from edgerig_controller.rpc.progress import pause_s


@pytest.mark.parametrize(("read_s", "paused_s"), [(0.0, 0.0), (0.002, 0.04), (0.1, 2.0), (60.0, 5.0)])
def test_a_watcher_takes_a_twentieth_of_the_time(read_s: float, paused_s: float) -> None:
    assert pause_s(read_s) == pytest.approx(paused_s)
