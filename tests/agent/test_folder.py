"""What the daemon puts into an attempt folder out of its cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edgerig.v1.agent_service_pb2 import Lease
from edgerig.v1.trial_pb2 import FileRef, Model, Trial
from edgerig_agent.folder import AttemptFolder, make, prepare, wanted_files
from edgerig_agent.transfer import BlobCache


def blob(cache: BlobCache, path: str, content: bytes) -> FileRef:
    sha256 = hashlib.sha256(content).hexdigest()
    place = cache.path(sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return FileRef(path=path, sha256=sha256, size_bytes=len(content))


def test_model_sentence_encoder_and_teacher_have_folders_of_their_own(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "blobs", 10**6)
    trial = Trial(
        model=Model(files=[blob(cache, "config.json", b"a model")]),
        encoder=Model(files=[blob(cache, "config.json", b"an encoder")]),
        teacher=Model(files=[blob(cache, "config.json", b"a teacher")]),
    )
    folder = AttemptFolder(tmp_path / "a-1")
    lease = Lease(attempt_id="a-1", trial=trial)
    make(folder, lease)

    prepare(folder, lease, cache, worker_python="", own_pids=())

    settings = json.loads((folder.path / "attempt.json").read_bytes())
    assert (Path(settings["model_dir"]) / "config.json").read_bytes() == b"a model"
    assert (Path(settings["encoder_dir"]) / "config.json").read_bytes() == b"an encoder"
    assert (Path(settings["teacher_dir"]) / "config.json").read_bytes() == b"a teacher"
    assert len(wanted_files(trial)) == 3


def test_a_trial_without_encoder_and_teacher_has_no_folders_for_them(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "blobs", 10**6)
    folder = AttemptFolder(tmp_path / "a-1")
    lease = Lease(attempt_id="a-1", trial=Trial(model=Model(files=[blob(cache, "config.json", b"a")])))
    make(folder, lease)

    prepare(folder, lease, cache, worker_python="", own_pids=())

    settings = json.loads((folder.path / "attempt.json").read_bytes())
    assert (settings["encoder_dir"], settings["teacher_dir"]) == ("", "")
    assert not (folder.path / "encoder").exists()
    assert not (folder.path / "teacher").exists()
