"""The data folder: where it is, who holds it, and whose endpoint counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig.errors import StorageError, UsageError
from edgerig_controller import home as homes
from edgerig_controller.home import Endpoint, Home


def endpoint(pid: int) -> Endpoint:
    return Endpoint(pid, "f" * 16, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "a" * 64, embedded=True)


def no_pause(_seconds: float) -> None:
    return None


@pytest.mark.parametrize(
    ("data", "environ", "expected"),
    [
        ("/d", {"EDGERIG_HOME": "/e"}, "/d"),
        (None, {"EDGERIG_HOME": "/e", "XDG_DATA_HOME": "/x"}, "/e"),
        (None, {"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/edgerig"),
        (None, {"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/edgerig"),
        (None, {"HOME": "/h"}, "/h/.local/share/edgerig"),
    ],
)
def test_resolve_prefers_argument_then_environment(
    data: str | None, environ: dict[str, str], expected: str
) -> None:
    assert homes.resolve(data, environ).root == Path(expected)


def test_a_second_controller_is_refused_with_the_first_ones_process_id(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edgerig_controller import home as homes\n"
        "held = homes.lock(homes.Home(Path(sys.argv[1])))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=str(holder.pid)):
            homes.lock(home, pause=no_pause)
        assert homes.holder(home) == holder.pid
        holder.kill()
        holder.wait()
    with homes.lock(home):
        pass


def test_the_lock_is_free_after_release(tmp_path: Path) -> None:
    home = Home(tmp_path)
    homes.lock(home).release()
    assert homes.holder(home) is None


def test_an_endpoint_without_a_running_controller_is_ignored(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with homes.lock(home) as held:
        pid = homes.holder(home)
        assert pid is not None
        homes.write_endpoint(home, endpoint(pid))
        assert homes.read_endpoint(home) == endpoint(pid)
        held.release()
    assert homes.read_endpoint(home) is None


def test_the_endpoint_of_an_earlier_controller_is_ignored(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with homes.lock(home):
        homes.write_endpoint(home, endpoint(pid=1))
        assert homes.read_endpoint(home) is None


def test_the_endpoint_file_is_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    homes.prepare(home)
    homes.write_endpoint(home, endpoint(1))
    assert home.endpoint_path.stat().st_mode & 0o777 == 0o600
    assert json.loads(home.endpoint_path.read_text())["embedded"] is True


def test_a_damaged_endpoint_of_a_running_controller_is_reported(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with homes.lock(home):
        home.endpoint_path.write_text("{")
        with pytest.raises(StorageError, match="damaged"):
            homes.read_endpoint(home)


def test_an_unusable_folder_is_reported_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StorageError, match="--data"):
        homes.prepare(Home(file / "inside"))
