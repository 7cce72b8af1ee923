"""One side of a pair of `bench.methods`, in a process of its own that waits between its blocks.

`python -m bench.methods_arm FOLDER METHOD SIDE` loads the model, sets the method up, writes
`{"ready": ...}` and then, for each line with a number of steps on stdin, does that many and
writes `{"duration_s", "peak_bytes"}`. The peak is the kernel's, reset before each block.
SIDE is `ours`, `reference` or, to see what a forward pass alone takes, `inference`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import methods_model
from edgerig_workload.phases import ProcResidentSet

Block = Callable[[int], None]
RATE, CLIP = 2e-4, 1.0
PROMPT_TOKENS, NEW_TOKENS = 32, 64
ADAPTERS = ("lora", "ia3", "prompt", "prefix")


class Desk:
    """Takes orders from stdin and answers on stdout, with time and peak memory of each block."""

    def __init__(self) -> None:
        self._memory = ProcResidentSet()
        self._out = sys.stdout
        # Libraries that print must not garble the answers.
        sys.stdout = sys.stderr
        self._began_s = 0.0

    def ready(self, **facts: Any) -> None:
        """Say that the model is loaded, with the resident set at this moment."""
        self._memory.reset()
        self._say({"ready": True, "loaded_bytes": self._memory.peak_bytes(), **facts})

    def order(self) -> int:
        """Wait for the number of steps of the next block; ends the process at the end of input."""
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        self._memory.reset()
        self._began_s = time.perf_counter()
        return int(line)

    def done(self) -> None:
        """Report the block that was ordered."""
        duration_s = time.perf_counter() - self._began_s
        self._say({"duration_s": duration_s, "peak_bytes": self._memory.peak_bytes()})

    def serve(self, block: Block) -> None:
        """Run blocks until the input ends."""
        while True:
            block(self.order())
            self.done()

    def _say(self, what: dict[str, Any]) -> None:
        self._out.write(json.dumps(what) + "\n")
        self._out.flush()


def main() -> None:
    """Runs the side that the command line names."""
    folder, method, side = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    desk = Desk()
    model = methods_model.load(folder)
    kind, _, gradient = method.partition("+")
    if kind == "decode":
        run: Callable[..., None] = _own_decode if side == "ours" else _plain_generate
        run(desk, model)
    elif side == "inference":
        _forward(desk, model)
    elif side == "ours":
        _own_training(desk, model, kind, gradient or "backprop")
    elif gradient == "mezo":
        _plain_mezo(desk, model, kind)
    else:
        _trainer(desk, model, kind, checkpointed=gradient == "checkpointed")


def loaded_as_worker(model: Any) -> Any:
    """Wrap a model as the worker does after loading; it has no tokenizer."""
    import torch

    from edgerig_workload.models import Loaded

    count = sum(weight.numel() for weight in model.parameters())
    model.eval()
    return Loaded(
        model=model,
        tokenizer=None,
        device=torch.device("cpu"),
        dtype="float32",
        max_tokens=int(model.config.max_position_embeddings),
        pad_id=0,
        stop_ids=frozenset(),
        encoder_decoder=False,
        parameter_count=count,
        weights_bytes=4 * count,
        hidden=int(model.config.hidden_size),
    )


def batches(loaded: Any, length: int = methods_model.LENGTH) -> Callable[..., Any]:
    """The product's own way from samples to a batch; every token but the first carries loss."""
    from edgerig_workload.learn.examples import Sample, collate

    rows = [row[:length] for row in methods_model.rows(64, loaded.model.config.vocab_size)]
    samples = [Sample(tuple(row[:1]), tuple(row[1:])) for row in rows]
    return lambda places: collate(loaded, [samples[place] for place in places])


def set_up(loaded: Any, kind: str) -> Any:
    """The trainable set as a trial makes it, with the catalogue's defaults."""
    from edgerig_workload.catalog import METHODS
    from edgerig_workload.learn.context import Context
    from edgerig_workload.learn.tuning import build
    from edgerig_workload.trial import Choice, Inference, TrainBudget, Trial

    rules = METHODS[kind]["parameters"]
    given = {name: rule["default"] for name, rule in rules.items()}
    if kind in ("prompt", "prefix"):
        given["init"] = "random"
    trial = Trial(
        protocol="quick",
        seed=1,
        task={},
        method=Choice(kind, given),
        compression=Choice("none", {}),
        history=16,
        train=TrainBudget(),
        memory_limit_bytes=0,
        inference=Inference(),
        dtype="float32",
        threads=0,
    )
    nothing: Any = None
    return build(Context(trial, loaded, None, nothing, nothing, Path()))


def _own_training(desk: Desk, model: Any, kind: str, gradient: str) -> None:
    from contextlib import nullcontext
    from functools import partial

    from edgerig_workload.learn import losses
    from edgerig_workload.learn.estimators import Backpropagation, checkpointing
    from edgerig_workload.learn.examples import shuffled
    from edgerig_workload.learn.loop import Loop
    from edgerig_workload.learn.optimisers import AdamW
    from edgerig_workload.learn.training import Training
    from edgerig_workload.learn.zeroth import Displaced, InPlaceSgd, ZerothOrder
    from edgerig_workload.trial import TrainBudget

    loaded = loaded_as_worker(model)
    trained = set_up(loaded, kind)
    if gradient == "mezo":
        estimator: Any = ZerothOrder(
            partial(losses.answer_loss, model), Displaced(trained.named, snapshot=False), 1, 1e-3
        )
        optimiser: Any = InPlaceSgd(estimator, 1e-7)
    else:
        estimator = Backpropagation(model)
        optimiser = AdamW(trained.parameters, rate=RATE, weight_decay=0.0, clip_norm=CLIP, warmup_steps=6)
        model.train()
    training = Training()
    parts: dict[str, Any] = {
        "estimator": estimator,
        "optimiser": optimiser,
        "make_batch": batches(loaded),
        "places": shuffled(64, 1),
        "batch": methods_model.BATCH,
    }

    def block(steps: int) -> None:
        Loop(budget=TrainBudget(steps=training.spent.steps + steps), **parts).run(training)

    with checkpointing(model) if gradient == "checkpointed" else nullcontext():
        desk.ready(trainable=trained.count)
        desk.serve(block)


def _reference_model(model: Any, kind: str) -> Any:
    """The same trainable parameters as peft's own users set them up."""
    from peft import (
        IA3Config,
        LoraConfig,
        PrefixTuningConfig,
        PromptTuningConfig,
        TaskType,
        get_peft_model,
    )

    task = TaskType.CAUSAL_LM
    configs: dict[str, Callable[[], Any]] = {
        "lora": lambda: LoraConfig(
            r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type=task
        ),
        "ia3": lambda: IA3Config(task_type=task),
        "prompt": lambda: PromptTuningConfig(num_virtual_tokens=20, task_type=task),
        "prefix": lambda: PrefixTuningConfig(num_virtual_tokens=20, task_type=task),
    }
    if kind in configs:
        return get_peft_model(model, configs[kind]())
    if kind == "bitfit":
        # Llama has no biases and peft no way to add them: both sides train the same new ones.
        set_up(loaded_as_worker(model), kind)
        return model
    rules: dict[str, Callable[[str], bool]] = {
        "full": lambda _: True,
        "layer-norm": lambda name: "norm" in name,
        "last-k": lambda name: f".layers.{model.config.num_hidden_layers - 1}." in name,
    }
    for name, weight in model.named_parameters():
        weight.requires_grad = rules[kind](name)
    return model


def _trainer(desk: Desk, model: Any, kind: str, *, checkpointed: bool) -> None:
    """Trainer of transformers with AdamW, clipping and warm-up; it waits at each block's first step."""
    import tempfile

    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    adapted = _reference_model(model, kind)
    rows = methods_model.rows(64, model.config.vocab_size)
    data = [{"input_ids": row, "attention_mask": [1] * len(row), "labels": row} for row in rows]

    class Gate(TrainerCallback):  # type: ignore[misc]
        left = -1

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if self.left < 0:
                trainable = sum(w.numel() for w in adapted.parameters() if w.requires_grad)
                desk.ready(trainable=trainable)
            elif self.left == 0:
                desk.done()
            if self.left <= 0:
                self.left = desk.order()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.left -= 1

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=1_000_000,
            per_device_train_batch_size=methods_model.BATCH,
            learning_rate=RATE,
            warmup_steps=6,
            lr_scheduler_type="constant_with_warmup",
            max_grad_norm=CLIP,
            optim="adamw_torch",
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            gradient_checkpointing=checkpointed,
            gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointed else None,
            remove_unused_columns=False,
        )
        Trainer(
            model=adapted,
            args=arguments,
            train_dataset=data,
            data_collator=default_data_collator,
            callbacks=[Gate()],
        ).train()


def _plain_mezo(desk: Desk, model: Any, kind: str) -> None:
    """Algorithm 1 of arXiv 2305.17333, written out plainly: z is drawn anew from its seed each time."""
    import torch

    trained = _reference_model(model, kind)
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    trained.eval()
    make_batch = batches(loaded_as_worker(model))
    epsilon, rate = 1e-3, 1e-7
    seeds = torch.Generator().manual_seed(1)

    def perturb(seed: int, scale: float) -> None:
        torch.manual_seed(seed)
        for weight in weights:
            z = torch.normal(mean=0.0, std=1.0, size=weight.size(), dtype=weight.dtype)
            weight.data = weight.data + scale * epsilon * z

    def loss_of(batch: Any) -> float:
        return float(trained(**batch.inputs, use_cache=False).loss)

    def step() -> None:
        seed = int(torch.randint(0, 2**31, (), generator=seeds))
        batch = make_batch(range(methods_model.BATCH))
        perturb(seed, 1.0)
        above = loss_of(batch)
        perturb(seed, -2.0)
        below = loss_of(batch)
        perturb(seed, 1.0)
        slope = (above - below) / (2 * epsilon)
        torch.manual_seed(seed)
        for weight in weights:
            z = torch.normal(mean=0.0, std=1.0, size=weight.size(), dtype=weight.dtype)
            weight.data = weight.data - rate * slope * z

    def block(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                step()

    desk.ready(trainable=sum(weight.numel() for weight in weights))
    desk.serve(block)


def _forward(desk: Desk, model: Any) -> None:
    """One forward pass a step over the same batch: what inference takes above the loaded model."""
    import torch

    model.eval()
    make_batch = batches(loaded_as_worker(model))

    def block(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                inputs = {**make_batch(range(methods_model.BATCH)).inputs}
                del inputs["labels"]
                model(**inputs, use_cache=False)

    desk.ready(trainable=0)
    desk.serve(block)


def _own_decode(desk: Desk, model: Any) -> None:
    from edgerig_workload.infer.steps import begin

    loaded = loaded_as_worker(model)
    prompt = methods_model.rows(1, model.config.vocab_size)[0][:PROMPT_TOKENS]

    def block(requests: int) -> None:
        for _ in range(requests):
            steps = begin(loaded, [prompt])
            steps.prefill()
            for _ in range(NEW_TOKENS - 1):
                steps.decode()

    desk.ready(trainable=0)
    desk.serve(block)


def _plain_generate(desk: Desk, model: Any) -> None:
    import torch

    model.eval()
    prompt = torch.tensor([methods_model.rows(1, model.config.vocab_size)[0][:PROMPT_TOKENS]])

    def block(requests: int) -> None:
        with torch.inference_mode():
            for _ in range(requests):
                model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    min_new_tokens=NEW_TOKENS,
                    max_new_tokens=NEW_TOKENS,
                    do_sample=False,
                    pad_token_id=0,
                )

    desk.ready(trainable=0)
    desk.serve(block)


if __name__ == "__main__":
    main()
