"""A real out-of-memory kill by the kernel, in a memory cgroup made for it.

Needs the right to make one (root, cgroup v1 or a delegated v2); else it is skipped.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import FAILURE_CLASS_OOM_CGROUP, STATUS_FAILED, AttemptResult
from tests.fakes.worker_program import attempt_folder, make

LIMIT_BYTES = 192 * 1024 * 1024
PATIENCE_S = 120.0

_ROOT = Path("/sys/fs/cgroup")


def _own(controllers: str) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if names == controllers:
            return path.lstrip("/")
    return ""


def _make_v1(name: str) -> Path | None:
    for parent in (_ROOT / "memory" / _own("memory"), _ROOT / "memory"):
        group = parent / name
        with suppress(OSError):
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
            with suppress(OSError):
                (group / "memory.memsw.limit_in_bytes").write_text(str(LIMIT_BYTES))
            return group
    return None


def _make_v2(name: str) -> Path | None:
    group = _ROOT / _own("") / name
    with suppress(OSError):
        group.mkdir()
        (group / "memory.max").write_text(str(LIMIT_BYTES))
        with suppress(OSError):
            (group / "memory.swap.max").write_text("0")
        return group
    return None


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A memory cgroup with a small limit, removed at the end."""
    name = f"edgerig-test-{uuid.uuid4().hex}"
    is_v2 = (_ROOT / "cgroup.controllers").exists()
    group = _make_v2(name) if is_v2 else _make_v1(name)
    if group is None:
        pytest.skip("this user cannot make a memory cgroup")
    yield group
    with suppress(OSError):
        group.rmdir()


@pytest.mark.system
def test_the_kernel_takes_the_worker_and_the_result_says_so(tmp_path: Path, small_group: Path) -> None:
    folder = attempt_folder(tmp_path)
    # More than the limit in small pieces, each of them touched.
    body = "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * 2**20)\n"
    worker = make(tmp_path / "worker", body)

    def join() -> None:
        (small_group / "cgroup.procs").write_text(str(os.getpid()))

    process = subprocess.Popen(
        [sys.executable, "-m", "edgerig_agent.attempt", str(folder), "--worker-python", worker],
        preexec_fn=join,
    )
    assert process.wait(PATIENCE_S) == 0
    result = from_json((folder / "result.json").read_bytes(), AttemptResult(), what="result.json")
    assert (result.status, result.failure_class) == (STATUS_FAILED, FAILURE_CLASS_OOM_CGROUP)
    assert result.last_rss_bytes > LIMIT_BYTES // 4
    assert "memory limit of its cgroup" in result.failure_message
