"""Turns a llama2.c checkpoint and its tokenizer into a folder that transformers loads.

Reads the "version 0" layout: seven int32, then float32 arrays without padding. The
query and key weights are reordered, because llama2.c rotates neighbouring pairs of a
head and transformers rotates its two halves. The tokenizer is SentencePiece's BPE with
byte fallback, written as the merges that its scores mean. Nothing of either file is
trusted: every size is checked before it is used. Knows nothing of studies or blobs.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from edgerig.errors import DataError

CHECKPOINT_BYTES = 64 * 1024**3
TOKENIZER_BYTES = 64 * 1024**2
# Bounds on what the seven numbers may say; larger models are not kept in this layout.
LARGEST_DIM = 65_536
LARGEST_LAYERS = 1024
LARGEST_VOCABULARY = 1_000_000
LARGEST_PIECE_BYTES = 512
UNKNOWN_ID, BEGIN_ID, END_ID = 0, 1, 2
# SentencePiece's visible blank; llama2.c stores a plain one.
BLANK = "▁"
_HINT = "edgerig model import llama2c MODEL.bin TOKENIZER.bin --out DIR"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """The seven numbers at the head of a checkpoint; a negative vocabulary there means a head of its own."""

    dim: int
    hidden_dim: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    shared_head: bool

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


@dataclass(frozen=True)
class Piece:
    """One token of the tokenizer: its text and the score of the merge that makes it."""

    text: str
    score: float


def convert(bin_path: Path, tokenizer_path: Path, out_dir: Path) -> None:
    """Write config.json, model.safetensors (float32), tokenizer.json and their companions to `out_dir`.

    Raises:
        DataError: a file cannot be read, is not of this layout, or the two do not
            belong together; or `out_dir` is not empty.
    """
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise DataError(f"{out_dir} exists and is not an empty folder", hint="choose another --out")
    shape, weights = read_checkpoint(bin_path)
    pieces = read_tokenizer(tokenizer_path, shape.vocabulary)
    documents = {
        "config.json": _config(shape),
        "generation_config.json": {"bos_token_id": BEGIN_ID, "eos_token_id": END_ID},
        "tokenizer.json": _tokenizer(pieces),
        "tokenizer_config.json": _tokenizer_config(shape),
        "special_tokens_map.json": _special_tokens(),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, content in documents.items():
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (out_dir / name).write_text(text, encoding="utf-8")
    save_file(weights, out_dir / "model.safetensors", metadata={"format": "pt"})


def read_checkpoint(path: Path) -> tuple[Shape, dict[str, Floats]]:
    """Read a checkpoint into tensors under the names that transformers gives them.

    Raises:
        DataError: not readable, or not of the layout.
    """
    data = _read(path, CHECKPOINT_BYTES)
    shape = _shape(path, data)
    floats = np.frombuffer(data, dtype="<f4", offset=28)
    parts = _Parts(floats)
    weights = _weights(parts, shape)
    if not all(np.isfinite(tensor).all() for tensor in weights.values()):
        raise DataError(f"{path} holds weights that are not finite numbers", hint=_HINT)
    return shape, weights


def read_tokenizer(path: Path, vocabulary: int) -> list[Piece]:
    """Read the pieces of a tokenizer in the order of their ids.

    Raises:
        DataError: not readable, not of the layout, or not of `vocabulary` pieces.
    """
    data = _read(path, TOKENIZER_BYTES)
    if len(data) < 4:
        raise DataError(f"{path} is too short for a llama2.c tokenizer", hint=_HINT)
    place, pieces = 4, []
    for index in range(vocabulary):
        if place + 8 > len(data):
            raise DataError(f"{path} ends at piece {index}; the model has {vocabulary}", hint=_HINT)
        score, length = struct.unpack_from("<fi", data, place)
        place += 8
        if not 0 <= length <= LARGEST_PIECE_BYTES or place + length > len(data):
            raise DataError(f"{path}: piece {index} says it is {length} bytes long", hint=_HINT)
        try:
            text = data[place : place + length].decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: piece {index} is not UTF-8: {error}", hint=_HINT) from error
        pieces.append(Piece(text, score))
        place += length
    if place != len(data):
        raise DataError(
            f"{path} has {len(data) - place} bytes after {vocabulary} pieces; it belongs to another model",
            hint=_HINT,
        )
    return pieces


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise DataError(f"{path} has {size} bytes; at most {most_bytes} are read", hint=_HINT)
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint=_HINT) from error


def _shape(path: Path, data: bytes) -> Shape:
    if len(data) < 28:
        raise DataError(f"{path} is too short for a llama2.c checkpoint", hint=_HINT)
    dim, hidden_dim, layers, heads, kv_heads, vocabulary, context = struct.unpack_from("<7i", data)
    shape = Shape(dim, hidden_dim, layers, heads, kv_heads, abs(vocabulary), context, vocabulary > 0)
    sound = (
        0 < dim <= LARGEST_DIM
        and 0 < hidden_dim <= 4 * LARGEST_DIM
        and 0 < layers <= LARGEST_LAYERS
        and 0 < heads <= dim
        and 0 < kv_heads <= heads
        and dim % heads == 0
        and heads % kv_heads == 0
        and (dim // heads) % 2 == 0
        and END_ID < abs(vocabulary) <= LARGEST_VOCABULARY
        and 0 < context <= LARGEST_VOCABULARY
    )
    if not sound:
        numbers = f"dim {dim}, hidden_dim {hidden_dim}, n_layers {layers}, n_heads {heads}"
        raise DataError(
            f"{path} is no llama2.c checkpoint of version 0: {numbers}, n_kv_heads {kv_heads}, "
            f"vocab {vocabulary}, max_seq_len {context}",
            hint=_HINT,
        )
    expected = 28 + 4 * _float_count(shape)
    if len(data) != expected:
        raise DataError(f"{path} has {len(data)} bytes; its head means {expected}", hint=_HINT)
    return shape


def _float_count(shape: Shape) -> int:
    kv_dim = shape.kv_heads * shape.head_dim
    layer = 2 * shape.dim + 2 * shape.dim**2 + 2 * kv_dim * shape.dim + 3 * shape.dim * shape.hidden_dim
    head = 0 if shape.shared_head else shape.vocabulary * shape.dim
    rotation = shape.context * shape.head_dim
    return shape.vocabulary * shape.dim + shape.layers * layer + shape.dim + rotation + head


class _Parts:
    """Hands out consecutive arrays; the total was checked before."""

    def __init__(self, floats: npt.NDArray[Any]) -> None:
        self._floats = floats
        self._place = 0

    def take(self, *shape: int) -> Floats:
        count = int(np.prod(shape))
        part = self._floats[self._place : self._place + count]
        self._place += count
        return part.reshape(shape).astype(np.float32)


def _weights(parts: _Parts, shape: Shape) -> dict[str, Floats]:
    dim, hidden, layers = shape.dim, shape.hidden_dim, shape.layers
    kv_dim = shape.kv_heads * shape.head_dim
    weights = {"model.embed_tokens.weight": parts.take(shape.vocabulary, dim)}
    layout = (
        ("input_layernorm", (dim,)),
        ("self_attn.q_proj", (dim, dim)),
        ("self_attn.k_proj", (kv_dim, dim)),
        ("self_attn.v_proj", (kv_dim, dim)),
        ("self_attn.o_proj", (dim, dim)),
        ("post_attention_layernorm", (dim,)),
        ("mlp.gate_proj", (hidden, dim)),
        ("mlp.down_proj", (dim, hidden)),
        ("mlp.up_proj", (hidden, dim)),
    )
    for name, size in layout:
        for layer, tensor in enumerate(parts.take(layers, *size)):
            if name.endswith("q_proj"):
                tensor = _halves(tensor, shape.heads)
            elif name.endswith("k_proj"):
                tensor = _halves(tensor, shape.kv_heads)
            weights[f"model.layers.{layer}.{name}.weight"] = np.ascontiguousarray(tensor)
    weights["model.norm.weight"] = parts.take(dim)
    # Two tables of the rotation, which transformers computes itself.
    parts.take(2, shape.context, shape.head_dim // 2)
    if not shape.shared_head:
        weights["lm_head.weight"] = parts.take(shape.vocabulary, dim)
    return weights


def _halves(tensor: Floats, heads: int) -> Floats:
    """Reorders the rows of each head from neighbouring pairs to two halves."""
    rows, columns = tensor.shape
    return tensor.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.dim,
        "intermediate_size": shape.hidden_dim,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": shape.shared_head,
        "bos_token_id": BEGIN_ID,
        "eos_token_id": END_ID,
        "torch_dtype": "float32",
    }


def _tokenizer(pieces: list[Piece]) -> dict[str, Any]:
    texts = ["<unk>", "<s>", "</s>", *(piece.text.replace(" ", BLANK) for piece in pieces[3:])]
    vocabulary = {text: index for index, text in enumerate(texts)}
    if len(vocabulary) != len(texts):
        raise DataError("two pieces of the tokenizer have the same text", hint=_HINT)
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, texts[index]) for index in (UNKNOWN_ID, BEGIN_ID, END_ID)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": BLANK},
                {"type": "Replace", "pattern": {"String": " "}, "content": BLANK},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [BEGIN_ID], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": _merges(texts, [piece.score for piece in pieces]),
        },
    }


def _merges(texts: list[str], scores: list[float]) -> list[list[str]]:
    """Lists all ways to make a piece out of two others, the best score first.

    llama2.c merges the pair whose result scores best; equal scores go by id here,
    and by position in the text there, which only pieces of equal score can show.
    """
    known = {text: index for index, text in enumerate(texts) if not _is_byte(text)}
    found = []
    for text, index in known.items():
        if index <= END_ID:
            continue
        for split in range(1, len(text)):
            left, right = text[:split], text[split:]
            if left in known and right in known:
                found.append((-scores[index], index, known[left], known[right], left, right))
    found.sort()
    return [[left, right] for *_, left, right in found]


def _is_byte(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _added(index: int, text: str) -> dict[str, Any]:
    return {
        "id": index,
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _special_tokens() -> dict[str, str]:
    return {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def _tokenizer_config(shape: Shape) -> dict[str, Any]:
    # This class name is read by transformers 4.57 and by 5.x alike.
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": False,
        **_special_tokens(),
    }
