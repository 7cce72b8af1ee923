"""Makes the environment: `make install TORCH=cpu|cuda|keep` calls this.

It knows one thing that pip does not: which build of torch is wanted. A plain
`pip install torch` on a machine without a GPU can drag in gigabytes of CUDA
packages, and on a Jetson it would replace the board's own build.

  cpu   a build without CUDA packages, from the configured index or find-links,
        else from PyTorch's CPU index; stops with advice if neither has one
  cuda  what the configured index gives
  keep  installs no torch; the environment sees the system's packages, where a
        board's own build lives

Runs with the standard library of the interpreter that makes the environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch>=2.6,<2.14"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_PREFIXES = ("nvidia-", "cuda-", "triton", "pytorch-triton")
OLDEST = (3, 10)


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the Python environment of edgerig.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--torch", choices=("auto", "cpu", "cuda", "keep"), default="auto")
    parser.add_argument("--extras", default="agent,controller,workload")
    arguments = parser.parse_args()
    if sys.version_info < OLDEST:
        return fail(
            f"Python {sys.version.split()[0]} is too old; edgerig needs 3.10 or newer.",
            "make install PYTHON=python3.11",
        )
    build = wanted_build(arguments.torch)
    python = make_venv(arguments.venv, system_packages=build == "keep")
    extras = arguments.extras.split(",")
    if build == "keep" and not has_torch(python):
        sys.stderr.write(
            "No torch in this interpreter, so the workload is left out; install the board's torch first.\n"
        )
        extras = [extra for extra in extras if extra != "workload"]
    if build != "keep" and not has_torch(python) and not install_torch(python, build):
        return fail(
            "No CPU build of torch is in the configured index, in find-links, or in PyTorch's CPU index.",
            f"pip install --index-url {CPU_INDEX} torch, then: make install TORCH=keep",
        )
    return install_project(python, extras)


def wanted_build(choice: str) -> str:
    """Resolves `auto`: cuda where an NVIDIA driver is loaded, keep on a Jetson, else cpu."""
    if choice != "auto":
        return choice
    if Path("/etc/nv_tegra_release").exists():
        return "keep"
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


def make_venv(folder: Path, *, system_packages: bool) -> Path:
    """Creates the environment once and returns its interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        options = ["--system-site-packages"] if system_packages else []
        subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True)
    return python


def has_torch(python: Path) -> bool:
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


def install_torch(python: Path, build: str) -> bool:
    """Installs torch; for `cpu` only from a source whose resolution has no CUDA package."""
    if build == "cuda":
        return pip(python, "install", TORCH)
    for source in ([], ["--index-url", CPU_INDEX]):
        packages = resolve(python, source)
        if packages and not any(name.startswith(CUDA_PREFIXES) for name in packages):
            return pip(python, "install", *source, TORCH)
    return False


def resolve(python: Path, source: list[str]) -> list[str]:
    """Lists the packages that an installation of torch from `source` would bring."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *source, TORCH]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        return []
    return [str(item["metadata"]["name"]).lower() for item in json.loads(answer.stdout)["install"]]


def install_project(python: Path, extras: list[str]) -> int:
    """Installs the project editable, with torch pinned to what is there."""
    version = subprocess.run(
        [str(python), "-c", "import importlib.metadata as m; print(m.version('torch'))"],
        check=False, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    constraint = python.parent.parent / "constraint.txt"
    constraint.write_text(f"torch=={version}\n" if version else "")
    project = f"{ROOT}[{','.join(extras)}]"
    return 0 if pip(python, "install", "--constraint", str(constraint), "--editable", project) else 1


def pip(python: Path, *arguments: str) -> bool:
    command = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        arguments[0],
        "--quiet",
        *arguments[1:],
    ]
    return subprocess.run(command, check=False).returncode == 0


def fail(message: str, hint: str) -> int:
    sys.stderr.write(f"{message}\nNext: {hint}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
