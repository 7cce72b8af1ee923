"""Loading models: what a folder must hold, and that nothing random slips in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")

from edgerig_workload import models  # noqa: E402 - imports torch at its top

CPU = torch.device("cpu")


@pytest.fixture
def folder(llama_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(llama_folder, tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(WorkerFault) as caught:
        models.load(folder, "auto", CPU)
    assert caught.value.failure_class == "bad_model"
    return caught.value.message


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_processor_runs_float32_by_default(llama_folder: Path) -> None:
    loaded = models.load(llama_folder, "auto", CPU)

    assert (loaded.dtype, loaded.weights_bytes) == ("float32", 4 * loaded.parameter_count)


def test_number_format_of_the_trial_is_used(llama_folder: Path) -> None:
    loaded = models.load(llama_folder, "bfloat16", CPU)

    assert loaded.weights_bytes == 2 * loaded.parameter_count


def test_context_and_end_token_are_known(llama_folder: Path) -> None:
    loaded = models.load(llama_folder, "auto", CPU)

    assert (loaded.max_tokens, loaded.stop_ids, loaded.pad_id) == (256, {2}, 0)


def test_missing_tensor_is_refused_and_not_made_up(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    assert "layers.1.mlp.up_proj" in refusal(folder)


def test_head_that_is_tied_to_the_embeddings_needs_no_tensor_of_its_own(folder: Path) -> None:
    from safetensors.torch import load_file

    loaded = models.load(folder, "auto", CPU)

    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight


def test_head_that_is_said_to_stand_alone_and_is_missing_is_refused_with_the_fix(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=False)

    message = refusal(folder)

    assert "lm_head.weight" in message
    assert "save_pretrained" in message


@pytest.mark.parametrize("kept", [{"eos_token": "<eos>"}, {}])
def test_tokenizer_without_a_padding_token_answers_a_batch_as_it_answers_each(
    folder: Path, kept: dict[str, str]
) -> None:
    """Padding is masked everywhere, so that whatever id stands there changes nothing."""
    from edgerig_workload.infer.generate import generate

    expected = models.load(folder, "float32", CPU)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    names = ("pad_token", "eos_token", "unk_token", "bos_token")
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in names} | kept))
    loaded = models.load(folder, "float32", CPU)
    prompts = [[40, 41, 42, 43, 44], [50, 51], [60, 61, 62]]

    assert loaded.tokenizer.pad_token is None
    together = generate(loaded, prompts, 5, lambda row: False)

    assert together == [generate(expected, [prompt], 5, lambda row: False)[0] for prompt in prompts]


def test_tensor_of_another_shape_is_refused(folder: Path) -> None:
    change_config(folder, intermediate_size=48)

    assert "weights" in refusal(folder)


def test_weights_in_pickle_form_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    assert "safetensors" in refusal(folder)


def test_model_with_code_of_its_own_is_refused(folder: Path) -> None:
    change_config(folder, auto_map={"AutoModelForCausalLM": "code.Model"}, model_type="llamma")

    message = refusal(folder)

    assert "code of its own" in message
    assert "'llamma'" in message


@pytest.fixture
def foreign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with code beside it that would leave a file behind, and whose names all point to it."""
    for name in ("own_config", "own_model", "own_tokenizer"):
        (folder / f"{name}.py").write_text(
            f"from pathlib import Path\nPath({str(folder / 'it-ran')!r}).touch()\nclass Own: ...\n"
        )
    change_config(
        folder,
        auto_map={
            "AutoConfig": "own_config.Own",
            "AutoModelForCausalLM": "own_model.Own",
            "AutoModel": "own_model.Own",
            "AutoTokenizer": "own_tokenizer.Own",
        },
    )
    path = folder / "tokenizer_config.json"
    mapped = {"auto_map": {"AutoTokenizer": ["own_tokenizer.Own", "own_tokenizer.Own"]}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **mapped}))
    # Nobody is asked either.
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("transformers asks whether to run it"))
    return folder


def test_code_beside_a_known_architecture_is_not_run(foreign: Path) -> None:
    loaded = models.load(foreign, "auto", CPU)

    assert type(loaded.model).__module__ == "transformers.models.llama.modeling_llama"
    assert not (foreign / "it-ran").exists()


# The second has a configuration in transformers and no model that answers.
@pytest.mark.parametrize("model_type", ["llamma", "clip_vision_model"])
def test_code_is_not_run_where_there_is_nothing_else(foreign: Path, model_type: str) -> None:
    change_config(foreign, model_type=model_type)

    assert refusal(foreign)
    assert not (foreign / "it-ran").exists()


def test_unknown_architecture_is_refused(folder: Path) -> None:
    change_config(folder, model_type="llamma", architectures=["LlammaForCausalLM"])

    assert "configuration is refused" in refusal(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)

    assert "weights cannot be loaded" in refusal(folder)


def test_missing_tokenizer_is_refused(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()

    assert "tokenizer" in refusal(folder)


def test_tokenizer_larger_than_the_embedding_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 400, "content": "<extra>"})
    content["model"]["vocab"]["<extra>"] = 400
    path.write_text(json.dumps(content))

    assert "embeds only 320" in refusal(folder)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["../other.safetensors", "weights.bin", "absent.safetensors"])
def test_index_that_leads_astray_is_refused(folder: Path, name: str) -> None:
    index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    assert name in refusal(folder)


def test_adapter_folder_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere/model"}')

    assert "is an adapter" in refusal(folder)
