"""Prepares an attempt folder from a person's trial file, with no controller.

Finds the model and the data that the file names, fills in what a controller
would have filled in (files, digests), and writes trial.json and attempt.json.
Runs nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgerig.documents import canonical_bytes, digest, from_json, to_json
from edgerig.errors import DataError, StorageError, UsageError
from edgerig.v1.trial_pb2 import Choice, FileRef, Model, Trial
from edgerig.version import DOCUMENT_SCHEMA
from edgerig_agent import attempt_files as files
from edgerig_agent.recorders import check_meters, configured_meters

_MAX_TRIAL_BYTES = 1024 * 1024
_STARTER = "starter/"
_DEVICE = "device:"
# What a model consists of; pickles and code are never among it.
_SIDE_FILES = frozenset(
    {
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "merges.txt",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "vocab.json",
        "vocab.txt",
        "model.safetensors.index.json",
    }
)


def prepare(
    trial_path: Path,
    out: Path,
    *,
    interpreter: str = "",
    sysfs_root: str = "/",
    home: Path | None = None,
    meters: Sequence[str] = (),
) -> Trial:
    """Makes `out` an attempt folder that is ready to run, and returns the completed trial.

    Raises:
        UsageError: the trial file is not there, `out` holds something already, or a meter's
            address cannot be understood.
        ProtocolError: the trial file is not a Trial.
        DataError: the model or the data cannot be found.
        StorageError: the disk refuses.
    """
    check_meters([*(configured_meters(home) if home else ()), *meters])
    trial = read_trial(trial_path)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{out} exists and is not an empty folder; an attempt is never written over another",
            hint=f"edgerig-agent measure {trial_path} --out {out}-2",
        )
    model_dir = find_model(trial.model.name, trial_path.parent)
    data_file = _complete_data(trial, trial_path.parent)
    _complete_model(trial.model, model_dir)
    encoder_dir = _complete_named(trial.method, trial.encoder, "encoder", trial_path.parent)
    teacher_dir = _complete_named(trial.compression, trial.teacher, "teacher", trial_path.parent)
    trial.schema_version = trial.schema_version or DOCUMENT_SCHEMA
    trial.digest = trial_digest(trial)
    settings = {
        "attempt_id": str(uuid.uuid4()),
        "model_dir": str(model_dir),
        "data_file": str(data_file) if data_file else "",
        "encoder_dir": str(encoder_dir) if encoder_dir else "",
        "teacher_dir": str(teacher_dir) if teacher_dir else "",
        "worker_python": interpreter,
        "sysfs_root": sysfs_root,
        "own_pids": [],
        "home": str(home.resolve()) if home else "",
        "meters": list(meters),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {out}: {error.strerror}", hint=f"ls -ld {out.parent}") from error
    files.write_message(out / "trial.json", trial)
    files.write_durably(out / "attempt.json", canonical_bytes(settings) + b"\n")
    return trial


def read_trial(path: Path) -> Trial:
    """Reads a person's trial file.

    Raises:
        UsageError: it is not there or too large.
        ProtocolError: it is not a Trial.
    """
    try:
        if path.stat().st_size > _MAX_TRIAL_BYTES:
            raise UsageError(f"{path} is larger than a trial file may be")
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the trial file {path}: {error.strerror}") from error
    return from_json(text, Trial(), what=str(path))


def trial_digest(trial: Trial) -> str:
    """Returns the digest of a trial: of its JSON form without `digest` and the display labels."""
    document = to_json(trial)
    return digest({key: value for key, value in document.items() if key not in ("digest", "factors")})


def find_model(name: str, base: Path) -> Path:
    """Returns the folder of `starter/NAME`, `device:/path` or a folder relative to `base`.

    Raises:
        DataError: there is no such folder.
    """
    if name.startswith(_STARTER):
        return _starter(name.removeprefix(_STARTER))
    path = Path(name.removeprefix(_DEVICE)).expanduser()
    folder = path if path.is_absolute() else (base / path).resolve()
    if not (folder / "config.json").is_file():
        raise DataError(
            f"the model `{name}` is no folder with a config.json",
            hint="give model.name as starter/NAME, device:/path or a folder",
        )
    return folder


def _starter(name: str) -> Path:
    # Looked up, never imported: the controller's packages may be missing or heavy.
    package = find_spec("edgerig_controller")
    locations = list(package.submodule_search_locations or ()) if package else []
    roots = [Path(location) / "data" / "starter" for location in locations]
    known = sorted(path.name for root in roots if root.is_dir() for path in root.iterdir() if path.is_dir())
    if name not in known:
        listed = ", ".join(_STARTER + other for other in known) or "none is installed"
        raise DataError(f"there is no model `{_STARTER}{name}`", hint=f"starter models: {listed}")
    return next(root / name for root in roots if (root / name).is_dir())


def _complete_named(choice: Choice, model: Model, parameter: str, base: Path) -> Path | None:
    """Finds the further model (sentence encoder, teacher) that a parameter names, if it names one."""
    fields = choice.parameters.fields
    name = fields[parameter].string_value if parameter in fields else ""
    if not name:
        return None
    folder = find_model(name, base)
    model.name = name
    _complete_model(model, folder)
    return folder


def _complete_model(model: Model, model_dir: Path) -> None:
    try:
        names = sorted(
            path.name
            for path in model_dir.iterdir()
            if path.is_file() and (path.name in _SIDE_FILES or path.suffix == ".safetensors")
        )
        references = [_reference(model_dir, name) for name in names]
    except OSError as error:
        raise DataError(f"the model in {model_dir} cannot be read: {error.strerror}") from error
    if not any(name.endswith(".safetensors") for name in names):
        raise DataError(
            f"the model in {model_dir} has no safetensors file; pickled weights are never loaded",
            hint="save the model with save_pretrained(..., safe_serialization=True)",
        )
    del model.files[:]
    model.files.extend(references)
    model.digest = digest([[reference.path, reference.sha256] for reference in references])


def _complete_data(trial: Trial, base: Path) -> Path | None:
    if not trial.task.data.path:
        return None
    path = (base / Path(trial.task.data.path).expanduser()).resolve()
    try:
        reference = _reference(path.parent, path.name)
    except OSError as error:
        raise DataError(f"the data {path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    trial.task.data.CopyFrom(reference)
    return path


def _reference(folder: Path, name: str) -> FileRef:
    path = folder / name
    return FileRef(path=name, sha256=files.hash_file(path), size_bytes=path.stat().st_size)
