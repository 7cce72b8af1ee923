"""Trainable sets by gradient estimators on tiny models: the peft checks (a) to (e), and what is refused."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from peft import PeftModel  # noqa: E402 - after the check
from safetensors.torch import load_file  # noqa: E402

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.catalog import METHODS  # noqa: E402
from edgerig_workload.infer.caches import maker  # noqa: E402
from edgerig_workload.infer.generate import generate  # noqa: E402
from edgerig_workload.learn import method  # noqa: E402
from edgerig_workload.learn.catalog import TRAINED  # noqa: E402
from edgerig_workload.learn.context import Context, Questions  # noqa: E402
from edgerig_workload.learn.estimators import (  # noqa: E402
    Backpropagation,
    ForwardGradient,
    checkpointing,
    eager_attention,
)
from edgerig_workload.learn.examples import Batch  # noqa: E402
from edgerig_workload.learn.losses import answer_loss  # noqa: E402
from edgerig_workload.learn.tuning import build  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402
from edgerig_workload.tasks.items import load  # noqa: E402
from edgerig_workload.tasks.spec import TaskSpec  # noqa: E402

CPU = torch.device("cpu")
SHAPE = {
    "parameters": 26_784,
    "layers": 2,
    "hidden": 32,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 8,
    "intermediate": 64,
}
PADDED = [[1, 40, 41, 42, 43, 44], [1, 50, 51]]
NO_OPS = [
    ("lora", {}),
    ("lora", {"dora": True}),
    ("lora", {"rslora": True, "init": "gaussian"}),
    ("ia3", {}),
    ("bitfit", {}),
]
SOFT = [
    ("prompt", {"tokens": 5}),
    ("prompt", {"tokens": 5, "init": "text", "init_text": "the tag is"}),
    ("prompt", {"tokens": 5, "init": "random"}),
    ("prefix", {"tokens": 5}),
    ("prefix", {"tokens": 5, "init": "random"}),
]
EVERY = [(kind, {}) for kind in TRAINED]


class Bench:
    """Runs methods on a folder under the tests' trial and data."""

    def __init__(self, document: dict[str, Any], data: Path, recorder: Any, out: Path) -> None:
        self.document, self.data, self.recorder, self.out = document, data, recorder, out

    def context(self, folder: Path, kind: str, parameters: dict[str, Any], steps: int = 3) -> Context:
        torch.manual_seed(self.document["seed"])
        content = {
            **self.document,
            "method": {"kind": kind, "parameters": parameters},
            "budgets": {"train": {"steps": steps}},
        }
        parsed = trial.parse(content)
        questions = Questions(TaskSpec.from_trial(parsed.task), load(self.data))
        loaded = models.load(folder, "float32", CPU)
        return Context(
            parsed, loaded, questions, Marks(self.recorder, ProcResidentSet()), self.recorder, self.out
        )

    def learn(self, folder: Path, kind: str, parameters: dict[str, Any], steps: int = 3) -> tuple[Any, Any]:
        context = self.context(folder, kind, parameters, steps)
        return method(kind)(context), context.loaded

    def losses(self) -> list[float]:
        return [step["loss"] for step in self.recorder.of("train_step")]


@pytest.fixture
def bench(trial_document: dict[str, Any], data_file: Path, recorder: Any, tmp_path: Path) -> Bench:
    return Bench(trial_document, data_file, recorder, tmp_path)


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(4, 320, (3, 12), generator=generator)
    labels = ids.clone()
    labels[:, :8] = -100
    labels[1, 10:] = -100
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    return Batch({"input_ids": ids, "attention_mask": mask, "labels": labels}, 3, 34)


def logits(model: Any) -> Any:
    with torch.inference_mode():
        return model(input_ids=torch.tensor(PADDED[:1])).logits


def hashes(model: Any) -> dict[str, str]:
    return {
        name.replace("base_layer.", ""): hashlib.sha256(weight.detach().numpy().tobytes()).hexdigest()
        for name, weight in model.named_parameters()
    }


@pytest.mark.parametrize(("kind", "parameters"), NO_OPS)
def test_a_fresh_set_changes_nothing(
    bench: Bench, llama_folder: Path, kind: str, parameters: dict[str, Any]
) -> None:
    context = bench.context(llama_folder, kind, parameters)
    before = logits(context.loaded.model)

    build(context)

    after = logits(context.loaded.model)
    # DoRA divides by a norm that it multiplies with; all others add zeros or multiply by one.
    assert torch.allclose(after, before, atol=1e-5) if "dora" in parameters else torch.equal(after, before)


@pytest.mark.parametrize("init", ["default", "gaussian", "pissa", "olora"])
def test_b_merged_weights_answer_like_the_adapters(bench: Bench, llama_folder: Path, init: str) -> None:
    context = bench.context(llama_folder, "lora", {"init": init, "rslora": True}, steps=5)
    method("lora")(context)
    reloaded = PeftModel.from_pretrained(models.load(llama_folder, "float32", CPU).model, bench.out)
    adapted = logits(context.loaded.model)

    merged = logits(reloaded.merge_and_unload())

    assert torch.allclose(merged, adapted, atol=1e-5 * float(adapted.abs().max()))


@pytest.mark.parametrize(
    ("kind", "parameters"), [*EVERY, ("last-k", {"count": 2}), ("prompt", {"tokens": 7})]
)
def test_c_trainable_count_is_that_of_the_catalogue(
    bench: Bench, llama_folder: Path, kind: str, parameters: dict[str, Any]
) -> None:
    context = bench.context(llama_folder, kind, parameters)
    shape = {**context.trial.method.parameters, **SHAPE, "parameters": context.loaded.parameter_count}

    count = build(context).count

    assert count == eval(METHODS[kind]["trainable"], {"__builtins__": {}, "min": min}, shape)


@pytest.mark.parametrize(("kind", "parameters"), EVERY)
@pytest.mark.parametrize("gradient", ["backprop", "mezo", "forward"])
def test_d_frozen_parameters_keep_their_bits_and_learning_ones_do_not(
    bench: Bench, llama_folder: Path, kind: str, parameters: dict[str, Any], gradient: str
) -> None:
    before = hashes(models.load(llama_folder, "float32", CPU).model)

    learned, loaded = bench.learn(llama_folder, kind, {**parameters, "gradient": gradient}, steps=2)

    after = hashes(loaded.model)
    learning = {
        name.replace("base_layer.", "") for name, w in loaded.model.named_parameters() if w.requires_grad
    }
    assert all(after[name] == mark for name, mark in before.items() if name not in learning)
    assert any(after[name] != before.get(name) for name in learning)
    assert learned.facts["trainable_count"] == sum(
        w.numel() for w in loaded.model.parameters() if w.requires_grad
    )


@pytest.mark.parametrize(("kind", "parameters"), EVERY)
def test_e_saved_file_holds_the_trained_numbers_and_a_header(
    bench: Bench, llama_folder: Path, kind: str, parameters: dict[str, Any]
) -> None:
    learned, _ = bench.learn(llama_folder, kind, parameters, steps=1)

    [path] = bench.out.glob("*.safetensors")
    header_bytes = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert sum(weight.numel() for weight in load_file(path).values()) == learned.facts["trainable_count"]
    assert learned.facts["artifact_bytes"] == 4 * learned.facts["trainable_count"] + header_bytes


@pytest.mark.parametrize(("kind", "parameters"), EVERY)
def test_loss_falls_with_the_default_rate(
    bench: Bench, llama_folder: Path, kind: str, parameters: dict[str, Any]
) -> None:
    bench.learn(llama_folder, kind, parameters, steps=30)

    losses = bench.losses()
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize("kind", TRAINED)
def test_encoder_decoders_learn_and_answer(bench: Bench, t5_folder: Path, kind: str) -> None:
    _, loaded = bench.learn(t5_folder, kind, {}, steps=20)

    losses = bench.losses()
    assert sum(losses[-5:]) < sum(losses[:5])
    assert [len(row) for row in generate(loaded, PADDED, 4, lambda row: False)] == [4, 4]


@pytest.mark.parametrize("folder", ["mistral_folder", "llama_folder"])
@pytest.mark.parametrize(("kind", "parameters"), [("none", {}), *SOFT])
def test_answers_do_not_depend_on_the_batch(
    bench: Bench, request: pytest.FixtureRequest, kind: str, parameters: dict[str, Any], folder: str
) -> None:
    loaded = bench.learn(request.getfixturevalue(folder), kind, parameters)[1]
    prompts = [list(range(40, 52)), [1, 50, 51], [1, 60, 61], [1, 70, 71, 72, 73]]

    together = generate(loaded, prompts, 12, lambda row: False)

    assert together == [generate(loaded, [prompt], 12, lambda row: False)[0] for prompt in prompts]
    assert loaded.pads is (folder == "llama_folder" or kind == "none")


@pytest.mark.parametrize(("kind", "parameters"), SOFT)
def test_virtual_tokens_act_as_in_peft(
    bench: Bench, llama_folder: Path, batch: Batch, kind: str, parameters: dict[str, Any]
) -> None:
    _, loaded = bench.learn(llama_folder, kind, parameters)
    reference = PeftModel.from_pretrained(models.load(llama_folder, "float32", CPU).model, bench.out).eval()

    with torch.inference_mode():
        own = float(loaded.model(**batch.inputs).loss)
        theirs = float(reference(**batch.inputs).loss)
        row = torch.tensor(PADDED[:1])
        expected = reference.generate(
            input_ids=row, attention_mask=torch.ones_like(row), max_new_tokens=6, do_sample=False
        )[0, row.shape[1] :].tolist()

    assert own == pytest.approx(theirs, rel=1e-5)
    # In a batch with padding, where peft's own generation is not used.
    alone, _ = generate(loaded, PADDED, 6, lambda row: False)
    # peft ends at the end token; this side was told to go on.
    assert alone[: len(expected)] == expected


@pytest.mark.parametrize("folder", ["t5_folder", "wide_t5_folder"])
@pytest.mark.parametrize(("kind", "parameters"), SOFT)
def test_virtual_tokens_of_an_encoder_decoder_act_as_in_peft(
    bench: Bench,
    request: pytest.FixtureRequest,
    batch: Batch,
    kind: str,
    parameters: dict[str, Any],
    folder: str,
) -> None:
    path = request.getfixturevalue(folder)
    _, loaded = bench.learn(path, kind, parameters)
    reference = PeftModel.from_pretrained(models.load(path, "float32", CPU).model, bench.out).eval()

    with torch.inference_mode():
        own = float(loaded.model(**batch.inputs).loss)
        theirs = float(reference(**batch.inputs).loss)
        row = torch.tensor(PADDED[:1])
        expected = reference.generate(
            input_ids=row, attention_mask=torch.ones_like(row), max_new_tokens=6, do_sample=False
        )[0].tolist()

    assert own == pytest.approx(theirs, rel=1e-5)
    alone, _ = generate(loaded, PADDED, 6, lambda row: False)
    # peft's row begins with the decoder's start token and ends at the end token.
    assert [0, *alone][: len(expected)] == expected


@pytest.mark.parametrize(
    ("kind", "gradient"),
    [
        (kind, gradient)
        for kind in TRAINED
        for gradient in ("backprop", "checkpointed", "mezo", "forward")
        if (kind, gradient) != ("prefix", "checkpointed")
    ],
)
def test_every_gradient_reaches_every_set_of_an_encoder_decoder(
    bench: Bench, t5_folder: Path, kind: str, gradient: str
) -> None:
    parameters = {"gradient": gradient, "lr": 1e-3, "warmup_steps": 0}
    fresh = build(bench.context(t5_folder, kind, parameters))
    before = {name: weight.detach().clone() for name, weight in fresh.named}

    _, loaded = bench.learn(t5_folder, kind, parameters, steps=2)

    after = dict(loaded.model.named_parameters())
    moved = [name for name, weight in before.items() if not torch.equal(weight, after[name])]
    # Half of the low-rank factors get their first gradient when the other half is no longer zero.
    assert len(moved) >= len(before) / 2
    assert all(math.isfinite(loss) for loss in bench.losses())


@pytest.mark.parametrize("text", ["a", "the tag for the movie is comedy or action answer: a film of robots"])
def test_initial_text_is_repeated_or_cut_to_fit(bench: Bench, llama_folder: Path, text: str) -> None:
    context = bench.context(llama_folder, "prompt", {"tokens": 5, "init": "text", "init_text": text})
    ids = context.loaded.tokenizer(text, add_special_tokens=False)["input_ids"]

    [(_, weight)] = build(context).named

    embedding = context.loaded.model.get_input_embeddings().weight
    assert torch.equal(weight, embedding[torch.tensor((ids * 5)[:5])])


def test_empty_initial_text_is_told(bench: Bench, llama_folder: Path) -> None:
    with pytest.raises(WorkerFault, match="init_text"):
        build(bench.context(llama_folder, "prompt", {"init": "text", "init_text": ""}))


def test_virtual_tokens_take_their_room_from_the_prompt(bench: Bench, llama_folder: Path) -> None:
    asked: dict[str, int] = {}
    for kind in ("prompt", "bitfit"):
        context = bench.context(llama_folder, kind, {}, steps=1)
        assert context.questions is not None
        prompt = method(kind)(context).word(context.questions.items[0], 40)
        asked[kind] = len(context.loaded.encode(prompt.text))

    assert asked["prompt"] <= 20 < asked["bitfit"] <= 40


@pytest.mark.parametrize("kind", ["prompt", "prefix", "rag-prompt"])
def test_virtual_tokens_that_fill_the_context_are_refused(
    bench: Bench, llama_folder: Path, kind: str
) -> None:
    # The context holds 256 tokens, the longest answer is of 4.
    most = 256 - 4 - 1
    learned, _ = bench.learn(llama_folder, kind, {"tokens": most}, steps=1)
    assert learned.prompt_tokens == most

    with pytest.raises(WorkerFault, match=r"252, .* 256 .* set tokens to 251 at most") as caught:
        bench.learn(llama_folder, kind, {"tokens": most + 1}, steps=1)

    assert caught.value.failure_class == "precondition"


def test_a_static_cache_has_room_for_virtual_tokens(bench: Bench, llama_folder: Path) -> None:
    learned, loaded = bench.learn(llama_folder, "prompt", {"tokens": 20, "init": "random"})
    taken_tokens = learned.prompt_tokens

    rows = generate(loaded, PADDED, 6, lambda row: False, maker("static", loaded, taken_tokens))

    assert taken_tokens == 20
    assert rows == generate(loaded, PADDED, 6, lambda row: False)


@pytest.mark.parametrize("kind", ["prefix", "rag-prefix"])
def test_a_prefix_goes_with_no_cache_but_the_growing_one(bench: Bench, llama_folder: Path, kind: str) -> None:
    bench.document["inference"]["kv_cache"] = "static"

    with pytest.raises(WorkerFault, match="use kv_cache dynamic"):
        bench.learn(llama_folder, kind, {})


def test_a_prefix_of_an_encoder_decoder_takes_no_room(bench: Bench, t5_folder: Path) -> None:
    learned, _ = bench.learn(t5_folder, "prefix", {"tokens": 600}, steps=1)

    assert learned.prompt_tokens == 0
    with pytest.raises(WorkerFault, match="set tokens to 510 at most"):
        bench.learn(t5_folder, "prompt", {"tokens": 511}, steps=1)


@pytest.mark.parametrize(("kind", "parameters"), [case for case in EVERY if case[0] != "prefix"])
def test_checkpointing_gives_the_same_gradients(
    bench: Bench, llama_folder: Path, batch: Batch, kind: str, parameters: dict[str, Any]
) -> None:
    context = bench.context(llama_folder, kind, parameters)
    chosen, model = build(context), context.loaded.model
    model.train()
    Backpropagation(model).estimate(batch)
    usual = [weight.grad.clone() for weight in chosen.parameters]
    model.zero_grad()

    with checkpointing(model):
        Backpropagation(model).estimate(batch)

    assert all(
        torch.allclose(weight.grad, grad, atol=1e-6)
        for weight, grad in zip(chosen.parameters, usual, strict=True)
    )
    assert not model.is_gradient_checkpointing


@pytest.mark.parametrize(("kind", "parameters"), EVERY)
def test_forward_slope_is_the_gradient_along_the_direction(
    bench: Bench, llama_folder: Path, batch: Batch, kind: str, parameters: dict[str, Any]
) -> None:
    context = bench.context(llama_folder, kind, parameters)
    chosen, model = build(context), context.loaded.model
    loss = Backpropagation(model).estimate(batch)
    exact = {name: weight.grad.clone() for name, weight in chosen.named}
    model.zero_grad(set_to_none=True)

    with eager_attention(model):
        found = ForwardGradient(model, chosen.named, seed=4).estimate(batch)

    # The estimate is slope times signs, so that its size is the slope's everywhere.
    estimate = {name: weight.grad for name, weight in chosen.named}
    slope = float(next(iter(estimate.values())).abs().flatten()[0])
    along = sum(float((exact[name] * estimate[name].sign()).sum()) for name in exact)
    assert found == pytest.approx(loss, rel=1e-5)
    assert abs(along) == pytest.approx(slope, rel=1e-3, abs=1e-4)
    assert float(sum((exact[name] * estimate[name]).sum() for name in exact)) >= 0


@pytest.mark.parametrize("gradient", ["mezo", "forward"])
def test_random_directions_lower_the_loss(bench: Bench, llama_folder: Path, gradient: str) -> None:
    parameters = {"gradient": gradient, "optimiser": "sgd", "lr": 1e-3, "warmup_steps": 0, "clip_norm": 0.0}

    bench.learn(llama_folder, "last-k", parameters, steps=60)

    losses = bench.losses()
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


@pytest.mark.parametrize("gradient", ["backprop", "mezo", "forward"])
def test_loss_without_a_gradient_is_the_loss(bench: Bench, t5_folder: Path, gradient: str) -> None:
    bench.learn(t5_folder, "bitfit", {"gradient": gradient, "epsilon": 1e-4}, steps=1)
    context = bench.context(t5_folder, "bitfit", {})
    assert bench.losses()[0] == pytest.approx(_first_loss(context), rel=1e-2)


def _first_loss(context: Context) -> float:
    from edgerig_workload.learn.examples import collate, pooled_pairs, shuffled, tokenise

    assert context.questions is not None
    samples = tokenise(context.loaded, pooled_pairs(context.questions, -1), 256)
    places = shuffled(len(samples), context.trial.seed)
    return answer_loss(
        context.loaded.model, collate(context.loaded, [samples[next(places)] for _ in range(16)])
    )


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_optimisers_can_be_chosen(bench: Bench, llama_folder: Path, optimiser: str) -> None:
    bench.learn(llama_folder, "last-k", {"optimiser": optimiser, "lr": 1e-3}, steps=10)

    assert bench.losses()[-1] < bench.losses()[0]


def test_retrieval_stands_beside_what_was_trained(bench: Bench, llama_folder: Path) -> None:
    plain, _ = bench.learn(llama_folder, "lora", {})
    first = (bench.out / "adapter_model.safetensors").read_bytes()
    learned, _ = bench.learn(llama_folder, "rag-lora", {"k": 2})
    context = bench.context(llama_folder, "rag-lora", {"k": 2})
    assert context.questions is not None
    item = context.questions.items[0]

    assert (bench.out / "adapter_model.safetensors").read_bytes() == first
    assert learned.retrieves and not plain.retrieves
    assert (learned.word(item, 200).retrieved_count, plain.word(item, 200).retrieved_count) == (2, 0)
    assert [event["phase"] for event in bench.recorder.of("phase_begin")][-3:] == [
        "PHASE_INDEX",
        "PHASE_TRAIN",
        "PHASE_CHECKPOINT",
    ]


@pytest.mark.parametrize(
    ("kind", "parameters", "compression", "told"),
    [
        ("prefix", {"gradient": "checkpointed"}, "none", "computed twice"),
        ("rag-prefix", {"gradient": "checkpointed"}, "none", "computed twice"),
        ("lora", {"gradient": "mezo", "optimiser": "adamw"}, "none", "no moments"),
        ("full", {"gradient": "mezo"}, "rtn-int4", "use an adapter"),
        ("lora", {"init": "pissa"}, "rtn-int4", "init default"),
    ],
)
def test_excluded_combinations_are_refused_with_the_reason(
    bench: Bench, llama_folder: Path, kind: str, parameters: dict[str, Any], compression: str, told: str
) -> None:
    bench.document["compression"] = {"kind": compression}

    with pytest.raises(WorkerFault, match=told):
        bench.learn(llama_folder, kind, parameters)


def test_unknown_family_of_ia3_is_told(
    bench: Bench, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = bench.context(llama_folder, "ia3", {})
    monkeypatch.setattr(type(context.loaded.model.config), "model_type", "of-tomorrow")

    with pytest.raises(WorkerFault, match="no IA3 layers"):
        build(context)
