"""The catalogue is asked of an interpreter, and not believed unread."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgerig.errors import DeviceError, EdgerigError, ProtocolError
from edgerig_controller.study import catalog as catalogs
from tests.controller.study.building import catalog


def interpreter(folder: Path, script: str) -> str:
    """An executable that stands in for a Python whose workload misbehaves."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_this_interpreter_gives_its_catalogue() -> None:
    document = catalogs.local_catalog(sys.executable)
    assert {"none", "rag", "lora"} <= set(catalogs.parse(document).methods)


def test_modules_of_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgerig_workload.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert catalogs.local_catalog(sys.executable)["schema"] == 1


@pytest.mark.parametrize(
    ("script", "kind", "expected"),
    [
        (
            "echo 'No module named edgerig_workload' >&2; exit 1",
            DeviceError,
            "No module named edgerig_workload",
        ),
        ("echo nonsense", ProtocolError, "is not JSON"),
        ("echo '[]'", ProtocolError, "is not a JSON object"),
        ("echo '{\"schema\": 2}'", ProtocolError, "not usable: schema"),
    ],
)
def test_a_useless_answer_is_explained(
    tmp_path: Path, script: str, kind: type[EdgerigError], expected: str
) -> None:
    with pytest.raises(kind, match=expected) as caught:
        catalogs.local_catalog(interpreter(tmp_path, script))
    assert caught.value.hint


def test_an_absent_interpreter_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be started"):
        catalogs.local_catalog(str(tmp_path / "nothing"))


def test_keys_of_a_newer_catalogue_are_ignored() -> None:
    document = catalog()
    document["methods"]["lora"]["colour"] = "red"
    document["planets"] = ["mars"]
    assert catalogs.parse(document).methods["lora"].trains


def test_the_terms_of_an_agent_of_the_last_minor_are_read() -> None:
    document = catalog()
    document["memory"] = {
        "terms": {"weights_bytes": "parameters * 2"},
        "phases": {"train": ["weights_bytes"]},
    }
    (term,) = catalogs.parse(document).memory.terms.values()
    assert (term.expression, term.when) == ("parameters * 2", {})
