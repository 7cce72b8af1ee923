"""The oldest supported Python: both halves install on 3.10 and every module imports there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, pkgutil, sys
failed = []
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if module.name.endswith("__main__") or ".migrations." in module.name:
            continue
        try:
            importlib.import_module(module.name)
        except Exception as error:
            failed.append(f"{module.name}: {type(error).__name__}: {error}")
sys.exit("\\n".join(failed) or 0)
"""


def python310() -> str | None:
    """Finds an interpreter that really runs; a pyenv shim may exist and refuse."""
    versions = sorted(
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.10.*/bin/python")
    )
    for candidate in [shutil.which("python3.10"), *map(str, versions)]:
        if (
            candidate
            and subprocess.run([candidate, "-c", "import venv, ssl"], capture_output=True).returncode == 0
        ):
            return candidate
    return None


@pytest.mark.system
@pytest.mark.parametrize(
    ("extra", "packages"),
    [("agent", ["edgerig", "edgerig_agent"]), ("controller", ["edgerig", "edgerig_controller"])],
)
def test_an_extra_installs_and_imports_on_python_3_10(
    extra: str, packages: list[str], tmp_path: Path
) -> None:
    python = python310()
    if python is None:
        pytest.skip("no Python 3.10 on this machine")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    inside = tmp_path / "venv" / "bin" / "python"
    install = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}[{extra}]"]
    subprocess.run(install, check=True)
    answer = subprocess.run(
        [inside, "-c", IMPORT_ALL, *packages], cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
