"""`edgerig task`: data in LaMP's formats, made and checked from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.controller.cli.conftest import Edgerig


def test_made_data_are_sound(edgerig: Edgerig, tmp_path: Path) -> None:
    made = edgerig("task", "make", "lamp-3", "--out", str(tmp_path), "--users", "3", "--json")
    checked = edgerig("task", "check", str(tmp_path), "--json")

    assert (made.code, made.document["item_count"]) == (0, 12)
    [part] = checked.document["parts"]
    assert (checked.code, checked.document["ok"]) == (0, True)
    assert (part["task"], part["part"], part["item_count"], part["user_count"]) == ("lamp-3", "dev", 12, 3)
    assert part["faults"] == []


def test_faults_are_listed_with_their_places(edgerig: Edgerig, tmp_path: Path) -> None:
    edgerig("task", "make", "lamp-3", "--out", str(tmp_path), "--users", "2")
    questions = tmp_path / "LaMP_3/dev/dev_questions.json"
    text = questions.read_text().replace('"id": "u0000-1", ', '"id": "u0000-1" ', 1)
    questions.write_text(text)

    said = edgerig("task", "check", str(tmp_path))
    told = edgerig("task", "check", str(tmp_path), "--json").document["parts"][0]

    assert said.code == 2
    assert "dev_questions.json, line 3, byte " in said.stdout
    assert "Faults: 1 broken_record, 1 gold_without_question." in said.stdout
    assert told["fault_counts"] == {"broken_record": 1, "gold_without_question": 1}
    assert (told["faults"][0]["line"], told["faults"][0]["item_id"]) == (3, "u0000-1")


def test_only_what_is_asked_for_is_checked(edgerig: Edgerig, tmp_path: Path) -> None:
    for name in ("lamp-3", "lamp-5"):
        edgerig("task", "make", name, "--out", str(tmp_path), "--users", "2")

    document = edgerig("task", "check", str(tmp_path), "--task", "lamp-5", "--json").document

    assert [part["task"] for part in document["parts"]] == ["lamp-5"]


def test_a_folder_without_data_is_told(edgerig: Edgerig, tmp_path: Path) -> None:
    found = edgerig("task", "check", str(tmp_path), "--json")

    assert found.code == 2
    assert "holds no LaMP data" in found.document["error"]["message"]


def test_emails_are_not_made(edgerig: Edgerig, tmp_path: Path) -> None:
    found = edgerig("task", "make", "lamp-6", "--out", str(tmp_path), "--json")

    assert found.code == 2
    assert "LDC2015T03" in found.document["error"]["message"]
