"""LoRA on a tiny model: what it changes, what it leaves alone, and that a seed fixes it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.learn import method  # noqa: E402
from edgerig_workload.learn.context import Context, Questions  # noqa: E402
from edgerig_workload.learn.trainables import lora  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402
from edgerig_workload.tasks.items import load  # noqa: E402
from edgerig_workload.tasks.spec import TaskSpec  # noqa: E402

IDS = [[1, 40, 41, 42, 43, 44]]


@pytest.fixture
def loaded(llama_folder: Path) -> Any:
    return models.load(llama_folder, "auto", torch.device("cpu"))


def adapters(loaded: Any, **changes: Any) -> Any:
    return lora(loaded, **{"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": "all-linear", **changes})


def logits(loaded: Any) -> Any:
    with torch.inference_mode():
        return loaded.model(input_ids=torch.tensor(IDS)).logits


def frozen_hash(loaded: Any) -> str:
    mark = hashlib.sha256()
    for name, weight in sorted(loaded.model.state_dict().items()):
        if "lora_" not in name:
            mark.update(weight.numpy().tobytes())
    return mark.hexdigest()


def context(
    document: dict[str, Any], parameters: dict[str, Any], loaded: Any, data: Path, recorder: Any, out: Path
) -> Context:
    parsed = trial.parse({**document, "method": {"kind": "lora", "parameters": parameters}})
    questions = Questions(TaskSpec.from_trial(parsed.task), load(data))
    return Context(parsed, loaded, questions, Marks(recorder, ProcResidentSet()), recorder, out)


def learn(
    document: dict[str, Any], parameters: dict[str, Any], folder: Path, data: Path, recorder: Any, out: Path
) -> tuple[Any, Any]:
    """Trains from a freshly loaded model under the trial's seed, as the frame does."""
    torch.manual_seed(document["seed"])
    loaded = models.load(folder, "auto", torch.device("cpu"))
    return method("lora")(context(document, parameters, loaded, data, recorder, out)), loaded


def test_fresh_adapters_change_nothing(loaded: Any) -> None:
    before = logits(loaded)

    adapters(loaded)

    assert torch.equal(logits(loaded), before)


def test_trainable_count_is_that_of_the_catalogue(loaded: Any) -> None:
    from edgerig_workload.catalog import METHODS

    shape = {"r": 4, "layers": 2, "hidden": 32, "heads": 4, "kv_heads": 2, "head_dim": 8, "intermediate": 64}
    formula = METHODS["lora"]["trainable"]

    assert adapters(loaded).count == eval(formula, {"__builtins__": {}}, shape)


def test_training_moves_adapters_and_leaves_the_base(
    trial_document: dict[str, Any], loaded: Any, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    hash_before, logits_before = frozen_hash(loaded), logits(loaded)

    method("lora")(context(trial_document, {}, loaded, data_file, recorder, tmp_path))

    # Wrapping renames a layer's weight to base_layer.weight, so that values in name order are compared.
    assert frozen_hash(loaded) == hash_before
    assert not torch.equal(logits(loaded), logits_before)


def test_loss_falls(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document["budgets"]["train"] = {"steps": 30}

    learn(trial_document, {}, llama_folder, data_file, recorder, tmp_path)

    losses = [step["loss"] for step in recorder.of("train_step")]
    assert losses[-1] < 0.5 * losses[0]


def test_same_seed_gives_the_same_losses_and_adapter(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, tmp_path: Path, recorder: Any
) -> None:
    marks = []
    for name in ("first", "second"):
        parameters = {"dropout": 0.1}
        learn(trial_document, parameters, llama_folder, data_file, recorder, tmp_path / name)
        marks.append(hashlib.sha256((tmp_path / name / "adapter_model.safetensors").read_bytes()).hexdigest())

    losses = [step["loss"] for step in recorder.of("train_step")]
    assert losses[:3] == losses[3:]
    assert marks[0] == marks[1]


def test_adapter_is_saved_as_safetensors_of_the_reported_size(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    learned, _ = learn(trial_document, {}, llama_folder, data_file, recorder, tmp_path)

    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert learned.facts["artifact_bytes"] == size
    assert not list(tmp_path.glob("*.bin"))


def test_saved_adapter_reloads_to_the_same_logits(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    from peft import PeftModel

    _, trained = learn(trial_document, {}, llama_folder, data_file, recorder, tmp_path)
    base = models.load(llama_folder, "auto", torch.device("cpu"))
    reloaded = PeftModel.from_pretrained(base.model, tmp_path)

    with torch.inference_mode():
        assert torch.equal(reloaded(input_ids=torch.tensor(IDS)).logits, logits(trained))


def test_encoder_decoder_learns_too(
    trial_document: dict[str, Any], t5_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document["budgets"]["train"] = {"steps": 20}

    learn(trial_document, {}, t5_folder, data_file, recorder, tmp_path)

    losses = [step["loss"] for step in recorder.of("train_step")]
    assert losses[-1] < losses[0]


def test_absent_target_is_told_with_the_layers_that_exist(loaded: Any) -> None:
    with pytest.raises(WorkerFault, match=r"query_key_value.*q_proj") as caught:
        adapters(loaded, targets="q_proj, query_key_value")

    assert caught.value.failure_class == "bad_model"


def test_targets_by_name_adapt_only_those(loaded: Any) -> None:
    # Per layer 4 x (32 + 32) for the one square matrix, two layers.
    assert adapters(loaded, targets="q_proj").count == 512


def test_divergence_ends_as_its_own_class_in_the_training_phase(
    trial_document: dict[str, Any], loaded: Any, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    given = context(trial_document, {}, loaded, data_file, recorder, tmp_path)
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("inf"))

    with pytest.raises(WorkerFault) as caught:
        method("lora")(given)

    assert caught.value.failure_class == "diverged"
    assert given.marks.failed_phase == "train"


def test_history_of_zero_is_bad_data(
    trial_document: dict[str, Any], loaded: Any, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document["history"] = 0

    with pytest.raises(WorkerFault) as caught:
        method("lora")(context(trial_document, {}, loaded, data_file, recorder, tmp_path))

    assert caught.value.failure_class == "bad_data"


def test_training_without_a_budget_is_refused(
    trial_document: dict[str, Any], loaded: Any, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document["budgets"] = {}

    with pytest.raises(WorkerFault, match="budget"):
        method("lora")(context(trial_document, {}, loaded, data_file, recorder, tmp_path))
