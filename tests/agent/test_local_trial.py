"""A person's trial file becomes an attempt folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgerig.documents import digest
from edgerig.errors import DataError, ProtocolError, UsageError
from edgerig_agent.local_trial import find_model, prepare


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("not part of the model")
    return folder


def trial_file(folder: Path, **content: Any) -> Path:
    path = folder / "trial.json"
    path.write_text(json.dumps({"protocol": "PROTOCOL_QUICK", "model": {"name": "m"}, **content}))
    return path


def test_files_and_digests_are_filled_in(tmp_path: Path) -> None:
    model(tmp_path / "m")
    trial = prepare(trial_file(tmp_path), tmp_path / "out")
    assert [file.path for file in trial.model.files] == ["config.json", "model.safetensors"]
    assert trial.model.digest == digest([[file.path, file.sha256] for file in trial.model.files])
    assert len(trial.digest) == 64
    assert json.loads((tmp_path / "out/trial.json").read_bytes())["digest"] == trial.digest


def test_labels_for_display_do_not_change_the_digest(tmp_path: Path) -> None:
    model(tmp_path / "m")
    plain = prepare(trial_file(tmp_path), tmp_path / "one")
    labelled = prepare(trial_file(tmp_path, factors={"model": "mine"}), tmp_path / "two")
    seeded = prepare(trial_file(tmp_path, seed=7), tmp_path / "three")
    assert plain.digest == labelled.digest != seeded.digest


def test_data_is_found_beside_the_trial_file(tmp_path: Path) -> None:
    model(tmp_path / "m")
    (tmp_path / "items.jsonl").write_text("{}\n")
    trial = prepare(trial_file(tmp_path, task={"data": {"path": "items.jsonl"}}), tmp_path / "out")
    settings = json.loads((tmp_path / "out/attempt.json").read_bytes())
    assert trial.task.data.sha256 == hashlib.sha256(b"{}\n").hexdigest()
    assert settings["data_file"] == str(tmp_path / "items.jsonl")


def test_a_model_on_the_device_is_named_by_its_path(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    assert find_model(f"device:{folder}", Path("/elsewhere")) == folder


def test_an_unknown_starter_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_model("starter/huge", tmp_path)
    assert "starter" in caught.value.hint


def test_a_starter_name_cannot_lead_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        find_model("starter/../../blobs", tmp_path)


def test_a_model_without_safetensors_is_refused(tmp_path: Path) -> None:
    (model(tmp_path / "m") / "model.safetensors").rename(tmp_path / "m/pytorch_model.bin")
    with pytest.raises(DataError, match="no safetensors"):
        prepare(trial_file(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_never_written_to(tmp_path: Path) -> None:
    model(tmp_path / "m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        prepare(trial_file(tmp_path), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_misspelt_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="sead"):
        prepare(trial_file(tmp_path, sead=1), tmp_path / "out")


def test_a_trial_file_that_is_not_there_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        prepare(tmp_path / "none.json", tmp_path / "out")


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    model(tmp_path / "m")
    with pytest.raises(DataError, match=r"none\.jsonl"):
        prepare(trial_file(tmp_path, task={"data": {"path": "none.jsonl"}}), tmp_path / "out")


def test_a_sentence_encoder_is_found_like_a_model(tmp_path: Path) -> None:
    model(tmp_path / "m")
    encoder = model(tmp_path / "enc")
    method = {"kind": "rag", "parameters": {"retriever": "dense", "encoder": "enc"}}
    trial = prepare(trial_file(tmp_path, method=method), tmp_path / "out")
    settings = json.loads((tmp_path / "out/attempt.json").read_bytes())
    assert [file.path for file in trial.encoder.files] == ["config.json", "model.safetensors"]
    assert settings["encoder_dir"] == str(encoder)
    assert settings["teacher_dir"] == ""


def test_a_teacher_is_found_like_a_model(tmp_path: Path) -> None:
    model(tmp_path / "m")
    teacher = model(tmp_path / "large")
    compression = {"kind": "distilled-logits", "parameters": {"teacher": "large"}}
    trial = prepare(trial_file(tmp_path, compression=compression), tmp_path / "out")
    settings = json.loads((tmp_path / "out/attempt.json").read_bytes())
    assert [file.path for file in trial.teacher.files] == ["config.json", "model.safetensors"]
    assert settings["teacher_dir"] == str(teacher)
