"""Loads a language model from a local folder: safetensors only, none of its code, nothing random.

Whatever the folder lacks is reported as `bad_model`; weights that were not in the
files are never used. Knows nothing of tasks, methods or timing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from edgerig_workload.compress import artefacts
from edgerig_workload.faults import WorkerFault, memory_class, some
from edgerig_workload.tasks.wording import Head

# Where a model holds parameters that stand before its input.
VIRTUAL_TOKENS = "virtual_tokens"
# Used where neither configuration nor tokenizer says how long an input may be.
CONTEXT_TOKENS = 2048
# Tokenizers without a limit of their own say a number larger than this.
NO_LIMIT_TOKENS = 10**9
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run. `max_tokens` bounds prompt and answer together."""

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: str
    max_tokens: int
    pad_id: int
    stop_ids: frozenset[int]
    encoder_decoder: bool
    parameter_count: int
    weights_bytes: int
    hidden: int

    @property
    def pads(self) -> bool:
        """Whether prompts of several lengths may go in one batch.

        Padding stands between virtual tokens and a shorter prompt, and a sliding window counts it:
        there the answer would depend on the batch.
        """
        if self.encoder_decoder or not hasattr(self.model, VIRTUAL_TOKENS):
            return True
        config = self.model.config.get_text_config()
        kinds = getattr(config, "layer_types", None) or ()
        windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
        return not (any(windows) or any("sliding" in kind or "chunked" in kind for kind in kinds))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text with what the tokenizer puts around it."""
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids

    def count(self, text: str) -> int:
        """Count the tokens of a text with what the tokenizer puts around it."""
        return len(self.encode(text))

    def head(self, text: str, most: int) -> Head | None:
        """Return what fits into `most` tokens, added ones among them; None where not even those fit."""
        if most < self.tokenizer.num_special_tokens_to_add():
            return None
        ids: list[int] = self.tokenizer(text, max_length=most, truncation=True)["input_ids"]
        whole = self.count(text)
        return Head(self.decode(ids), len(ids), cut=len(ids) < whole)

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, special tokens left out."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def runtime(threads: int) -> torch.device:
    """Set the thread count (0 leaves the default), silence the libraries and pick the device."""
    if threads > 0:
        torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load(folder: Path, dtype: str, device: torch.device) -> Loaded:
    """Load the model and the tokenizer of a folder onto a device, in evaluation mode.

    Raises:
        WorkerFault: of class bad_model; the message says what the folder lacks.
    """
    config = read_config(folder)
    tokenizer = read_tokenizer(folder)
    encoder_decoder = bool(getattr(config, "is_encoder_decoder", False))
    chosen = _dtype(dtype, config, device)
    kind = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    layout = artefacts.layout_of(config)
    if layout is None:
        model = read_weights(folder, kind, chosen)
    else:
        model = artefacts.load(folder, kind, config, layout, chosen)
    rows = int(model.get_input_embeddings().weight.shape[0])
    largest_id = max(tokenizer.get_vocab().values(), default=-1)
    if largest_id >= rows:
        raise WorkerFault(
            "bad_model",
            f"the tokenizer of {folder.name} has ids up to {largest_id}, the model embeds only {rows}",
        )
    model.eval()
    model.to(device)
    weights = list(model.parameters())
    packed_count = 0 if layout is None else artefacts.packed_count(model)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=str(chosen).removeprefix("torch."),
        max_tokens=_max_tokens(config, tokenizer),
        pad_id=_pad_id(tokenizer),
        stop_ids=_stop_ids(model, tokenizer),
        encoder_decoder=encoder_decoder,
        parameter_count=sum(weight.numel() for weight in weights) + packed_count,
        weights_bytes=sum(
            part.numel() * part.element_size()
            for part in (model.state_dict().values() if packed_count else weights)
        ),
        hidden=int(model.get_input_embeddings().weight.shape[1]),
    )


def reader(folder: Path) -> Loaded:
    """Load only what reads and writes text for a model that another process runs; `model` is None.

    Raises:
        WorkerFault: of class bad_model; the message says what the folder lacks.
    """
    # The weights may be in a format of the other process's own.
    config, tokenizer = read_config(folder, weights=False), read_tokenizer(folder)
    return Loaded(
        model=None,
        tokenizer=tokenizer,
        device=torch.device("cpu"),
        dtype="",
        max_tokens=_max_tokens(config, tokenizer),
        pad_id=_pad_id(tokenizer),
        stop_ids=frozenset({tokenizer.eos_token_id} - {None}),
        encoder_decoder=bool(getattr(config, "is_encoder_decoder", False)),
        parameter_count=0,
        weights_bytes=0,
        hidden=0,
    )


def read_config(folder: Path, *, weights: bool = True) -> Any:
    """Read the configuration of a model folder and refuse what is never loaded here.

    `weights` says whether the folder must have them.

    Raises:
        WorkerFault: of class bad_model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise WorkerFault("bad_model", f"{folder.name} has no config.json")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise WorkerFault("bad_model", f"{folder.name}: config.json is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WorkerFault("bad_model", f"{folder.name}: config.json holds no object")
    # Where transformers has the architecture itself, code beside the weights is not needed, and never run.
    if "auto_map" in content and str(content.get("model_type")) not in CONFIG_MAPPING:
        raise WorkerFault(
            "bad_model",
            f"{folder.name} needs code of its own, which is never run here: transformers "
            f"{transformers.__version__} has no model type {content.get('model_type')!r}",
        )
    if (folder / "adapter_config.json").exists():
        # The library would follow it to another base model.
        raise WorkerFault("bad_model", f"{folder.name} is an adapter; give the folder of its base model")
    _check_shards(folder)
    if weights and not any(folder.glob("*.safetensors")):
        raise WorkerFault(
            "bad_model", f"{folder.name} has no *.safetensors file; weights in other formats are refused"
        )
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if memory_class(error):
            raise
        raise WorkerFault("bad_model", f"{folder.name}: the configuration is refused: {error}") from error


def _check_shards(folder: Path) -> None:
    """Refuses an index that names anything but safetensors files of the same folder."""
    path = folder / "model.safetensors.index.json"
    if not path.exists():
        return
    try:
        names = set(json.loads(path.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkerFault("bad_model", f"{folder.name}: {path.name} is not an index: {error!r}") from error
    outside = sorted(
        str(name) for name in names if Path(str(name)).name != name or not name.endswith(".safetensors")
    )
    absent = sorted(str(name) for name in names if name not in outside and not (folder / str(name)).is_file())
    if outside or absent:
        what = f"names {some(outside)}" if outside else f"lacks {some(absent)}"
        raise WorkerFault("bad_model", f"{folder.name}: the index of its weights {what}")


def read_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder.

    Raises:
        WorkerFault: of class bad_model.
    """
    # The libraries raise whatever their parser raises, down to plain Exception.
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        if memory_class(error):
            raise
        raise WorkerFault("bad_model", f"{folder.name}: the tokenizer cannot be loaded: {error}") from error


def read_weights(folder: Path, kind: Any, dtype: torch.dtype, unused: tuple[str, ...] = ()) -> Any:
    """Load a model by a class of transformers; weights that the files lack are never made up.

    Those whose names begin with one of `unused` may be missing: nothing reads them.

    Raises:
        WorkerFault: of class bad_model.
    """
    try:
        model, report = kind.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:
        if memory_class(error):
            raise
        raise WorkerFault("bad_model", f"{folder.name}: the weights cannot be loaded: {error}") from error
    wrong = {name: report.get(name) for name in ("mismatched_keys", "error_msgs")}
    wrong["missing_keys"] = [name for name in report["missing_keys"] if not name.startswith(unused)]
    if any(wrong.values()):
        shown = "; ".join(f"{name}: {some(values)}" for name, values in wrong.items() if values)
        raise WorkerFault(
            "bad_model",
            f"the weights of {folder.name} do not fit its configuration: {shown}. Download the model again, "
            "or save it anew with save_pretrained",
        )
    return model


def _dtype(dtype: str, config: Any, device: torch.device) -> torch.dtype:
    if dtype != "auto":
        return _DTYPES[dtype]
    if device.type == "cpu":
        return torch.float32
    # 4.57 and 5.x store it under different names.
    stored = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)
    return stored if isinstance(stored, torch.dtype) else torch.float32


def _max_tokens(config: Any, tokenizer: Any) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    said = [getattr(text, name, None) for name in ("max_position_embeddings", "n_positions")]
    said.append(tokenizer.model_max_length)
    known = [int(value) for value in said if value and 0 < int(value) < NO_LIMIT_TOKENS]
    return min(known, default=CONTEXT_TOKENS)


def _pad_id(tokenizer: Any) -> int:
    # Padding is masked everywhere, so that any id will do where a tokenizer has none.
    for name in ("pad_token_id", "eos_token_id", "unk_token_id"):
        value = getattr(tokenizer, name, None)
        if value is not None:
            return int(value)
    return 0


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    told = getattr(model.generation_config, "eos_token_id", None)
    ids = list(told) if isinstance(told, (list, tuple)) else [told]
    return frozenset(int(value) for value in [*ids, tokenizer.eos_token_id] if value is not None)
