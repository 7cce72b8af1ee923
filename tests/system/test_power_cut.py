"""The power goes while an agent writes: its spool opens, and nothing that it had promised is missing.

What the real SQLite and the real agent tell the kernel is recorded by a
preloaded library; the disk is put together again as it may look after a cut at
a random point, with unsynced writes dropped, kept in part, or torn.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgerig_agent.folder import AttemptFolder
from edgerig_agent.spool import open_spool
from tests.system.power_cut import replay
from tests.system.power_cut.replay import Operation

pytestmark = pytest.mark.system

HERE = Path(__file__).parent / "power_cut"
CUTS = 50
SEED = 20261121
_ORDER = {"accepted": 0, "starting": 1, "running": 2, "finished": 3, "delivered": 4}


@dataclass(frozen=True)
class Recording:
    operations: list[Operation]
    home: Path
    mark: Path


@dataclass
class Promised:
    """What the agent had told others by a point of the recording."""

    states: dict[str, str] = field(default_factory=dict)
    session: int = 0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: file operations cannot be recorded (apt-get install gcc)")
    root = tmp_path_factory.mktemp("power")
    library, home, mark = root / "record.so", root / "home", root / "mark"
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(HERE / "record.c"), "-ldl"],
        capture_output=True,
        text=True,
    )
    if built.returncode:
        pytest.skip(f"the recorder cannot be built here: {built.stderr[-300:]}")
    home.mkdir()
    ran = subprocess.run(
        [sys.executable, str(HERE / "program.py"), str(home), str(mark), "12"],
        env={**os.environ, "LD_PRELOAD": str(library), "EDGERIG_RECORD": str(root / "record")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return Recording(replay.read(root / "record"), home, mark)


def promised(recording: Recording, count: int) -> Promised:
    found = Promised()
    for operation in recording.operations[:count]:
        if operation.kind == "W" and operation.path == str(recording.mark):
            for line in operation.data.decode().splitlines():
                words = json.loads(line)
                if "attempt" in words:
                    found.states[words["attempt"]] = words["state"]
                else:
                    found.session = words["session"]
    return found


def faults(recording: Recording, count: int, target: Path, rng: random.Random) -> list[str]:
    """Cuts the power after so many operations, and returns what is wrong with what is left."""
    replay.cut(recording.operations, count, recording.home, target, rng)
    expected = promised(recording, count)
    spool = open_spool(target / "spool.db", clock=lambda: 0.0)
    found = []
    try:
        if spool.moved_aside is not None:
            found.append("the spool is damaged")
        rows = {row.attempt_id: row for row in spool.rows()}
        for attempt_id, state in expected.states.items():
            row = rows.get(attempt_id)
            if state == "delivered":
                continue
            if row is None or _ORDER[row.state] < _ORDER[state]:
                found.append(f"{attempt_id} was {state} and is {row.state if row else 'gone'}")
            elif AttemptFolder(target / "attempts" / attempt_id).lease().epoch != row.epoch:
                found.append(f"{attempt_id} has another lease")
            elif state == "finished":
                AttemptFolder(target / "attempts" / attempt_id).manifest()
        if spool.next_session_epoch() <= expected.session:
            found.append("a session epoch would be given twice")
    finally:
        spool.close()
    return found


def test_nothing_promised_is_missing_after_fifty_power_cuts(recording: Recording, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    points = [rng.randrange(1, len(recording.operations) + 1) for _ in range(CUTS)]
    failed = {
        (number, count): found
        for number, count in enumerate(points)
        if (found := faults(recording, count, tmp_path / str(number), rng))
    }
    assert not failed


def test_the_cuts_see_what_is_not_synced(recording: Recording, tmp_path: Path) -> None:
    """The same recording without its fsyncs loses promises: so the cuts are not harmless."""
    unsynced = Recording(
        [one for one in recording.operations if one.kind != "S"], recording.home, recording.mark
    )
    rng = random.Random(SEED)
    assert any(
        _fails(
            unsynced,
            rng.randrange(len(unsynced.operations) // 2, len(unsynced.operations)),
            tmp_path / str(number),
            rng,
        )
        for number in range(20)
    )


def _fails(recording: Recording, count: int, target: Path, rng: random.Random) -> bool:
    try:
        return bool(faults(recording, count, target, rng))
    except Exception:  # noqa: BLE001 - a missing or damaged file is what is looked for
        return True
