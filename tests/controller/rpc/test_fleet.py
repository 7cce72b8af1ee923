"""FleetService over real mTLS: what people want of devices decides what devices get."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

import grpc
import pytest

from edgerig import documents
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import fleet_service_pb2 as pb
from edgerig.v1.attempt_pb2 import PHASE_INFERENCE, Measurement
from edgerig.v1.device_pb2 import DeviceFacts, WorkerRuntime
from edgerig_controller.fleet.golden import GoldenPlan, for_device
from edgerig_controller.fleet.identity import KeyPair
from edgerig_controller.rpc.golden import GoldenKeeper, submit
from edgerig_controller.store.studies import Terms
from edgerig_controller.study.yaml_source import read
from tests.controller.rpc.rig import PATIENCE_S, Rig, committed, deliver, outcome_of, take
from tests.controller.store.building import ENVIRONMENT, result_of, study
from tests.controller.study.building import catalog

SYNC = agents.SyncRequest(request_id="r", wants_work=True)


async def offered(rig: Rig, pair: KeyPair) -> bool:
    async with rig.agent(pair) as stub:
        return bool((await stub.Sync(SYNC, timeout=PATIENCE_S)).HasField("offer"))


async def set_mode(rig: Rig, device_id: str, mode: str, *, for_s: float = 0.0) -> pb.FleetDevice:
    async with rig.fleet() as stub:
        request = pb.SetDeviceModeRequest(
            device_id=device_id, mode=f"DEVICE_MODE_{mode.upper()}", reason="why", for_s=for_s
        )
        reply: pb.SetDeviceModeResponse = await stub.SetDeviceMode(request, timeout=PATIENCE_S)
    return reply.device


async def device(rig: Rig, device_id: str = "local") -> pb.FleetDevice:
    async with rig.fleet() as stub:
        listed = (await stub.ListDevices(pb.ListDevicesRequest(), timeout=PATIENCE_S)).devices
    found: pb.FleetDevice = next(item for item in listed if item.device_id == device_id)
    return found


@pytest.mark.parametrize(("mode", "for_s"), [("drain", 0.0), ("maintenance", 0.0), ("hold", 60.0)])
async def test_a_device_that_is_not_wanted_gets_nothing_until_it_is_released(
    rig: Rig, mode: str, for_s: float
) -> None:
    pair = await rig.enrolled()
    await rig.store_study(study())
    blocked = await set_mode(rig, "local", mode, for_s=for_s)
    assert blocked.blocked_reason.startswith(mode)
    assert not await offered(rig, pair)
    await set_mode(rig, "local", "active")
    assert await offered(rig, pair)


async def test_a_hold_ends_by_itself_and_wakes_the_device(rig: Rig) -> None:
    pair = await rig.enrolled()
    await rig.store_study(study())
    await set_mode(rig, "local", "hold", for_s=60.0)
    assert not await offered(rig, pair)
    rig.clock.now += 61
    keeper = GoldenKeeper(rig.frame, GoldenPlan())
    async with rig.agent(pair) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        # The keeper starts with a release that is due in no time: it must wake who is idle.
        rig.clock.now -= 1.01
        keeping = asyncio.create_task(keeper.run())
        await set_mode(rig, "local", "hold", for_s=0.05)
        keeper.poke()
        rig.clock.now += 1
        assert (await asyncio.wait_for(session.read(), PATIENCE_S)).WhichOneof("signal") == "wake"
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert await offered(rig, pair)


async def test_what_runs_goes_on_when_a_device_is_drained(rig: Rig) -> None:
    pair = await rig.enrolled()
    await rig.store_study(study())
    async with rig.agent(pair) as stub:
        lease = await take(stub)
        await set_mode(rig, "local", "drain")
        reply = await deliver(stub, outcome_of(lease))
        assert reply.outcome == agents.COMMIT_OUTCOME_CANONICAL
        assert not (await stub.Sync(SYNC, timeout=PATIENCE_S)).HasField("offer")


async def test_watchers_are_told_that_a_person_holds_the_device(rig: Rig) -> None:
    pair = await rig.enrolled()
    study_id = await rig.store_study(study())
    await set_mode(rig, "local", "maintenance")
    async with rig.agent(pair) as stub, rig.control() as people:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        watch = people.WatchStudy(control.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        message = await watch.read()
    assert "local takes no work: maintenance: why" in message.blocked_reason


async def apply(rig: Rig, *devices: pb.DeclaredDevice, **options: bool) -> list[pb.InventoryChange]:
    async with rig.fleet() as stub:
        request = pb.ApplyInventoryRequest(devices=devices, **options)
        reply: pb.ApplyInventoryResponse = await stub.ApplyInventory(request, timeout=PATIENCE_S)
    return list(reply.changes)


async def report(rig: Rig, pair: KeyPair, memory_bytes: int) -> None:
    async with rig.agent(pair) as stub:
        facts = DeviceFacts(environment_digest=ENVIRONMENT, memory_bytes=memory_bytes)
        await stub.ReportInventory(agents.ReportInventoryRequest(facts=facts), timeout=PATIENCE_S)


async def test_a_device_that_is_not_what_is_declared_gets_no_trials(rig: Rig) -> None:
    pair = await rig.enrolled()
    await rig.store_study(study())
    declared = pb.DeclaredDevice(device_id="local", labels=["local"], memory_bytes=16 * 2**30)
    assert [change.kind for change in await apply(rig, declared, dry_run=True)] == ["added"]
    assert await offered(rig, pair)
    async with rig.agent(pair) as stub:
        await deliver(stub, outcome_of(await take(stub)))
    await apply(rig, declared)
    assert not await offered(rig, pair)
    async with rig.fleet() as stub:
        (listed,) = (await stub.GetInventory(pb.GetInventoryRequest(), timeout=PATIENCE_S)).devices
    assert listed.observed.memory_bytes == 8 * 2**30
    assert [item.field for item in listed.differences] == ["memory"]
    assert "memory is 8.0 GiB, declared is 16.0 GiB" in (await device(rig)).blocked_reason
    await report(rig, pair, 16 * 2**30)
    assert (await device(rig)).blocked_reason == ""
    assert await offered(rig, pair)


async def test_intent_is_kept_until_it_is_pruned(rig: Rig) -> None:
    one, two = (pb.DeclaredDevice(device_id=name, labels=["lab"]) for name in ("one", "two"))
    await apply(rig, one, two)
    assert [change.kind for change in await apply(rig, one)] == ["kept"]
    assert [change.kind for change in await apply(rig, one, prune=True)] == ["removed"]
    async with rig.fleet() as stub:
        listed = (await stub.GetInventory(pb.GetInventoryRequest(), timeout=PATIENCE_S)).devices
    assert [(item.device_id, item.HasField("declared")) for item in listed] == [("one", True), ("two", False)]


async def store_for(rig: Rig, name: str, owner: str, priority: int = 0) -> str:
    prepared = study(name, salt=name)
    row, _, _ = await rig.frame.store.ask(
        lambda store: store.create_study(
            prepared, reuse=False, now_unix_s=rig.clock(), terms=Terms(owner=owner, priority=priority)
        )
    )
    return str(row.study_id)


async def served_first(rig: Rig, pair: KeyPair, *, duration_s: float = 10.0) -> str:
    """Runs one trial and says whose it was."""
    async with rig.agent(pair) as stub:
        lease = await take(stub)
        rig.clock.now += duration_s
        await deliver(stub, outcome_of(lease))
        owner: str = await rig.frame.store.ask(lambda store: _owner_of(store, lease.attempt_id))
    return owner


def _owner_of(store: Any, attempt_id: str) -> str:
    place = store.fleet.attempt_place(attempt_id)
    with store._engine.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT owner FROM study WHERE study_id = ?", (place.study_id,)
        ).one()
    return str(row[0])


async def test_a_study_of_larger_priority_is_served_first(rig: Rig) -> None:
    pair = await rig.enrolled()
    await store_for(rig, "early", "vera")
    await store_for(rig, "urgent", "olga", priority=3)
    assert await served_first(rig, pair) == "olga"


async def test_two_people_share_a_device_by_time_and_not_by_who_came_first(rig: Rig) -> None:
    pair = await rig.enrolled()
    await store_for(rig, "first", "vera")
    await store_for(rig, "second", "olga")
    order = [await served_first(rig, pair, duration_s=duration_s) for duration_s in (30.0, 10.0, 10.0, 10.0)]
    assert order == ["vera", "olga", "olga", "olga"]


async def test_a_priority_outside_the_range_is_refused(rig: Rig) -> None:
    async with rig.control() as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="priority of 11"):
            await stub.SubmitStudy(
                control.SubmitStudyRequest(yaml="x", folder="/", priority=11), timeout=PATIENCE_S
            )


async def golden_rig(rig: Rig) -> KeyPair:
    """Enrolls a device that can plan and run golden trials."""
    pair = await rig.enrolled()
    async with rig.agent(pair) as stub:
        await golden_rig_reports(stub)
    return pair


async def golden_rig_reports(stub: Any) -> None:
    facts = DeviceFacts(
        environment_digest=ENVIRONMENT,
        memory_bytes=8 * 2**30,
        worker=WorkerRuntime(catalog_json=json.dumps(catalog())),
    )
    await stub.ReportInventory(agents.ReportInventoryRequest(facts=facts), timeout=PATIENCE_S)


async def run_golden(rig: Rig, pair: KeyPair, ttft_s: float, *, failure: str = "") -> None:
    """Runs one golden trial to its end and lets it be judged."""
    rig.clock.now += 3600
    await submit(rig.frame, PLAN, "local")
    async with rig.agent(pair) as stub:
        lease = await take(stub)
        result = result_of(_Offer(lease), failure=failure)
        del result.measurements[:]
        result.measurements.append(
            Measurement(name="ttft_s", phase=PHASE_INFERENCE, statistic="p50", value=ttft_s, source="worker")
        )
        files = {"result.json": documents.canonical_bytes(documents.to_json(result)), "scores.jsonl": b""}
        await deliver(stub, committed(lease, files, result))
    await rig.frame.store.ask(lambda store: store.fleet.judge_golden(now_unix_s=rig.clock()))


class _Offer:
    def __init__(self, lease: agents.Lease) -> None:
        self.lease, self.trial = lease, lease.trial


PLAN = GoldenPlan(
    study="""\
edgerig: 1
name: golden
protocol: quick
tasks: [{name: lamp-2, source: synthetic, users: 4, items_per_user: 1}]
factors: {model: [starter/tiny], method: [{kind: none}], history: [4]}
"""
)


async def test_golden_trials_learn_then_pass_then_quarantine_and_the_device_comes_back(rig: Rig) -> None:
    pair = await golden_rig(rig)
    for index in range(8):
        await run_golden(rig, pair, 0.100 + 0.001 * (index % 3))
    assert (await device(rig)).health == pb.DEVICE_HEALTH_UNKNOWN
    await run_golden(rig, pair, 0.101)
    assert (await device(rig)).health == pb.DEVICE_HEALTH_GOOD
    await run_golden(rig, pair, 0.150)
    sick = await device(rig)
    assert sick.health == pb.DEVICE_HEALTH_QUARANTINED
    assert "ttft_s/inference/p50: 0.15 is +" in sick.blocked_reason
    await rig.store_study(study())
    assert not await offered(rig, pair)
    # In quarantine golden trials are still given: the device shows that it is well again.
    await run_golden(rig, pair, 0.101)
    assert (await device(rig)).health == pb.DEVICE_HEALTH_GOOD
    assert await offered(rig, pair)


async def test_a_golden_trial_that_fails_quarantines_until_an_operator_says_otherwise(rig: Rig) -> None:
    pair = await golden_rig(rig)
    await run_golden(rig, pair, 0.1, failure="worker_error")
    assert "ended as worker_error" in (await device(rig)).blocked_reason
    async with rig.fleet() as stub:
        await stub.ResetHealth(pb.ResetHealthRequest(device_id="local", rebaseline=True), timeout=PATIENCE_S)
        health = await stub.GetHealth(pb.GetHealthRequest(device_id="local"), timeout=PATIENCE_S)
    assert health.health == pb.DEVICE_HEALTH_UNKNOWN
    assert (await device(rig)).blocked_reason == ""


async def test_after_a_repair_what_is_normal_is_learnt_anew(rig: Rig) -> None:
    pair = await golden_rig(rig)
    for _ in range(9):
        await run_golden(rig, pair, 0.1)
    async with rig.fleet() as stub:
        await stub.ResetHealth(pb.ResetHealthRequest(device_id="local", rebaseline=True), timeout=PATIENCE_S)
    await run_golden(rig, pair, 0.2)
    assert (await device(rig)).health == pb.DEVICE_HEALTH_UNKNOWN
    async with rig.fleet() as stub:
        points = (await stub.GetHealth(pb.GetHealthRequest(device_id="local"), timeout=PATIENCE_S)).points
    assert points[0].verdict == "learning"
    assert len(points) == 10


@pytest.mark.parametrize("comes", ["before the keeper", "later"])
async def test_golden_studies_are_submitted_when_they_are_due(rig: Rig, comes: str) -> None:
    pair = await golden_rig(rig)
    keeper = GoldenKeeper(rig.frame, GoldenPlan(PLAN.study, every_s=86400.0))
    keeping = asyncio.create_task(keeper.run())
    if comes == "before the keeper":
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    async with rig.agent(pair) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        if comes == "later":
            await golden_rig_reports(stub)
        else:
            keeping = asyncio.create_task(keeper.run())
        while (await session.read()).WhichOneof("signal") != "wake":
            continue
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        last, open_devices = await rig.frame.store.ask(lambda store: store.fleet.golden_times())
    assert open_devices == {"local"}
    assert last == {"local": rig.clock()}


async def test_golden_trials_go_on_after_the_database_could_not_be_used(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await golden_rig(rig)
    with sqlite3.connect(rig.home.store_path) as database:
        database.execute("ALTER TABLE device_admin RENAME TO away")
    keeper = GoldenKeeper(rig.frame, GoldenPlan(PLAN.study, every_s=86400.0), again_s=0.0)
    keeping = asyncio.create_task(keeper.run())
    while "golden trials have to wait" not in caplog.text:
        await asyncio.wait({keeping}, timeout=0.01)
    with sqlite3.connect(rig.home.store_path) as database:
        database.execute("ALTER TABLE away RENAME TO device_admin")
    async with rig.agent(pair) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        await golden_rig_reports(stub)
        while (await session.read()).WhichOneof("signal") != "wake":
            continue
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_a_golden_study_of_a_device_is_its_own_and_for_it_alone() -> None:
    value = read(for_device(GoldenPlan(), "orin-07", 1_780_000_000.0), "golden").value
    assert value["name"] == "golden-orin-07-20260528T202640"
    assert value["devices"] == {"names": ["orin-07"]}


async def test_an_attempt_is_followed_to_its_end_with_its_log(rig: Rig) -> None:
    pair = await rig.enrolled()
    await rig.store_study(study())
    async with rig.agent(pair) as stub, rig.fleet() as people:
        lease = await take(stub)
        call = people.FollowAttempt(
            pb.FollowAttemptRequest(attempt_id=lease.attempt_id[:13], follow=True), timeout=PATIENCE_S
        )
        first = await call.read()
        assert first.kind == "event"
        await deliver(stub, outcome_of(lease, extra=b"the worker's words\n"))
        messages = [first]
        while (message := await call.read()) is not None and message.kind != "end":
            messages.append(message)
    assert "running to committed" in " ".join(item.text for item in messages)
    assert [item.text for item in messages if item.kind == "log"] == ["the worker's words\n"]
    assert message.text == "committed ok"


async def test_the_time_until_a_device_is_free_comes_from_measured_trials(rig: Rig) -> None:
    pair = await rig.enrolled()
    await rig.store_study(study())
    async with rig.agent(pair) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        assert not (await device(rig)).HasField("eta_s")
        lease = await take(stub)
        rig.clock.now += 40
        await deliver(stub, outcome_of(lease))
        found = await device(rig)
    assert found.activity == pb.DEVICE_ACTIVITY_IDLE
    assert found.queued_trial_count == 3
    assert found.eta_s == pytest.approx(120.0, abs=1.0)
