"""Writes the generated code of `edgerig.v1`; with --check only says whether it is stale.

Runs in an environment of its own (protos/requirements.txt), because generated
code must be made with the oldest supported tools.
"""

from __future__ import annotations

import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent
PACKAGE = ROOT / "edgerig" / "v1"
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"


def generate(out: Path) -> None:
    """Writes *_pb2.py, *_pb2.pyi, and for files with services *_pb2_grpc.py and .pyi."""
    sources = sorted(PACKAGE.glob("*.proto"))
    services = [path for path in sources if "\nservice " in path.read_text()]
    common = ["protoc", f"-I{ROOT}", f"-I{WELL_KNOWN}"]
    run([*common, f"--python_out={out}", f"--pyi_out={out}", *map(str, sources)])
    run([*common, f"--grpc_python_out={out}", f"--mypy_grpc_out={out}", *map(str, services)])


def run(arguments: list[str]) -> None:
    if protoc.main(arguments) != 0:
        raise SystemExit(1)


def generated(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*_pb2*")}


def main() -> int:
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = Path(scratch) / "edgerig" / "v1"
        names = generated(fresh) | generated(PACKAGE)
        _, changed, missing = filecmp.cmpfiles(fresh, PACKAGE, names, shallow=False)
    stale = sorted({*changed, *missing})
    if stale:
        sys.stderr.write(f"Generated code is stale: {', '.join(stale)}\nNext: make protos\n")
        return 1
    sys.stdout.write(f"{len(names)} generated files are up to date\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
