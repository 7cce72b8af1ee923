"""Console scripts that say which extra is missing instead of a traceback.

Both programs live in packages of their own; this module only finds them, so
that an installation without an extra still has a script that explains itself.
"""

import sys
from collections.abc import Callable
from importlib import import_module

EXIT_USAGE = 2


def agent() -> int:
    """Runs `edgerig-agent`."""
    return _run("edgerig-agent", "edgerig_agent.cli", "agent")


def controller() -> int:
    """Runs `edgerig`."""
    return _run("edgerig", "edgerig_controller.cli.main", "controller")


def _run(program: str, module: str, extra: str) -> int:
    if not sys.platform.startswith("linux"):
        sys.stderr.write(f"{program} runs on Linux only: it reads /proc and /sys; this is {sys.platform}.\n")
        return EXIT_USAGE
    try:
        main: Callable[[], int] = import_module(module).main
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("edgerig"):
            raise
        sys.stderr.write(
            f"{program} needs the Python package '{missing}', which is not installed.\n"
            f"Next: pip install 'edgerig[{extra}]'\n"
        )
        return EXIT_USAGE
    return main()
