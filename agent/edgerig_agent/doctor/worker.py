"""Whether the worker's interpreter can run the work, asked of the interpreter itself."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from edgerig.errors import DeviceError
from edgerig_agent.device import worker_runtime
from edgerig_agent.doctor import system
from edgerig_agent.doctor.findings import Finding, Section
from edgerig_agent.environment import read_environment
from edgerig_agent.probes.base import Places, list_folder

# Importing torch from an SD card takes its time.
_TORCH_S = 120.0
_TORCH = """
import json, torch
found = {"torch": torch.__version__, "cuda": torch.cuda.is_available(), "built": torch.version.cuda}
if found["cuda"]:
    found["name"] = torch.cuda.get_device_name(0)
    (torch.ones(8, device="cuda") @ torch.ones(8, device="cuda")).item()
print(json.dumps(found))
"""


def section(interpreter: str, at: Places, root: str) -> Section:
    """Looks at interpreter, libraries and accelerator; imports torch there, in a process of its own."""
    environment = read_environment(interpreter, root)
    runtime = worker_runtime(interpreter, environment)
    findings = [Finding("ok", f"{interpreter}: Python {runtime.python or 'unknown'}")]
    if runtime.unavailable_reason:
        fix = f"{interpreter} -m pip install 'edgerig[workload]'; torch: docs/how-to/doctor.md"
        findings[0] = Finding("missing", runtime.unavailable_reason, fix)
        return Section("worker", tuple(findings), required=True)
    for name in ("peft",):
        if not environment.worker.get(name):
            fix = f"{interpreter} -m pip install {name}"
            findings.append(Finding("warning", f"{name} is not installed: no adapters", fix))
    return Section("worker", (*findings, *_torch(interpreter, at)), required=True)


def _torch(interpreter: str, at: Places) -> list[Finding]:
    try:
        found = ask_torch(interpreter)
    except DeviceError as error:
        return [Finding("missing", error.message, error.hint)]
    said = f"torch {found.get('torch', '')}"
    if found.get("cuda"):
        return [Finding("ok", f"{said} computes on {found.get('name')}"), *system.gpu_groups(at)]
    has_gpu = any(name.startswith(("nvidia0", "nvhost-gpu", "nvgpu")) for name in list_folder(at.dev))
    if not has_gpu:
        return [Finding("ok", f"{said} computes on the processor")]
    why = "it is built without CUDA" if not found.get("built") else f"built for CUDA {found['built']}"
    text = f"{said} does not reach the GPU of this device ({why})"
    fix = "the vendor's torch build for this board; see docs/how-to/doctor.md"
    return [Finding("warning", text, fix), *system.gpu_groups(at)]


def ask_torch(interpreter: str) -> dict[str, Any]:
    """Returns what torch says of itself in the worker's interpreter.

    Raises:
        DeviceError: it cannot be imported, or its GPU does not compute.
    """
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name in kept}
    command = [interpreter, "-c", _TORCH]
    hint = f"{interpreter} -c 'import torch'"
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            timeout=_TORCH_S,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        found: Any = json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(
            f"torch cannot be asked: {error}", hint=f"{interpreter} -c 'import torch'"
        ) from error
    except ValueError as error:
        last = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it gave no reason"]
        raise DeviceError(f"torch cannot be used: {last[0][:300]}", hint=hint) from error
    return found if isinstance(found, dict) else {}
