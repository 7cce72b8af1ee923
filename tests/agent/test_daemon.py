"""The daemon against a controller over real mTLS: from offer to commit, and what may go wrong between."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from edgerig.errors import DeviceError, UsageError
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1.attempt_pb2 import (
    FAILURE_CLASS_KILLED,
    FAILURE_CLASS_PRECONDITION,
    FAILURE_CLASS_UNKNOWN,
    STATUS_FAILED,
    STATUS_OK,
)
from edgerig_agent.daemon import Settings, read_settings, run
from edgerig_agent.folder import AttemptFolder, make, write_failure
from edgerig_agent.processes import find
from edgerig_agent.spool import open_spool
from tests.fakes.agent_rig import FAKES, Rig
from tests.fakes.controller import PATIENCE_S, FakeController

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    controller = FakeController()
    await controller.start()
    rig = Rig(tmp_path / "home", controller)
    yield rig
    await rig.close()
    await controller.stop()


async def test_an_offer_becomes_a_committed_result_and_leaves_nothing(rig: Rig) -> None:
    lease = rig.controller.lease("a-1")
    rig.start()
    rig.controller.offer(lease)
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].status == STATUS_OK
    assert rig.runs() == ["a-1"]
    assert list((rig.home / "attempts").iterdir()) == []


async def test_the_attempt_reads_the_files_that_the_trial_names(rig: Rig) -> None:
    lease = rig.controller.lease("a-1", weights=b"w" * 1_200_000)
    rig.start()
    rig.controller.offer(lease)
    await rig.delivered("a-1")
    # The program reports the hash of the model file that it found at its nested path.
    assert rig.controller.results["a-1"].environment_digest == lease.trial.model.files[1].sha256


async def test_a_result_arrives_byte_for_byte(rig: Rig) -> None:
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    assert b"a-1" * 100_000 in rig.controller.blobs.values()


async def test_trials_follow_one_another_and_share_the_cache(rig: Rig) -> None:
    leases = [rig.controller.lease(f"a-{number}", seed=number) for number in (1, 2, 3)]
    rig.start()
    for lease in leases:
        rig.controller.offer(lease)
    await rig.delivered("a-3")
    assert rig.runs() == ["a-1", "a-2", "a-3"]
    assert rig.controller.calls["GetChunk"] == 3


async def test_the_silence_announced_covers_the_attempts_budget(rig: Rig) -> None:
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    assert rig.controller.starts[0].quiet_s > 120.0


async def test_nothing_is_sent_while_an_attempt_runs(rig: Rig) -> None:
    rig.start("wait")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    before = dict(rig.controller.calls)
    sent = rig.controller.signals_sent
    rig.controller.signal(wire.SessionResponse(wake=wire.Wake()))
    await rig.controller.wait_for(lambda: rig.controller.signals_sent > sent)
    rig.go()
    await rig.controller.wait_for(lambda: rig.controller.calls["CommitResult"] > 0)
    after = dict(rig.controller.calls)
    changed = {name for name in after if after[name] != before.get(name, 0)}
    assert changed == {"CommitResult"}
    await rig.delivered("a-1")


async def test_a_cancel_ends_the_attempt_and_delivers_its_result(rig: Rig) -> None:
    rig.start("wait")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    rig.controller.signal(wire.SessionResponse(cancel=wire.Cancel(attempt_id="a-1", reason="test")))
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].failure_message == "cancelled"


async def test_a_cancel_that_is_not_heard_is_enforced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerig_agent.runner._STOP_PATIENCE_S", 0.05)
    rig.start("deaf")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    rig.controller.signal(wire.SessionResponse(cancel=wire.Cancel(attempt_id="a-1", reason="test")))
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].failure_class == FAILURE_CLASS_KILLED


async def test_an_attempt_that_dies_is_buried_and_not_repeated(rig: Rig) -> None:
    rig.start("die")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].failure_class == FAILURE_CLASS_KILLED
    assert rig.runs() == ["a-1"]


async def test_an_attempt_that_never_begins_is_given_up_with_its_words(rig: Rig) -> None:
    rig.start("stillborn")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    result = rig.controller.results["a-1"]
    assert result.failure_class == FAILURE_CLASS_PRECONDITION
    assert "no such interpreter" in result.failure_message


async def test_a_blob_that_the_controller_lacks_ends_the_trial_with_a_result(rig: Rig) -> None:
    lease = rig.controller.lease("a-1")
    del rig.controller.blobs[lease.trial.model.files[1].sha256]
    rig.start()
    rig.controller.offer(lease)
    await rig.delivered("a-1")
    result = rig.controller.results["a-1"]
    assert (result.status, result.failure_class) == (STATUS_FAILED, FAILURE_CLASS_PRECONDITION)
    assert rig.runs() == []


async def test_a_result_that_the_controller_finds_wrong_is_kept_and_another_says_so(rig: Rig) -> None:
    rig.controller.fail_before["CommitResult"] = [grpc.StatusCode.INVALID_ARGUMENT]
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    assert (rig.home / "refused" / "a-1-1" / "manifest.json").exists()
    result = rig.controller.results["a-1"]
    assert (result.status, result.failure_class) == (STATUS_FAILED, FAILURE_CLASS_UNKNOWN)
    assert "failed by the test" in result.failure_message
    assert "refused/a-1-1" in result.failure_message


async def test_a_device_whose_every_word_is_refused_still_makes_room(rig: Rig) -> None:
    rig.controller.fail_before["CommitResult"] = 2 * [grpc.StatusCode.INVALID_ARGUMENT]
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    rig.controller.offer(rig.controller.lease("a-2"))
    await rig.delivered("a-2")
    assert (rig.home / "refused" / "a-1-1-replacement" / "manifest.json").exists()
    assert "a-1" not in rig.controller.results


async def test_a_result_that_was_damaged_is_kept_and_another_says_so(rig: Rig) -> None:
    rig.start("garble")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].failure_class == FAILURE_CLASS_UNKNOWN
    assert (rig.home / "refused" / "a-1-1" / "result.json").read_text() == "{"


async def test_an_offer_that_is_no_document_does_not_end_the_daemon(rig: Rig) -> None:
    lease = rig.controller.lease("a-1")
    lease.trial.method.parameters["r"] = float("nan")
    task = rig.start()
    rig.controller.offer(lease)
    await rig.controller.wait_for(lambda: "a-1" in rig.controller.leases)
    rig.controller.offer(rig.controller.lease("a-2"))
    await rig.delivered("a-2")
    assert not task.done()


async def test_an_embedded_attempt_counts_the_controllers_and_the_viewers_processor_time_too(
    rig: Rig,
) -> None:
    viewer = find(os.getppid())
    assert viewer is not None
    (rig.home.parent / "viewers").mkdir()
    (rig.home.parent / "viewers" / f"{viewer.pid}-{viewer.start_ticks}").touch()
    # Left by a killed viewer, whose id somebody else has by now.
    (rig.home.parent / "viewers" / f"{os.getpid()}-1").touch()
    endpoint = {"fleet_id": "fleet-1", "agents": f"127.0.0.1:{rig.controller.port}", "pid": 4242}
    (rig.home.parent / "endpoint.json").write_text(json.dumps(endpoint))
    rig.start("wait", embedded=True)
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    attempt = json.loads((rig.home / "attempts" / "a-1" / "attempt.json").read_text())
    assert attempt["own_pids"] == [os.getpid(), 4242, viewer.pid]


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "", "a//b"])
async def test_a_model_path_that_leaves_its_folder_is_refused(rig: Rig, path: str) -> None:
    lease = rig.controller.lease("a-1")
    lease.trial.model.files[1].path = path
    rig.start()
    rig.controller.offer(lease)
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].failure_class == FAILURE_CLASS_PRECONDITION


async def test_a_refused_lease_leaves_nothing(rig: Rig) -> None:
    rig.controller.grant = False
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.controller.wait_for(lambda: rig.controller.calls["AcceptLease"] == 1)
    synced = rig.controller.calls["Sync"]
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] > synced)
    assert (rig.held(), rig.runs()) == ([], [])
    assert list((rig.home / "attempts").iterdir()) == []


@pytest.mark.parametrize("method", ["AcceptLease", "StartAttempt", "CommitResult", "PutChunk", "GetChunk"])
@pytest.mark.parametrize("side", ["fail_before", "fail_after"])
async def test_a_call_that_fails_or_loses_its_reply_is_made_again(
    rig: Rig, method: str, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerig_agent.session._BACKOFF_FIRST_S", 0.01)
    getattr(rig.controller, side)[method] = [UNAVAILABLE]
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.delivered("a-1")
    assert rig.controller.calls[method] > 1
    assert rig.runs() == ["a-1"]


class Crash(BaseException):
    """The daemon dies at this point."""


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("write", ["session", "add", "starting", "running", "finished", "delete"])
async def test_a_crash_at_any_durable_write_loses_and_repeats_nothing(
    rig: Rig, write: str, side: str
) -> None:
    def fault(point: str) -> None:
        if point == f"{side} {write}":
            raise Crash(point)

    rig.controller.offers.append(rig.controller.lease("a-1"))
    first = rig.start(fault=fault)
    with pytest.raises(Crash):
        await asyncio.wait_for(first, PATIENCE_S)
    # A lease whose row did not become durable expires and is offered again.
    if "a-1" in rig.controller.leases and "a-1" not in rig.controller.results and not rig.held():
        rig.controller.offers.append(rig.controller.leases["a-1"])
    rig.start()
    await rig.delivered("a-1")
    assert rig.runs() == ["a-1"]
    assert list((rig.home / "attempts").iterdir()) == []


async def test_a_daemon_that_ends_leaves_its_attempt_running_for_the_next(rig: Rig) -> None:
    rig.start("wait")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    await rig.end()
    rig.start("wait")
    await rig.controller.wait_for(lambda: any(sync.held for sync in rig.controller.syncs))
    assert rig.controller.syncs[-1].held[0].state == wire.HELD_STATE_RUNNING
    rig.go()
    await rig.delivered("a-1")
    assert rig.runs() == ["a-1"]


async def test_a_result_waits_for_a_controller_that_was_away(rig: Rig) -> None:
    rig.start("wait")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    await rig.controller.stop()
    rig.go()
    await rig.controller.start()
    await rig.delivered("a-1")
    assert rig.runs() == ["a-1"]


async def test_a_cancel_given_while_the_agent_was_away_comes_with_sync(rig: Rig) -> None:
    rig.start("wait")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    await rig.end()
    verdicts = [wire.VERDICT_CANCEL]
    usual = rig.controller.verdict
    rig.controller.verdict = lambda held: verdicts.pop() if verdicts else usual(held)
    rig.start("wait")
    await rig.delivered("a-1")
    assert rig.controller.results["a-1"].failure_message == "cancelled"


async def test_a_lost_spool_is_rebuilt_from_the_folders(rig: Rig) -> None:
    rig.controller.fail_before["CommitResult"] = [UNAVAILABLE]
    rig.start()
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.controller.wait_for(lambda: rig.controller.calls["CommitResult"] == 1)
    await rig.end()
    for path in rig.home.glob("spool.db*"):
        path.unlink()
    rig.start()
    await rig.delivered("a-1")
    assert rig.runs() == ["a-1"]


async def test_without_streams_the_controller_is_polled(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerig_agent.rounds.POLL_S", 0.01)
    rig.controller.streams = False
    rig.controller.offers.append(rig.controller.lease("a-1"))
    rig.start()
    await rig.delivered("a-1")


async def test_every_reconnect_has_a_newer_session_and_a_sync(rig: Rig) -> None:
    rig.start()
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    rig.controller.drop_streams()
    await rig.controller.wait_for(lambda: len(rig.controller.hellos) == 2)
    synced = rig.controller.calls["Sync"]
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] > synced)
    first, second = rig.controller.hellos
    assert second.session_epoch > first.session_epoch


async def test_the_controller_sees_the_certificates_identity(rig: Rig) -> None:
    rig.start()
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    assert rig.controller.peers == {"edgerig://fleet-1/agent/orin-07"}


async def test_facts_are_reported_before_work_is_asked_for(rig: Rig) -> None:
    rig.start()
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    assert rig.controller.inventories == 1


async def test_an_embedded_agent_ends_when_it_is_told_so(rig: Rig) -> None:
    task = rig.start(embedded=True)
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    rig.controller.signal(wire.SessionResponse(goodbye=wire.Goodbye(agent_may_exit=True)))
    await asyncio.wait_for(task, PATIENCE_S)


async def test_an_embedded_agent_ends_when_its_controller_stays_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerig_agent.rounds.POLL_S", 0.01)
    monkeypatch.setattr("edgerig_agent.rounds.EMBEDDED_PATIENCE_S", 0.05)
    task = rig.start(embedded=True)
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] >= 1)
    await rig.controller.stop()
    await asyncio.wait_for(task, PATIENCE_S)


async def test_an_embedded_agent_follows_its_controller_to_a_new_port(rig: Rig) -> None:
    endpoint = rig.home.parent / "endpoint.json"
    rig.start(embedded=True)
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    await rig.controller.stop()
    rig.controller.port = 0
    await rig.controller.start()
    endpoint.write_text(json.dumps({"fleet_id": "fleet-1", "agents": f"127.0.0.1:{rig.controller.port}"}))
    await rig.controller.wait_for(lambda: len(rig.controller.hellos) == 2)


async def test_too_little_disk_means_no_work(rig: Rig) -> None:
    rig.controller.offers.append(rig.controller.lease("a-1"))
    rig.start(settings=Settings(spool_bytes=1 << 62))
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    assert not rig.controller.syncs[0].wants_work
    assert "free on the disk" in rig.controller.syncs[0].no_work_reason


class SmallDisk:
    """A disk of which the cache and others take their part; nobody can make a real one without being root."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
        self._blobs = rig.home / "cache" / "blobs"
        self._size_bytes = size_bytes
        self.others_bytes = 0
        monkeypatch.setattr("edgerig_agent.conductor.shutil.disk_usage", lambda _folder: self)

    @property
    def free(self) -> int:
        cached = sum(path.stat().st_size for path in self._blobs.glob("??/*"))
        return self._size_bytes - self.others_bytes - cached


async def test_the_cache_makes_room_before_work_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SmallDisk(rig, monkeypatch, 3_000_000)
    rig.start(settings=Settings(spool_bytes=1_000_000))
    rig.controller.offer(rig.controller.lease("a-1", weights=b"v" * 1_200_000))
    await rig.delivered("a-1")
    disk.others_bytes = 1_000_000
    rig.controller.offer(rig.controller.lease("a-2", seed=2, weights=b"w" * 900_000))
    await rig.delivered("a-2")
    assert rig.controller.results["a-2"].status == STATUS_OK
    assert {sync.no_work_reason for sync in rig.controller.syncs} == {""}


async def test_files_that_the_disk_cannot_hold_are_refused_with_the_numbers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    SmallDisk(rig, monkeypatch, 2_000_000)
    lease = rig.controller.lease("a-1", weights=b"v" * 1_200_000)
    blob = rig.home / "cache" / "blobs" / lease.trial.model.files[1].sha256[:2]
    part = blob / f".{lease.trial.model.files[1].sha256}.part"
    blob.mkdir(parents=True)
    part.write_bytes(b"v" * 100_000)
    rig.start(settings=Settings(spool_bytes=1_000_000))
    rig.controller.offer(lease)
    await rig.delivered("a-1")
    result = rig.controller.results["a-1"]
    assert result.failure_class == FAILURE_CLASS_PRECONDITION
    assert "1900000 are free" in result.failure_message
    assert not part.exists()


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerig_agent.daemon._LOCK_PATIENCE_S", 0.01)
    with (tmp_path / "agent.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4242")
        lock.flush()
        with pytest.raises(UsageError, match="pid 4242"):
            run(tmp_path, embedded=False)


def test_a_home_that_is_not_enrolled_says_how_to_enroll(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not enrolled") as caught:
        run(tmp_path, embedded=False)
    assert "edgerig-agent enroll" in caught.value.hint


def test_an_expired_certificate_is_not_dialled_with(tmp_path: Path) -> None:
    FakeController().enroll_home(tmp_path)
    path = tmp_path / "identity" / "enrollment.json"
    document = json.loads(path.read_text()) | {"not_after_unix_s": 1.0}
    path.write_text(json.dumps(document))
    with pytest.raises(DeviceError, match="expired"):
        run(tmp_path, embedded=False)


@pytest.mark.parametrize("text", ['{"cache_bytes": "much"}', '{"colour": 1}', "[]", "{"])
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "agent.json").write_text(text)
    with pytest.raises(UsageError):
        read_settings(tmp_path)


async def test_the_results_of_a_whole_batch_are_delivered_in_several_rounds(rig: Rig) -> None:
    names = [f"b-{number:03d}" for number in range(70)]
    for name in names:
        folder = AttemptFolder(rig.home / "attempts" / name)
        make(folder, rig.controller.lease(name))
        write_failure(folder, "digest", FAILURE_CLASS_KILLED, "of a batch", "boot")
    rig.start()
    await rig.controller.wait_for(lambda: len(rig.controller.results) == len(names))
    await rig.delivered(names[-1])
    assert max(len(sync.held) for sync in rig.controller.syncs) == 64


PROCESS = """
import asyncio, json, sys
from pathlib import Path
from edgerig_agent.daemon import Daemon, Settings, _until_signal
from edgerig_agent.identity import load
from edgerig_agent.runner import Programs
from edgerig_agent.spool import open_spool
home, mode, fakes = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
program = (sys.executable, fakes + "/attempt_program.py")
programs = Programs(
    (*program, "--mode", mode), (*program, "--bury"), (sys.executable, fakes + "/facts_program.py")
)
spool = open_spool(home / "spool.db")
asyncio.run(_until_signal(Daemon(home, load(home), spool, Settings(), programs, embedded=True)))
spool.close()
print(json.dumps(sorted(sys.modules)))
"""


def start_process(rig: Rig, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(rig.home), mode, str(FAKES)], stdout=subprocess.PIPE, text=True
    )


async def test_an_idle_daemon_has_loaded_nothing_heavy(rig: Rig) -> None:
    process = start_process(rig, "ok")
    await rig.controller.wait_for(lambda: rig.controller.calls["Sync"] == 1)
    rig.controller.signal(wire.SessionResponse(goodbye=wire.Goodbye(agent_may_exit=True)))
    output, _ = await asyncio.to_thread(process.communicate)
    heavy = {"numpy", "torch", "psutil", "pynvml", "cryptography", "pydantic"}
    assert heavy & set(json.loads(output)) == set()


async def test_a_killed_daemon_process_does_not_take_its_attempt_with_it(rig: Rig) -> None:
    process = start_process(rig, "wait")
    rig.controller.offer(rig.controller.lease("a-1"))
    await rig.begun()
    process.kill()
    await asyncio.to_thread(process.communicate)
    successor = start_process(rig, "wait")
    await rig.controller.wait_for(lambda: any(sync.held for sync in rig.controller.syncs))
    assert rig.controller.syncs[-1].held[0].state == wire.HELD_STATE_RUNNING
    rig.go()
    await rig.controller.wait_for(lambda: "a-1" in rig.controller.results)
    await rig.controller.wait_for(lambda: not rig.controller.syncs[-1].held)
    successor.send_signal(signal.SIGTERM)
    await asyncio.to_thread(successor.communicate)
    assert rig.runs() == ["a-1"]
    assert successor.returncode == os.EX_OK
    spool = open_spool(rig.home / "spool.db")
    assert spool.rows() == []
    spool.close()
