"""What a simulated device makes of the answer to its Sync."""

from __future__ import annotations

import pytest

from edgerig.v1 import agent_service_pb2 as pb
from edgerig.v1.attempt_pb2 import AttemptResult
from edgerig_controller.simulator.device import Device, _Held
from edgerig_controller.simulator.passports import Passport
from edgerig_controller.simulator.script import Script


@pytest.mark.parametrize(("verdict", "committed"), [(pb.VERDICT_ALREADY_HAVE, 1), (pb.VERDICT_DISCARD, 0)])
async def test_a_result_whose_reply_was_lost_counts_once_it_is_known_to_be_stored(
    verdict: pb.Verdict, committed: int
) -> None:
    device = Device(Passport("sim-1", "f", "", "", "", ""), "", Script())
    held = _Held(pb.Lease(attempt_id="a"), pb.HELD_STATE_FINISHED, AttemptResult())
    device._held = held
    await device._settle(None, held, verdict)
    assert device.tally.committed == committed
    assert [device._held] == [None]
