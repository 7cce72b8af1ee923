"""Compiles the C sources beside this file into shared libraries, once per process."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


class NoCompilerError(Exception):
    """There is no C compiler, so what needs the library cannot run."""


@cache
def compiled(source: str, name: str, defines: tuple[str, ...] = ()) -> Path:
    """Compiles `source` (a file of this folder) and returns the library, called `name`.

    Args:
        defines: more options of the compiler, such as `-DNAME`.

    Raises:
        NoCompilerError: there is neither cc nor gcc.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompilerError(f"no C compiler (cc or gcc) for {source}")
    folder = tempfile.mkdtemp(prefix="edgerig-fakes-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder) / name
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *defines]
    subprocess.run([compiler, *flags, "-o", str(library), str(HERE / source), "-ldl"], check=True)
    return library


def sysfs_errors() -> Path:
    """Returns the library to preload so that files with `!errno NAME` fail like a sensor."""
    return compiled("sysfs_errors.c", "libsysfs_errors.so")
