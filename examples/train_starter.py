"""Trains the starter models: three small causal language models and their tokenizer.

    python examples/train_starter.py [--only NAME] [--out DIR] [--threads N]

The text is that of the project's own LaMP-shaped generator, worded by the
workload's own prompts. Every document has a world of its own, so the models
learn to read meanings from the examples in a prompt and know none by heart.
Takes less than 30 minutes on two processor cores; seeds are fixed. Each folder
gets the weights in bfloat16, the tokenizer, a model card and training.json with
the held-out loss.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from edgerig_controller.data import synthetic
from edgerig_workload.retrieve.bm25 import Index
from edgerig_workload.retrieve.query import document as searched
from edgerig_workload.retrieve.query import query
from edgerig_workload.tasks import prompts
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import Kind, TaskSpec

STARTER = Path(__file__).resolve().parents[1] / "controller/edgerig_controller/data/starter"
SEED = 20261121
TRAINING_SEED, HELD_OUT_SEED, TOKENIZER_SEED = 1, 2, 3
VOCABULARY = 1024
CONTEXT_TOKENS = 512
SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TOKENIZER_DOCUMENTS = 4_000
HELD_OUT_DOCUMENTS = 1_000
EXAMPLES_MOST = 5
PLAIN_SHARE = 0.08
BATCH = 32
# Batches are made of documents of like length, out of this many batches' documents.
BUCKET_BATCHES = 8
# The answer is a few tokens among many; without weight it is learnt last.
ANSWER_WEIGHT = 6.0
IGNORED = -100


@dataclass(frozen=True)
class Size:
    """Shape and schedule of one starter model."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    steps: int
    peak_rate: float


SIZES = {
    "tiny": Size(hidden=64, intermediate=96, layers=2, heads=4, kv_heads=2, steps=1000, peak_rate=6e-3),
    "small": Size(hidden=128, intermediate=256, layers=2, heads=4, kv_heads=2, steps=1500, peak_rate=4e-3),
    "large": Size(hidden=192, intermediate=512, layers=3, heads=6, kv_heads=3, steps=2500, peak_rate=3e-3),
}


@dataclass(frozen=True)
class Example:
    """One document in words: the loss is taken on all of it, and more on the answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Encoded:
    tokens: tuple[int, ...]
    answer_start: int


def examples(seed: int, count: int) -> Iterator[Example]:
    """Yield generator documents as the workload would word them, bare or with 1 to 5 retrieved items."""
    for number, document in enumerate(synthetic.corpus(seed, count)):
        yield worded(document, random.Random(seed * 1_000_003 + number))


def worded(document: synthetic.Document, draw: random.Random) -> Example:
    """Word one document in its task's prompts or in the plain ones; bare where meanings are usual."""
    facts = synthetic.facts(document.task)
    kind: Kind = "classification" if facts.kind == "classification" else "generation"
    family = facts.prompt
    item = read_item(document.row)
    if document.task not in ("lamp-1", "lamp-7") and draw.random() < PLAIN_SHARE:
        family = "plain"
        marker = ": " if document.task != "lamp-2" else "description: "
        item = Item(item.id, item.user, item.input.split(marker, 1)[1], item.output, item.profile)
    spec = TaskSpec(document.task, kind, facts.metric, family, document.labels, facts.answer_tokens)
    answer = prompts.answer_text(spec, item.output)
    if document.usual:
        return Example(prompts.bare(spec, item), answer)
    ranked = Index([searched(spec, entry) for entry in item.profile])
    wanted = 1 + int(draw.random() * EXAMPLES_MOST)
    retrieved = [item.profile[place] for place in ranked.top(query(spec, item), wanted)]
    return Example(prompts.personal(spec, item, retrieved, _no_limit, CONTEXT_TOKENS).text, answer)


def _no_limit(text: str) -> int:
    del text
    return 0


def read_item(row: dict[str, Any]) -> Item:
    """Read one row of the generator as the workload's item."""
    profile = tuple(ProfileItem(**entry) for entry in row["profile"])
    return Item(row["id"], row["user"], row["input"], row["output"], profile)


def train_tokenizer() -> Tokenizer:
    """Train a byte-level BPE tokenizer: every text has tokens, and most words have one."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (entry.prompt + entry.answer for entry in examples(TOKENIZER_SEED, TOKENIZER_DOCUMENTS))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, entries: Sequence[Example]) -> list[Encoded]:
    """Encode prompt and answer apart, as training and generation do, and end with eos."""
    end = tokenizer.token_to_id(SPECIAL["eos_token"])
    prompt_ids = tokenizer.encode_batch([entry.prompt for entry in entries])
    answer_ids = tokenizer.encode_batch([entry.answer for entry in entries])
    return [
        Encoded((*prompt.ids, *answer.ids, end), len(prompt.ids))
        for prompt, answer in zip(prompt_ids, answer_ids, strict=True)
    ]


def batches(tokenizer: Tokenizer, seed: int, steps: int) -> Iterator[list[Encoded]]:
    """Yield `steps` batches, each of documents of like length and none seen twice."""
    source = examples(seed, steps * BATCH)
    draw = random.Random(seed)
    while entries := list(islice(source, BATCH * BUCKET_BATCHES)):
        encoded = sorted(encode(tokenizer, entries), key=lambda entry: len(entry.tokens))
        chunks = [encoded[place : place + BATCH] for place in range(0, len(encoded), BATCH)]
        draw.shuffle(chunks)
        yield from chunks


def tensors(batch: Sequence[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens, next tokens (ignored where padded) and loss weights, each (batch, length)."""
    length = max(len(entry.tokens) for entry in batch)
    tokens = torch.full((len(batch), length), pad)
    targets = torch.full((len(batch), length), IGNORED)
    weights = torch.ones(len(batch), length)
    for row, entry in enumerate(batch):
        count = len(entry.tokens)
        tokens[row, :count] = torch.tensor(entry.tokens)
        targets[row, : count - 1] = tokens[row, 1:count]
        weights[row, entry.answer_start - 1 : count - 1] = ANSWER_WEIGHT
    return tokens, targets, weights


def token_losses(model: LlamaForCausalLM, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of each next token in nats, (batch, length); 0 where ignored."""
    logits = model(input_ids=tokens).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(targets)


def learning_rate(step: int, size: Size) -> float:
    """Rise over 5 % of the steps, then fall along a cosine to a twentieth."""
    rise = max(1, size.steps // 20)
    if step < rise:
        return size.peak_rate * (step + 1) / rise
    along = (step - rise) / max(1, size.steps - rise)
    return size.peak_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * along)))


def new_model(tokenizer: Tokenizer, size: Size) -> LlamaForCausalLM:
    """Make a randomly initialised Llama; the seed is set by the caller."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=size.hidden,
            intermediate_size=size.intermediate,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.kv_heads,
            max_position_embeddings=CONTEXT_TOKENS,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.token_to_id(SPECIAL["pad_token"]),
            bos_token_id=tokenizer.token_to_id(SPECIAL["bos_token"]),
            eos_token_id=tokenizer.token_to_id(SPECIAL["eos_token"]),
        )
    )


def train(tokenizer: Tokenizer, name: str, size: Size) -> LlamaForCausalLM:
    """Train one size with AdamW on documents that are never repeated."""
    torch.manual_seed(SEED)
    model = new_model(tokenizer, size).train()
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    pad, began = model.config.pad_token_id, time.monotonic()
    for step, batch in enumerate(batches(tokenizer, TRAINING_SEED, size.steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, size)
        tokens, targets, weights = tensors(batch, pad)
        losses = token_losses(model, tokens, targets)
        weights = weights * (targets != IGNORED)
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == size.steps - 1:
            answer = losses[(weights == ANSWER_WEIGHT)].mean().item()
            spent = time.monotonic() - began
            print(f"{name} step {step} loss {loss.item():.3f} answer {answer:.3f} {spent:.0f} s", flush=True)
    return model.eval()


@torch.no_grad()
def held_out(model: LlamaForCausalLM, encoded: Sequence[Encoded]) -> tuple[float, float]:
    """Return the mean loss of all tokens and of the answers' tokens, in nats per token."""
    sums, counts = torch.zeros(2), torch.zeros(2)
    ordered = sorted(encoded, key=lambda entry: len(entry.tokens))
    for place in range(0, len(ordered), BATCH):
        tokens, targets, weights = tensors(ordered[place : place + BATCH], model.config.pad_token_id)
        losses = token_losses(model, tokens, targets)
        real = targets != IGNORED
        answers = real & (weights == ANSWER_WEIGHT)
        sums += torch.stack([losses[real].sum(), losses[answers].sum()])
        counts += torch.stack([real.sum(), answers.sum()])
    overall, answer = (sums / counts).tolist()
    return overall, answer


def held_out_documents(tokenizer: Tokenizer) -> list[Encoded]:
    """Encode the held-out documents; worlds and texts are of another seed than training's."""
    return encode(tokenizer, list(examples(HELD_OUT_SEED, HELD_OUT_DOCUMENTS)))


def stored_loss(folder: Path) -> tuple[float, int]:
    """Return the held-out loss of a stored model in nats per token, and its vocabulary."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    loss, _ = held_out(model, held_out_documents(tokenizer))
    return loss, tokenizer.get_vocab_size()


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer in the form that transformers 4.57 and 5 both read."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write_json(folder / "special_tokens_map.json", SPECIAL)
    config = {
        **SPECIAL,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT_TOKENS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    _write_json(folder / "tokenizer_config.json", config)


def save(
    model: LlamaForCausalLM, tokenizer: Tokenizer, name: str, size: Size, folder: Path
) -> dict[str, Any]:
    """Write one model's folder and return its training report.

    The loss is that of the stored weights, which are rounded to bfloat16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    save_tokenizer(tokenizer, folder)
    loss, answer_loss = held_out(model.float(), held_out_documents(tokenizer))
    report = {
        "name": f"starter/{name}",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": tokenizer.get_vocab_size(),
        "held_out_loss_nats_per_token": round(loss, 5),
        "held_out_answer_loss_nats_per_token": round(answer_loss, 5),
        "held_out_documents": HELD_OUT_DOCUMENTS,
        "loss_goal_nats_per_token": round(0.5 * math.log(tokenizer.get_vocab_size()), 5),
        "seed": SEED,
        "batch": BATCH,
        **asdict(size),
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    _write_json(folder / "training.json", report)
    (folder / "MODEL_CARD.md").write_text(model_card(name, size, report), encoding="utf-8")
    return report


def model_card(name: str, size: Size, report: dict[str, Any]) -> str:
    """Word what the model is, how it was made and what it is not for."""
    loss = f"{report['held_out_loss_nats_per_token']:.3f}"
    answer_loss = f"{report['held_out_answer_loss_nats_per_token']:.3f}"
    return f"""# starter/{name}

A causal language model of the Llama architecture with {report["parameters"]:,} parameters:
{size.layers} layers, hidden size {size.hidden}, {size.heads} attention heads and {size.kv_heads} for keys and
values, a byte-level BPE vocabulary of {report["vocabulary"]} and a context of {CONTEXT_TOKENS} tokens.
The weights are bfloat16 safetensors. Licence: Apache-2.0, as the project.

## How it was made
`python examples/train_starter.py --only {name}` trained it from random weights: {size.steps} AdamW
steps of {BATCH} documents, peak learning rate {size.peak_rate:g}, cosine, seed {SEED}. The documents come
from edgerig's own LaMP-shaped generator (`edgerig_controller.data.synthetic.corpus`) in the words of
the workload's prompts. No other text was used. In every document the words mean something else, so
the model has learnt to use the examples in a prompt.

Loss on {HELD_OUT_DOCUMENTS} documents of another seed: {loss} nats per token ({answer_loss} on the answers).

## What it is for
To check that a measuring setup works, without a network and in minutes. It knows a few hundred
English words and no language; a verdict drawn from it is about the instrument, never about larger
models.
"""


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def make(name: str, out: Path, threads: int) -> dict[str, Any]:
    """Train and save one size."""
    torch.set_num_threads(threads)
    tokenizer = train_tokenizer()
    size = SIZES[name]
    return save(train(tokenizer, name, size), tokenizer, name, size, out / name)


def main() -> None:
    """Train the sizes, one process each, and print their reports."""
    parser = argparse.ArgumentParser(description="Trains the starter models.")
    parser.add_argument("--only", choices=list(SIZES), help="train this size alone")
    parser.add_argument("--out", type=Path, default=STARTER, help="folder that gets a folder for each size")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else ["large", "small", "tiny"]
    with ProcessPoolExecutor(max_workers=min(2, len(names))) as pool:
        jobs = [pool.submit(make, name, arguments.out, arguments.threads) for name in names]
        reports = [job.result() for job in jobs]
    print(json.dumps({report["name"]: report["held_out_loss_nats_per_token"] for report in reports}))


if __name__ == "__main__":
    main()
