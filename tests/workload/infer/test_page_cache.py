"""Cold and warm loads: what the kernel holds of a model's files, dropped, read and looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_workload.faults import WorkerFault
from edgerig_workload.infer import page_cache

SIZE = 3 * 1024 * 1024 + 17


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"\x01" * SIZE)
    # As agents lay models out: links into a cache of blobs.
    (tmp_path / "blob").write_bytes(b"\x02" * 5000)
    (made / "config.json").symlink_to(tmp_path / "blob")
    (made / "empty").write_bytes(b"")
    return made


def can_be_dropped(folder: Path) -> bool:
    try:
        page_cache.bring_about("cold", folder)
    except WorkerFault:
        return False
    return True


def test_what_was_just_written_is_in_memory(folder: Path) -> None:
    assert page_cache.bring_about("", folder) == 1.0


def test_cold_is_none_of_it_and_warm_is_all_of_it(folder: Path) -> None:
    if not can_be_dropped(folder):
        pytest.skip("the file system of temporary files lives in memory")
    assert page_cache.bring_about("", folder) == 0.0
    assert page_cache.bring_about("warm", folder) == 1.0


def test_a_part_that_is_read_is_a_part_of_the_share(folder: Path) -> None:
    if not can_be_dropped(folder):
        pytest.skip("the file system of temporary files lives in memory")
    with (folder / "model.safetensors").open("rb", buffering=0) as file:
        file.read(4096)
    share = page_cache.bring_about("", folder)
    assert share is not None and 0 < share < 1


@pytest.mark.parametrize(("state", "share", "words"), [("cold", 0.4, "40.0%"), ("warm", 0.4, "too small")])
def test_a_load_that_would_not_be_what_it_is_called_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, state: str, share: float, words: str
) -> None:
    monkeypatch.setattr(page_cache, "resident_share", lambda files: share)
    with pytest.raises(WorkerFault) as caught:
        page_cache.bring_about(state, folder)
    assert words in caught.value.message
    assert caught.value.failure_class == "precondition"


def test_a_kernel_that_does_not_tell_allows_no_claim(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "resident_share", lambda files: None)
    assert page_cache.bring_about("", folder) is None
    with pytest.raises(WorkerFault, match="cannot be verified"):
        page_cache.bring_about("warm", folder)


def test_a_folder_of_too_many_files_is_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "FILES_MOST", 2)
    with pytest.raises(WorkerFault, match="more than 2 files"):
        page_cache.bring_about("", folder)
