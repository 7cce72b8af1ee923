"""Finds the files of a model that a study names, and what the planner must know of it.

Sources: `starter/NAME` (comes with edgerig), a folder of this machine,
`org/name@revision` of the Hugging Face hub, and `device:/path`, which only the
device can look at. Takes config, tokenizer and safetensors files and nothing
else: pickles and code of a repository are refused. Runs no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from edgerig import documents
from edgerig.errors import DataError
from edgerig.v1.trial_pb2 import FileRef, Model
from edgerig_controller.data import local, safetensors_header
from edgerig_controller.data.sink import BlobSink

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)
SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    *TOKENIZER_FILES,
)
_SIDE_FILE_BYTES = 256 * 1024 * 1024
_SHARDS = 10_000
_SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.safetensors")
_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w./-]{1,255}))?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_DEVICE = "device:"
_STARTER = "starter/"
# What the memory formula calls a number, and what model families call it in config.json.
_CONFIG_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_dim": ("head_dim", "d_kv"),
    "vocabulary": ("vocab_size",),
    "intermediate": ("intermediate_size", "n_inner", "d_ff"),
}

# Fetches a hub repository: (repo, revision or '', offline) -> folder and commit.
Fetch = Callable[[str, str, bool], tuple[Path, str]]


@dataclass(frozen=True)
class Facts:
    """Numbers of a model that its memory depends on; `config` lacks what config.json does not say."""

    parameter_count: int
    stored_element_bytes: int
    config: dict[str, int]


@dataclass(frozen=True)
class FoundModel:
    """A model's files, by the path that they have in the model's folder.

    A model on a device has no files and no facts here.
    """

    name: str
    revision: str = ""
    files: tuple[tuple[str, Path], ...] = ()
    facts: Facts | None = None
    device_path: str = ""


def find(name: str, *, folder: Path, offline: bool = False, fetch: Fetch | None = None) -> FoundModel:
    """Find the model that a study in `folder` calls `name`.

    Raises:
        DataError: there is no such model, it cannot be fetched, or it is of a
            form that is not used here.
    """
    if name.startswith(_DEVICE):
        return FoundModel(name, device_path=_device_path(name))
    if name.startswith(_STARTER):
        return _inspect(name, _starter(name.removeprefix(_STARTER)), "")
    place = local.absolute(folder, name)
    if place.is_dir():
        return _inspect(name, place, "")
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        raise DataError(
            f"there is no model `{name}`: no folder {place}",
            hint="write starter/NAME, a folder, org/name@revision of the hub, or device:/path",
        )
    path, commit = (fetch or _hub_fetch)(match[1], match[2] or "", offline)
    return _inspect(name, path, commit)


def _hub_fetch(repo: str, revision: str, offline: bool) -> tuple[Path, str]:
    # Imported late: most studies name no hub model, and huggingface_hub is slow to import.
    from edgerig_controller.data import hub

    return hub.fetch(repo, revision, offline)


def publish(found: FoundModel, blobs: BlobSink) -> Model:
    """Put a model's files into a blob store and return the message that names them.

    The digest is over the sorted list of (path, sha256): the same content is
    the same model wherever it was found.
    """
    model = Model(name=found.name, revision=found.revision, device_path=found.device_path)
    for path, source in sorted(found.files):
        model.files.append(
            FileRef(path=path, sha256=blobs.put_file(source), size_bytes=source.stat().st_size)
        )
    if found.device_path:
        model.digest = documents.digest({"device_path": found.device_path})
    else:
        model.digest = documents.digest([[file.path, file.sha256] for file in model.files])
    if found.facts is not None:
        model.parameter_count = found.facts.parameter_count
        model.stored_element_bytes = found.facts.stored_element_bytes
    return model


def starters() -> list[str]:
    """List the names of the starter models that are installed."""
    root = _starter_root()
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _starter_root() -> Path:
    return Path(str(resources.files("edgerig_controller.data") / "starter"))


def _starter(name: str) -> Path:
    known = starters()
    if name not in known:
        listed = ", ".join(_STARTER + other for other in known) or "none is installed"
        raise DataError(f"there is no model `{_STARTER}{name}`", hint=f"starter models: {listed}")
    return _starter_root() / name


def _device_path(name: str) -> str:
    path = PurePosixPath(name.removeprefix(_DEVICE))
    if not name.isprintable() or not path.is_absolute() or ".." in path.parts or len(str(path)) > 1000:
        raise DataError(f"`{name}` is no absolute path on a device", hint="write device:/models/NAME")
    return str(path)


def _inspect(name: str, folder: Path, revision: str) -> FoundModel:
    """Chooses the files of a model folder and reads its facts."""
    try:
        present = {path.name for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise DataError(
            f"the folder of `{name}` cannot be read: {error.strerror}", hint=f"ls -l {folder}"
        ) from error
    if "config.json" not in present:
        raise DataError(
            f"`{name}` is no model folder: config.json is missing in {folder}",
            hint="name a folder that `save_pretrained` of transformers wrote",
        )
    weights = _weights(name, folder, present)
    if not present.intersection(TOKENIZER_FILES):
        raise DataError(
            f"`{name}` has no tokenizer: none of {', '.join(TOKENIZER_FILES)}",
            hint="save the tokenizer into the same folder with `tokenizer.save_pretrained`",
        )
    config = _document(name, folder / "config.json")
    side_files = sorted(present.intersection(SIDE_FILES))
    for file in side_files:
        if (folder / file).stat().st_size > _SIDE_FILE_BYTES:
            raise DataError(
                f"`{name}`: {file} is larger than {_SIDE_FILE_BYTES} bytes", hint=f"ls -l {folder}"
            )
    shards = [*weights, INDEX] if INDEX in present and weights != [SINGLE] else weights
    files = tuple((file, folder / file) for file in sorted({*side_files, *shards}))
    return FoundModel(name, revision, files, _facts(folder, weights, config))


def _weights(name: str, folder: Path, present: set[str]) -> list[str]:
    """Lists the safetensors files that make up the model."""
    if SINGLE in present:
        return [SINGLE]
    if INDEX in present:
        return _shards(name, folder, present)
    pickles = sorted(file for file in present if file.endswith(_PICKLES))
    if pickles:
        raise DataError(
            f"`{name}` has its weights only as {pickles[0]}: pickles can run code and are refused",
            hint="convert once, on a machine that may: `AutoModelForCausalLM.from_pretrained(...)` and then "
            "`save_pretrained(..., safe_serialization=True)`",
        )
    raise DataError(
        f"`{name}` has no weights: neither {SINGLE} nor {INDEX} in {folder}",
        hint="save the model with `save_pretrained(..., safe_serialization=True)`",
    )


def _shards(name: str, folder: Path, present: set[str]) -> list[str]:
    mapping = _document(name, folder / INDEX).get("weight_map")
    names = set(mapping.values()) if isinstance(mapping, dict) and mapping else set()
    good = all(isinstance(shard, str) and _SHARD_NAME.fullmatch(shard) for shard in names)
    if not names or not good or len(names) > _SHARDS:
        raise DataError(f"`{name}`: the weight_map of {INDEX} is not sound", hint="save the model anew")
    missing = sorted(names - present)
    if missing:
        raise DataError(
            f"`{name}` is not whole: {len(missing)} of {len(names)} weight files are missing, "
            f"first {missing[0]}",
            hint="finish the download",
        )
    return sorted(names)


def _facts(folder: Path, weights: list[str], config: dict[str, Any]) -> Facts:
    tensors = [safetensors_header.read(folder / file) for file in weights]
    largest = max(tensors, key=lambda part: part.largest_count)
    count = sum(part.element_count for part in tensors)
    return Facts(count, largest.largest_element_bytes, _config_numbers(config))


def _config_numbers(config: dict[str, Any]) -> dict[str, int]:
    """Reads the shape of a model; a number that cannot be known is left out."""
    inner = config.get("text_config")
    source = {**config, **inner} if isinstance(inner, dict) else config
    found: dict[str, int] = {}
    for name, spellings in _CONFIG_NAMES.items():
        values = (source.get(spelling) for spelling in spellings)
        value = next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)
        if value is not None:
            found[name] = value
    # These are transformers' own defaults where a config leaves the number out.
    if "heads" in found:
        found.setdefault("kv_heads", found["heads"])
        if "hidden" in found:
            found.setdefault("head_dim", found["hidden"] // found["heads"])
    if "hidden" in found and "n_embd" in source:
        found.setdefault("intermediate", 4 * found["hidden"])
    return found


def _document(name: str, path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _SIDE_FILE_BYTES:
            raise DataError(
                f"`{name}`: {path.name} is larger than {_SIDE_FILE_BYTES} bytes", hint=f"ls -l {path}"
            )
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"`{name}`: {path.name} cannot be read: {error.strerror}", hint=f"ls -l {path}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"`{name}`: {path.name} is not JSON: {error}", hint="download the model again"
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"`{name}`: {path.name} is not a JSON object", hint="download the model again")
    return document
