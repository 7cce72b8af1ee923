"""A model's name becomes safe files with digests, or a sentence that says why not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from edgerig.errors import DataError
from edgerig_controller.data import hub, models, safetensors_header
from edgerig_controller.data.sink import HashOnly
from tests.controller.study.building import tensors, write_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refused(name: str, folder: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        models.find(name, folder=folder)
    assert caught.value.hint
    return caught.value


def test_a_folder_is_relative_to_the_study(tmp_path: Path) -> None:
    write_model(tmp_path / "here")
    found = models.find("here", folder=tmp_path)
    assert [path for path, _ in found.files] == ["config.json", "model.safetensors", "tokenizer.json"]


def test_other_files_of_the_folder_are_left_behind(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    for name in (
        "modeling_evil.py",
        "pytorch_model.bin",
        "training.json",
        "README.md",
        "adapter.safetensors",
    ):
        (folder / name).write_bytes(b"x")
    assert len(models.find("./m", folder=tmp_path).files) == 3


def test_facts_come_from_header_and_config(tmp_path: Path) -> None:
    write_model(tmp_path / "m", hidden=16, intermediate_size=40, num_key_value_heads=2)
    facts = models.find("m", folder=tmp_path).facts
    assert facts is not None
    assert (facts.parameter_count, facts.stored_element_bytes) == (160, 2)
    assert facts.config == {
        "hidden": 16,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 4,
        "vocabulary": 10,
        "intermediate": 40,
    }


def test_the_element_size_is_that_of_the_largest_tensor(tmp_path: Path) -> None:
    write_model(tmp_path / "m", kind="F32")
    facts = models.find("m", folder=tmp_path).facts
    assert facts is not None
    assert facts.stored_element_bytes == 4


def test_the_digest_is_of_paths_and_contents(tmp_path: Path) -> None:
    one = models.publish(models.find("a", folder=write_model(tmp_path / "a").parent), HashOnly())
    write_model(tmp_path / "b")
    two = models.publish(models.find("./b", folder=tmp_path), HashOnly())
    assert one.digest == two.digest
    config = (tmp_path / "a" / "config.json").read_bytes()
    assert one.files[0].sha256 == hashlib.sha256(config).hexdigest()
    assert one.files[0].size_bytes == len(config)
    (tmp_path / "b" / "config.json").write_text('{"model_type": "other"}')
    assert models.publish(models.find("./b", folder=tmp_path), HashOnly()).digest != one.digest


def test_shards_are_taken_by_their_index(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "model-1.safetensors").write_bytes(tensors({"a": [3]}))
    (folder / "model-2.safetensors").write_bytes(tensors({"b": [4]}))
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = models.find("m", folder=tmp_path)
    assert [path for path, _ in found.files] == [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    assert found.facts is not None
    assert found.facts.parameter_count == 7


@pytest.mark.parametrize(
    "shard", ["../secret.safetensors", "/etc/x.safetensors", "a/b.safetensors", "x.bin", 3]
)
def test_an_index_cannot_name_files_elsewhere(tmp_path: Path, shard: object) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    assert "weight_map" in refused("m", tmp_path).message


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "1 of 1 weight files are missing, first model-1.safetensors" in refused("m", tmp_path).message


def test_pickles_alone_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    error = refused("m", tmp_path)
    assert "pickles can run code" in error.message
    assert "safe_serialization=True" in error.hint


def test_code_of_a_repository_is_left_behind(tmp_path: Path) -> None:
    # Whether a model can do without is known to the worker's transformers alone.
    folder = write_model(tmp_path / "m", auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["modeling.Evil", null]}}')
    (folder / "modeling.py").write_text("raise SystemExit")
    names = [path for path, _ in models.find("m", folder=tmp_path).files]
    assert names == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("config.json", "config.json is missing"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no weights"),
    ],
)
def test_a_missing_part_is_named(tmp_path: Path, file: str, expected: str) -> None:
    (write_model(tmp_path / "m") / file).unlink()
    assert expected in refused("m", tmp_path).message


def test_an_unknown_starter_lists_the_known_ones(tmp_path: Path) -> None:
    error = refused("starter/enormous", tmp_path)
    assert all(f"starter/{name}" in error.hint for name in models.starters())


@pytest.mark.parametrize("name", ["starter/..", "starter/../../edgerig", "starter/", "starter/."])
def test_a_starter_name_is_no_path(tmp_path: Path, name: str) -> None:
    assert "there is no model" in refused(name, tmp_path).message


def test_the_starter_models_are_whole() -> None:
    for name in models.starters():
        found = models.find(f"starter/{name}", folder=Path())
        assert "training.json" not in {path for path, _ in found.files}
        assert found.facts is not None
        assert set(found.facts.config) == set(models._CONFIG_NAMES)


def test_a_path_on_a_device_is_recorded_and_not_looked_at(tmp_path: Path) -> None:
    model = models.publish(models.find("device:/models/x", folder=tmp_path), HashOnly())
    assert (model.device_path, list(model.files), len(model.digest)) == ("/models/x", [], 64)


@pytest.mark.parametrize("name", ["device:models/x", "device:", "device:/a/../b", "device:/" + "a" * 2000])
def test_a_device_path_is_absolute_and_plain(tmp_path: Path, name: str) -> None:
    assert "no absolute path" in refused(name, tmp_path).message


@pytest.mark.parametrize(
    "name", ["nothing", "./nothing", "a/b/c", "a\x00b", "org/name@", "../../x/y", "a" * 900]
)
def test_a_name_of_no_source_is_refused(tmp_path: Path, name: str) -> None:
    refused(name, tmp_path)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused("loop", tmp_path)


def test_the_hub_is_asked_for_a_name_that_is_no_folder(tmp_path: Path) -> None:
    asked: list[tuple[str, str, bool]] = []

    def fetch(repo: str, revision: str, offline: bool) -> tuple[Path, str]:
        asked.append((repo, revision, offline))
        return write_model(tmp_path / "cache"), COMMIT

    found = models.find("org/name@v1.0", folder=tmp_path, offline=True, fetch=fetch)
    assert asked == [("org/name", "v1.0", True)]
    assert found.revision == COMMIT


def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of our own, as huggingface_hub lays it out."""
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def test_a_cached_repository_is_used_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub_cache(tmp_path, monkeypatch) / "models--org--name"
    write_model(repo / "snapshots" / COMMIT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    found = models.find("org/name", folder=tmp_path, offline=True)
    assert (found.revision, len(found.files)) == (COMMIT, 3)


def test_a_repository_that_is_not_cached_says_so_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="not in the cache, and HF_HUB_OFFLINE forbids") as caught:
        hub.fetch("org/name", "", True)
    assert "HF_HUB_OFFLINE" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "GatedRepo", "is gated"),
        (404, "RevisionNotFound", "has no revision"),
        (404, "RepoNotFound", "there is no model"),
        (503, "", "the hub did not give"),
    ],
)
def test_an_answer_of_the_hub_becomes_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_server: Path, status: int, code: str, expected: str
) -> None:
    (hub_server / "answer.json").write_text(json.dumps([status, code]))
    with pytest.raises(DataError, match=expected) as caught:
        hub.fetch("org/name", "v1", False)
    assert caught.value.hint


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(DataError, match="no sound length"):
        safetensors_header.read(path)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(tensors({"a": [4, 4]})[:-1])
    with pytest.raises(DataError, match="not whole: its tensors take 32 bytes, the file has 31"):
        safetensors_header.read(path)


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{",
        "{}",
        '{"a": 3}',
        '{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [99999999999999999999], "data_offsets": [0, 4]}}',
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(4))
    with pytest.raises(DataError):
        safetensors_header.read(path)


def test_the_header_agrees_with_the_library(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    library = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "x.safetensors"
    library.save_file({"a": numpy.zeros((3, 5), "float32"), "b": numpy.zeros(7, "float16")}, path)
    assert safetensors_header.read(path) == safetensors_header.Tensors(22, 15, 4)
