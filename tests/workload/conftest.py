"""Tiny random models in real folders, and task data, for tests of the worker."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

# One thread: with a busy neighbour, two OpenMP threads spin on each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LABELS = ["comedy", "action"]


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<eos>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the tag for the movie is comedy or action answer:"] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )


def save(model: Any, folder: Path) -> Path:
    """Save a model with the tokenizer, in a form that old and new transformers load."""
    model.save_pretrained(folder, safe_serialization=True)
    _tokenizer().save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


# Of the decoders: two query heads for each key head.
_SHAPE: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 40 thousand random parameters with two query heads for each key head."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    config = LlamaConfig(**_SHAPE, tie_word_embeddings=True)
    return save(LlamaForCausalLM(config), tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def mistral_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mistral of random parameters whose layers see the last eight tokens alone."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(7)
    config = MistralConfig(**_SHAPE, sliding_window=8)
    return save(MistralForCausalLM(config), tmp_path_factory.mktemp("mistral"))


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of random parameters, as the smallest encoder-decoder."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(7)
    config = T5Config(
        vocab_size=320,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    )
    return save(T5ForConditionalGeneration(config), tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="session")
def wide_t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 whose heads are together wider than the model, and with fewer layers in its decoder."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(7)
    config = T5Config(
        vocab_size=320,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=6,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    )
    return save(T5ForConditionalGeneration(config), tmp_path_factory.mktemp("wide-t5"))


def _sentence_pieces() -> Any:
    """A tokenizer like T5's: pieces of words, line breaks lost, an end token behind every text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace("\n", " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz.,:[]?"),
        show_progress=False,
    )
    texts = [
        "Which tag does this movie relate to? tags: [comedy, action] description: a film of robots, trains"
    ]
    tokenizer.train_from_iterator(texts * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=256,
    )


@pytest.fixture(scope="session")
def t5_pieces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of random parameters with a tokenizer of sentence pieces."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(7)
    tokenizer = _sentence_pieces()
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=48,
        d_kv=12,
        d_ff=96,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    folder = tmp_path_factory.mktemp("t5-pieces")
    T5ForConditionalGeneration(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random parameters, as the smallest sentence encoder."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return save(BertModel(config), tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two users with two questions each and a history of three movies."""
    rows = []
    for user in ("ada", "bob"):
        profile = [
            {"id": f"{user}-p{place}", "text": f"a film of {word}", "output": LABELS[place % 2]}
            for place, word in enumerate(("robots", "trains", "snow"))
        ]
        rows += [
            {
                "id": f"{user}-{place}",
                "user": user,
                "input": f"Which tag fits? tags: [comedy, action] description: a film of {word}",
                "output": LABELS[place],
                "profile": profile,
            }
            for place, word in enumerate(("robots", "trains"))
        ]
    path = tmp_path_factory.mktemp("data") / "movies.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def trial_document() -> dict[str, Any]:
    """A valid trial in proto3 JSON form, numbers as protobuf may write them."""
    return {
        "schema_version": 1,
        "protocol": "PROTOCOL_QUICK",
        "seed": 3,
        "repeat": 1,
        "model": {"name": "starter/small"},
        "task": {
            "name": "lamp-2",
            "kind": "TASK_KIND_CLASSIFICATION",
            "metric": "accuracy",
            "prompt": "lamp-2",
            "labels": LABELS,
            "answer_tokens": 4,
        },
        "method": {"kind": "none"},
        "compression": {"kind": "none"},
        "history": -1,
        "budgets": {"train": {"steps": 3}, "attempt": {"duration_s": 60.0}},
        "inference": {"prompt_tokens": 12, "new_tokens": 4, "batch": 1, "requests": 2},
        "dtype": "auto",
    }


class Recorder:
    """Keeps events instead of writing them."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, kind: str, content: Any) -> None:
        self.events.append((kind, dict(content)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for found, content in self.events if found == kind]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
