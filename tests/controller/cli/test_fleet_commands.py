"""The commands of a fleet against one real served controller: people, devices, inventory, audit."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgerig_controller.cli.main import main
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from tests.controller.cli.conftest import Ran

INVENTORY = """\
all:
  children:
    orin_nano:
      vars: {edgerig_labels: [orin], edgerig_module: Orin Nano}
      hosts:
        declared-07: {edgerig_memory_bytes: 8589934592, ansible_host: 10.0.0.7}
        declared-08: {edgerig_memory_bytes: 8589934592}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs a controller as a process and returns its data folder."""
    data = tmp_path_factory.mktemp("fleet") / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgerig_controller.serve", "--data", str(data)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (data / "endpoint.json").exists():
            # Another process: the only way to see its file is to look again.
            assert process.poll() is None and time.monotonic() < deadline, "the controller did not start"
            time.sleep(0.02)
        yield data
    finally:
        process.terminate()
        process.wait(60)


class Shell:
    """Types commands on a data folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, data: Path, *words: str, stdin: str = "") -> Ran:
        self._monkeypatch.setenv("EDGERIG_HOME", str(data))
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self._capsys.readouterr()
        code = main(list(words))
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


def test_a_person_joins_and_may_what_their_role_says(served: Path, typed: Shell, tmp_path: Path) -> None:
    invitation = typed(served, "person", "add", "vera", "--role", "viewer", "--json").document
    mine = tmp_path / "vera"
    words = invitation["command"].split()[1:]
    joined = typed(mine, *words, stdin=invitation["token"] + "\n")
    assert joined.code == 0, joined.stderr
    assert "as vera, viewer" in joined.stdout
    assert (mine / "person" / "key.pem").stat().st_mode & 0o777 == 0o600
    typed(served, "device", "add", "orin-01", "--json")
    listed = typed(mine, "devices", "--json").document["devices"]
    assert "orin-01" in [item["device_id"] for item in listed]
    refused = typed(mine, "hold", "orin-01", "--reason", "mine", "--for", "2h")
    assert refused.code == 3
    assert "vera is a viewer" in refused.stderr
    assert "Next: ask an operator" in refused.stderr
    audit = typed(served, "audit", "--json").document["entries"]
    assert ("vera", "SetDeviceMode", "orin-01", "denied") in [
        (entry["who"], entry["what"], entry["subject"], entry["outcome"]) for entry in audit
    ]
    assert "vera" in typed(served, "person", "list").stdout
    assert typed(served, "person", "revoke", "vera", "--yes").code == 0
    gone = typed(mine, "devices", "--json")
    assert gone.code == 3
    assert "revoked" in gone.document["error"]["message"]
    assert typed(mine, *words, stdin="x\n").code == 2


def test_a_wrong_ca_hash_keeps_the_token_at_home(served: Path, typed: Shell, tmp_path: Path) -> None:
    invitation = typed(served, "person", "add", "walt", "--role", "operator", "--json").document
    words = invitation["command"].replace(invitation["ca_spki_sha256"], "0" * 64).split()[1:]
    refused = typed(tmp_path / "walt", *words, stdin=invitation["token"] + "\n")
    assert refused.code == 3
    assert "not the controller you were told of" in refused.stderr
    right = invitation["command"].split()[1:]
    assert typed(tmp_path / "walt", *right, stdin=invitation["token"] + "\n").code == 0
    assert typed(tmp_path / "walt", "device", "add", "orin-09", "--json").code == 0
    assert typed(tmp_path / "walt", "cancel", "nothing").code == 5


STUDY = """\
edgerig: 1
name: from-afar
protocol: quick
devices: {names: [nobody-07]}
tasks: [{name: lamp-2, source: synthetic, users: 4, items_per_user: 1}]
factors: {model: [starter/tiny], method: [{kind: none}], history: [4]}
"""


def test_an_operator_runs_a_study_from_their_own_machine_in_their_own_name(
    served: Path, typed: Shell, tmp_path: Path
) -> None:
    invitation = typed(served, "person", "add", "olga", "--role", "operator", "--json").document
    mine = tmp_path / "olga"
    assert typed(mine, *invitation["command"].split()[1:], stdin=invitation["token"] + "\n").code == 0
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    submitted = typed(mine, "run", str(path), "--detach", "--priority", "3", "--json").document
    assert submitted["trial_count"] == 1
    audit = typed(served, "audit", "--json").document["entries"]
    assert ("olga", "SubmitStudy", "study.yaml", "priority 3; reuse True") in [
        (entry["who"], entry["what"], entry["subject"], entry["detail"]) for entry in audit
    ]
    cancelled = typed(mine, "cancel", submitted["study_id"], "--json").document
    assert cancelled["cancelled_count"] == 1
    followed = typed(mine, "watch", submitted["study_id"], "--json")
    assert (followed.code, followed.document["done_count"]) == (0, 0)
    repository = Repository.open_readonly(Home(served))
    study = repository.find_study(submitted["study_id"])
    repository.close()
    assert study.state == "cancelled"
    with closing(sqlite3.connect(f"file:{served / 'store.db'}?mode=ro", uri=True)) as store:
        query = "SELECT owner, priority FROM study WHERE study_id = ?"
        assert store.execute(query, (study.study_id,)).fetchall() == [("olga", 3)]


def test_the_data_folder_of_a_controller_joins_no_other(served: Path, typed: Shell) -> None:
    invitation = typed(served, "person", "add", "xena", "--role", "viewer", "--json").document
    refused = typed(served, *invitation["command"].split()[1:], stdin="t\n")
    assert refused.code == 2
    assert "--data DIR" in refused.stderr


def test_a_device_is_held_and_released(served: Path, typed: Shell) -> None:
    typed(served, "device", "add", "orin-02", "--json")
    held = typed(served, "hold", "orin-02", "--reason", "hands on", "--for", "2h", "--json").document[
        "device"
    ]
    assert held["mode"] == "hold"
    assert "hands on" in held["blocked_reason"]
    assert "orin-02 gets no work: hold until" in typed(served, "devices").stdout
    assert typed(served, "drain", "orin-02").code == 2
    assert typed(served, "hold", "orin-02", "--reason", "x", "--for", "soon").code == 2
    assert typed(served, "maintenance", "orin-02", "--reason", "new fan").code == 0
    assert typed(served, "release", "orin-02").stdout == "orin-02 gets work again.\n"
    assert typed(served, "release", "nobody", "--json").code == 5


def test_an_inventory_is_applied_compared_and_given_to_ansible(
    served: Path, typed: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(INVENTORY)
    assert "declared-07: added" in typed(served, "inventory", "diff", str(path)).stdout
    assert "declared-07" not in typed(served, "inventory", "list").stdout
    assert typed(served, "inventory", "apply", str(path)).code == 0
    assert "nothing changes" in typed(served, "inventory", "apply", str(path)).stdout
    assert typed(served, "inventory", "diff").code == 0
    ansible = json.loads(typed(served, "inventory", "list", "--list").stdout)
    assert ansible["orin_nano"] == {"hosts": ["declared-07", "declared-08"]}
    variables = json.loads(typed(served, "inventory", "list", "--host", "declared-07").stdout)
    assert variables["ansible_host"] == "10.0.0.7"
    assert variables["edgerig_memory_bytes"] == 8589934592
    assert typed(served, "inventory", "list", "--host", "nobody").code == 5
    path.write_text("all: {hosts: {Orin: {edgerig_ram: 1}}, host: {}}")
    answer = typed(served, "inventory", "apply", str(path))
    assert answer.code == 2
    assert "3 problems" in answer.stderr


def test_a_device_is_shut_out(served: Path, typed: Shell) -> None:
    typed(served, "device", "add", "orin-03", "--json")
    assert typed(served, "device", "revoke", "orin-03", "--reason", "lost").code == 2
    revoked = typed(served, "device", "revoke", "orin-03", "--reason", "lost", "--yes", "--json")
    assert revoked.document["serials"] == []


def test_health_of_a_device_that_was_never_checked(served: Path, typed: Shell) -> None:
    typed(served, "device", "add", "orin-04", "--json")
    shown = typed(served, "health", "show", "orin-04", "--json").document
    assert (shown["health"], shown["points"]) == ("unknown", [])
    assert typed(served, "health", "reset", "orin-04").code == 0
    queued = typed(served, "health", "run", "orin-04", "--json").document
    assert len(queued["study_id"]) == 12
    assert typed(served, "health", "show", "nobody").code == 5


def test_logs_of_nothing_say_so(served: Path, typed: Shell) -> None:
    answer = typed(served, "logs", "abc", "--json")
    assert answer.code == 5
    assert "There is no attempt" in answer.document["error"]["message"]


def test_without_a_controller_an_empty_folder_lists_nothing(typed: Shell, tmp_path: Path) -> None:
    listed = typed(tmp_path / "none", "devices", "--json").document
    assert (listed["controller_runs"], listed["devices"]) == (False, [])
    assert typed(tmp_path / "none", "audit").code == 3
