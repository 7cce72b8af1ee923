"""The stub of the NVIDIA driver's library, and its script that a test changes while it is read.

What each profile answers, and what of it is known, stands in nvml_stub.c. The real
nvidia-ml-py loads it; a process loads it once, so use it in processes of their own.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.fakes.shared_library import compiled


class StubDriver:
    """A board that NVML shows; `environment` is for the process that is to see it.

    Raises:
        NoCompilerError: the library cannot be built here.
    """

    def __init__(self, folder: Path, profile: str = "gpu", *, is_old: bool = False) -> None:
        flags = ("-DOLD_DRIVER",) if is_old else ()
        library = compiled("nvml_stub.c", "libnvidia-ml.so.1", flags)
        self._script = folder / "nvml.script"
        self.say()
        self.environment = {
            "LD_LIBRARY_PATH": str(library.parent),
            "NVML_STUB": profile,
            "NVML_STUB_SCRIPT": str(self._script),
        }

    def say(self, *lines: str) -> None:
        """Replaces the script as a whole: `wave square 10000 30000 1000`, `lost 1` ..."""
        fresh = self._script.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.replace(self._script)

    def outer_environment(self) -> dict[str, str]:
        """Returns this process's environment with the stub in it."""
        return {**os.environ, **self.environment}
