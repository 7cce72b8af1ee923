"""The mark of a command line that follows a study."""

import os
from pathlib import Path

from edgerig_controller.home import Home
from edgerig_controller.viewers import viewing


def marks(home: Home) -> list[str]:
    return [path.name for path in (home.root / "viewers").glob("*")]


def test_the_mark_names_this_process_and_goes_with_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with viewing(home):
        (mark,) = marks(home)
    assert mark.partition("-")[0] == str(os.getpid())
    assert marks(home) == []


def test_a_folder_that_takes_no_mark_stops_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path / "gone")
    with viewing(home):
        assert marks(home) == []
