"""Trials carried to a device without a network and back: a real controller and real agents, a folder between.

Nothing but the attempt's work is scripted. The agent never opens a socket: there is nobody to dial.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edgerig import documents
from edgerig.errors import ProtocolError, UsageError
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1 import batch_service_pb2 as pb
from edgerig.v1.trial_pb2 import FileRef, Model, Task
from edgerig_agent import identity as identities
from edgerig_agent.batch import _sign
from edgerig_agent.runner import Programs, Runner
from edgerig_agent.spool import open_spool
from edgerig_controller.cli import batch_folder
from edgerig_controller.fleet.identity import KeyPair
from edgerig_controller.study.prepared import PreparedStudy
from tests.controller.rpc import rig as rigs
from tests.controller.store.building import study
from tests.fakes.agent_rig import FAKES

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
_AGENT = """
import sys
from pathlib import Path
from edgerig_agent import batch
from edgerig_agent.runner import Programs
home, folder, mode, fakes = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
program = (sys.executable, fakes + "/attempt_program.py")
batch.programs = lambda *_: Programs((*program, "--mode", mode), (*program, "--bury"), program)
done, count = batch.run(home, folder, print)
sys.exit(0 if done == count else 1)
"""


@dataclass
class Carried:
    """A controller, an enrolled device's home, and the stick between them."""

    rig: rigs.Rig
    pair: KeyPair
    home: Path
    stick: Path
    study_id: str = ""

    async def export(self, trial_limit: int = 0) -> batch_folder.Written:
        return await batch_folder.write(self.rig.home, self.study_id, "board", self.stick, trial_limit)

    async def take_in(self) -> list[str]:
        return [item.outcome for item in await batch_folder.read(self.rig.home, self.stick)]

    def start(self, mode: str = "ok") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _AGENT, str(self.home), str(self.stick), mode, str(FAKES)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGERIG_FAKE_SCORES": "1"}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    async def run(self) -> tuple[int, str]:
        process = self.start()
        _, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
        return process.returncode, errors

    def runs(self) -> list[str]:
        log = self.home / "runs.log"
        return log.read_text().split() if log.exists() else []

    def results(self) -> list[Path]:
        return sorted((self.stick / "results").glob("*-*"))

    async def states(self) -> list[str]:
        rows = await self.rig.frame.store.ask(lambda store: store.trials(self.study_id))
        return [row.state for row in rows]


@pytest_asyncio.fixture
async def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Carried]:
    async with rigs.running(tmp_path / "data") as rig:
        pair = await rig.enrolled("board", ())
        home = tmp_path / "home"
        enrollment = identities.Enrollment("board", rig.frame.authority.fleet_id, "nobody:1", "nobody:2")
        ca_pem = rig.frame.authority.ca_pem
        identities.save(home, identities.Identity(enrollment, pair.key_pem, pair.certificate_pem, ca_pem))
        for name in ("go", "begun"):
            os.mkfifo(home / name)

        @asynccontextmanager
        async def channel(_home: Any) -> AsyncIterator[Any]:
            async with rig.channel(rig.listeners.control_port, rig.operator()) as opened:
                yield opened

        monkeypatch.setattr(batch_folder, "channel", channel)
        found = Carried(rig, pair, home, tmp_path / "stick")
        found.study_id = await rig.store_study(_study(rig))
        yield found


def _study(rig: rigs.Rig) -> PreparedStudy:
    """Makes a study of three trials whose model and data are blobs of the controller."""
    references = [
        FileRef(path=path, sha256=rig.frame.blobs.put_bytes(content), size_bytes=len(content))
        for content, path in ((b"model" * 300_000, "sub/model.safetensors"), (b"{}", "data.jsonl"))
    ]
    made = study(cells=1, seeds=(1, 2, 3), labels=(), names=("board",))
    for planned in made.trials:
        planned.trial.model.CopyFrom(Model(name="starter/small", files=references[:1]))
        planned.trial.task.CopyFrom(Task(name="lamp-2", data=references[1]))
        planned.trial.digest = ""
        planned.trial.digest = documents.digest(documents.to_json(planned.trial))
    return replace(made, blobs=frozenset(reference.sha256 for reference in references))


async def test_a_batch_goes_there_and_back_and_each_trial_counts_once(carried: Carried) -> None:
    made = await carried.export()
    assert made.trial_count == 3
    assert await carried.states() == ["leased"] * 3
    assert await carried.take_in() == []
    assert await carried.run() == (0, "")
    assert await carried.take_in() == ["canonical"] * 3
    assert await carried.take_in() == ["already_have"] * 3
    assert await carried.states() == ["done"] * 3
    assert sorted(carried.runs()) == [path.name for path in carried.results()]
    # A run of a finished batch does nothing.
    assert await carried.run() == (0, "")
    assert len(carried.runs()) == 3


async def test_a_device_switched_off_in_the_middle_goes_on_where_it_was(carried: Carried) -> None:
    await carried.export()
    process = carried.start("wait")
    begun = os.open(carried.home / "begun", os.O_RDWR)
    await asyncio.to_thread(os.read, begun, 1)
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    assert carried.results() == [] and len(carried.runs()) == 1
    # The attempt process has outlived the agent; it is taken up, not started again.
    go = os.open(carried.home / "go", os.O_RDWR)
    os.write(go, b"x")
    assert await carried.run() == (0, "")
    assert await carried.take_in() == ["canonical"] * 3
    assert len(carried.runs()) == len(set(carried.runs())) == 3
    os.close(begun)
    os.close(go)


async def test_results_of_a_batch_are_delivered_by_the_daemon_where_there_is_a_network(
    carried: Carried,
) -> None:
    await carried.export()
    await carried.run()
    command = [sys.executable, "-m", "edgerig_agent.cli", "batch", "deliver", str(carried.stick)]
    ended = await asyncio.to_thread(
        subprocess.run, [*command, "--home", str(carried.home)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    spool = open_spool(carried.home / "spool.db")
    runner = Runner(carried.home, spool, Programs((), (), ()), "boot")
    rows = await runner.settle_own()
    assert [row.state for row in rows] == ["finished"] * 3
    held = [
        wire.HeldAttempt(attempt_id=row.attempt_id, epoch=row.epoch, state=wire.HELD_STATE_FINISHED)
        for row in rows
    ]
    async with carried.rig.agent(carried.pair) as stub:
        reply = await stub.Sync(wire.SyncRequest(held=held), timeout=PATIENCE_S)
    assert {item.verdict for item in reply.verdicts} == {wire.VERDICT_SEND}
    # Carried back as well: each is stored once.
    assert await carried.take_in() == ["canonical"] * 3
    async with carried.rig.agent(carried.pair) as stub:
        reply = await stub.Sync(wire.SyncRequest(held=held), timeout=PATIENCE_S)
    assert {item.verdict for item in reply.verdicts} == {wire.VERDICT_ALREADY_HAVE}
    spool.close()


async def test_a_withdrawn_batch_waits_again_and_its_late_results_are_welcome(carried: Carried) -> None:
    made = await carried.export()
    await carried.run()
    request = pb.WithdrawBatchRequest(batch_id=made.batch_id)
    reply = await batch_folder.call(carried.rig.home, "WithdrawBatch", request)
    assert reply.requeued_count == 3
    assert await carried.states() == ["queued"] * 3
    assert await carried.take_in() == ["canonical"] * 3
    assert await carried.states() == ["done"] * 3


async def test_a_cancelled_study_takes_its_batches_along(carried: Carried) -> None:
    await carried.export(trial_limit=2)
    store = carried.rig.frame.store
    await store.ask(lambda one: one.cancel_study(carried.study_id, now_unix_s=carried.rig.clock()))
    assert await carried.states() == ["cancelled"] * 3
    await carried.run()
    assert await carried.take_in() == ["canonical"] * 2


async def test_a_batch_that_was_changed_or_is_for_another_device_is_not_run(carried: Carried) -> None:
    await carried.export()
    path = carried.stick / "batch.json"
    whole = path.read_text()
    path.write_text(whole.replace("starter/small", "starter/large"))
    code, errors = await carried.run()
    assert code != 0 and "not signed by this device's fleet, or was changed" in errors
    path.write_text(whole)
    enrollment = carried.home / "identity" / "enrollment.json"
    enrollment.write_text(json.dumps({**json.loads(enrollment.read_text()), "device_id": "other"}))
    code, errors = await carried.run()
    assert code != 0 and "is for board, this is other" in errors
    assert carried.runs() == []


async def test_a_blob_that_was_changed_is_no_model(carried: Carried) -> None:
    await carried.export(trial_limit=1)
    blob = max((carried.stick / "blobs").glob("*/*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"evil!" * 300_000)
    await carried.run()
    assert carried.runs() == []
    (result,) = carried.results()
    document = json.loads((result / "files" / "result.json").read_text())
    assert document["failure_class"] == "FAILURE_CLASS_PRECONDITION"
    assert "another content than its name says" in document["failure_message"]


def _rewrite(result: Path, change: Any, key_pem: bytes | None = None) -> None:
    """Changes the commit of a result, and signs it where a key is given."""
    commit = json.loads((result / "commit.json").read_text())
    change(commit)
    text = json.dumps(commit).encode()
    (result / "commit.json").write_bytes(text)
    if key_pem is not None:
        (result / "commit.sig").write_bytes(_sign(key_pem, text))


async def _refusal(carried: Carried) -> str:
    (found,) = await batch_folder.read(carried.rig.home, carried.stick)
    assert found.outcome == "rejected", found
    assert "done" not in await carried.states()
    return found.problem


@pytest_asyncio.fixture
async def returned(carried: Carried) -> Carried:
    """A batch of one trial, with its result, that is back."""
    await carried.export(trial_limit=1)
    assert (await carried.run())[0] == 0
    return carried


async def test_a_result_changed_on_its_way_is_refused(returned: Carried) -> None:
    (result,) = returned.results()
    _rewrite(result, lambda commit: commit["result"].update(item_count=99))
    assert "not signed by board, or was changed" in await _refusal(returned)


async def test_a_file_changed_on_its_way_is_refused(returned: Carried) -> None:
    (result,) = returned.results()
    scores = result / "files" / "scores.jsonl"
    scores.write_bytes(scores.read_bytes().replace(b"0.5", b"0.9"))
    assert "not those of blob" in await _refusal(returned)


async def test_a_file_that_is_a_link_is_not_read(returned: Carried) -> None:
    (result,) = returned.results()
    scores = result / "files" / "scores.jsonl"
    scores.unlink()
    scores.symlink_to("/etc/hostname")
    assert "symbolic link" in await _refusal(returned)


async def test_a_path_that_leads_out_is_refused_though_it_is_signed(returned: Carried) -> None:
    (result,) = returned.results()

    def lead_out(commit: dict[str, Any]) -> None:
        manifest = commit["manifest"]
        manifest["files"][0]["path"] = "../../../../etc/passwd"
        commit["sha256"] = documents.digest(manifest)

    _rewrite(result, lead_out, returned.pair.key_pem)
    assert "is not the path of a file of an attempt" in await _refusal(returned)


async def test_another_devices_signature_brings_nothing(returned: Carried) -> None:
    other = await returned.rig.enrolled("other", ())
    (result,) = returned.results()
    _rewrite(result, lambda _commit: None, other.key_pem)
    (result / "certificate.pem").write_bytes(other.certificate_pem)
    (found,) = await batch_folder.read(returned.rig.home, returned.stick)
    assert (found.outcome, found.problem) == ("discarded", "the attempt is unknown here")
    assert "done" not in await returned.states()


async def test_a_stranger_and_a_revoked_device_are_refused(returned: Carried, tmp_path: Path) -> None:
    (result,) = returned.results()
    stranger = rigs.foreign_agent(returned.rig.frame.authority, "board")
    _rewrite(result, lambda _commit: None, stranger.key_pem)
    (result / "certificate.pem").write_bytes(stranger.certificate_pem)
    assert "is not known here" in await _refusal(returned)
    async with rigs.running(tmp_path / "elsewhere") as elsewhere:
        foreign = rigs.foreign_agent(elsewhere.frame.authority, "board")
    _rewrite(result, lambda _commit: None, foreign.key_pem)
    (result / "certificate.pem").write_bytes(foreign.certificate_pem)
    assert "not one of this fleet" in await _refusal(returned)
    now = returned.rig.clock()
    await returned.rig.frame.store.ask(
        lambda store: store.fleet.revoke_device("board", "", "stolen", now_unix_s=now)
    )
    _rewrite(result, lambda _commit: None, returned.pair.key_pem)
    (result / "certificate.pem").write_bytes(returned.pair.certificate_pem)
    assert "was revoked: stolen" in await _refusal(returned)


async def test_a_folder_in_use_and_one_that_is_no_batch_are_said(carried: Carried) -> None:
    carried.stick.mkdir()
    with pytest.raises(UsageError, match="holds no batch"):
        await carried.take_in()
    (carried.stick / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        await carried.export()
    assert await carried.states() == ["queued"] * 3


async def test_a_stick_that_is_full_gives_the_trials_back(
    carried: Carried, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch_folder, "_write", full)
    with pytest.raises(Exception, match="No space left"):
        await carried.export()
    assert await carried.states() == ["queued"] * 3
    shutil.rmtree(carried.stick)


async def test_pieces_for_an_attempt_that_is_out_nowhere_are_refused(carried: Carried) -> None:
    chunk = wire.PutChunkRequest(attempt_id="0123456789ab-0000", sha256="a" * 64, size_bytes=1, data=b"x")
    with pytest.raises(ProtocolError, match="is unknown here"):
        await batch_folder.call(carried.rig.home, "PutBatchChunk", pb.PutBatchChunkRequest(chunk=chunk))
