"""Turns paths that a study file wrote into paths of this machine.

A study may come from anybody, so a path may be anything that text can be. Who
may submit studies may also name any file that the controller can read.
"""

from __future__ import annotations

from pathlib import Path

from edgerig.errors import DataError


def absolute(folder: Path, written: str) -> Path:
    """Return the absolute form of a path that starts in `folder`, symbolic links followed.

    Raises:
        DataError: no file system can hold such a path.
    """
    hint = "a path starts at the folder of the study file"
    if not written.isprintable():
        raise DataError(f"{written[:80]!r} is no path: it has control characters", hint=hint)
    try:
        path = (folder / (Path(written).expanduser() if written.startswith("~/") else written)).resolve()
        # Too long a name shows only when the system is asked.
        path.exists()
    except (OSError, RuntimeError) as error:
        raise DataError(f"`{written[:80]}` is no path: {error}", hint=hint) from error
    return path
