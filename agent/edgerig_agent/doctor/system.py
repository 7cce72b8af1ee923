"""What of the kernel, the clocks, the disk and the time a measurement leans on."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.doctor.findings import Finding, Section
from edgerig_agent.probes.base import Places, file_exists, list_folder, places, read_text
from edgerig_agent.protocol import idle_base
from edgerig_agent.protocol.conditions import Conditions, Observer
from edgerig_agent.protocol.idle_base import state_key
from edgerig_agent.protocol.parameters import Parameters
from edgerig_agent.protocol.power_mode import NVPMODEL, read_power_mode
from edgerig_agent.protocol.preconditions import DISK_FREE_BYTES, unmet
from edgerig_agent.protocol.record import SHARED_STATE

_AMPLE_DISK_BYTES = 5 * 2**30
_DAY_S = 86400.0
# linux/timex.h
_STA_UNSYNC = 0x0040
_TIMEX_BYTES = 512
_TIMEX_STATUS_OFFSET = 40


def sections(root: str, home: Path, limits: Parameters) -> list[Section]:
    """Returns everything but sensors and worker."""
    observer = Observer(root, home if home.is_dir() else Path.cwd())
    try:
        conditions = observer.look()
    finally:
        observer.close()
    return [
        Section("memory", (*memory(places(root)), swap(places(root), conditions))),
        Section("clocks and power mode", tuple(clocks(root, conditions))),
        Section("temperature", tuple(temperature(home, conditions))),
        Section("fit to be measured now", tuple(fitness(home, conditions, limits))),
        Section("disk", tuple(disk(home))),
        Section("time", tuple(time_sync())),
    ]


def memory(at: Places) -> list[Finding]:
    """Looks at what peak memory and stalls are read from."""
    found = []
    clear_refs = f"{at.procfs}/self/clear_refs"
    if _writable(clear_refs):
        found.append(Finding("ok", "peak memory of each phase is exact (clear_refs)"))
    else:
        found.append(
            Finding(
                "warning",
                "peaks of phases are upper bounds: clear_refs cannot be written",
                "a kernel with CONFIG_PROC_PAGE_MONITOR=y; zcat /proc/config.gz | grep PAGE_MONITOR",
            )
        )
    if read_text(f"{at.procfs}/pressure/memory"):
        found.append(Finding("ok", "memory pressure is counted (PSI)"))
    else:
        found.append(Finding("warning", "memory pressure is not counted", "boot with psi=1 and CONFIG_PSI=y"))
    return found


def swap(at: Places, conditions: Conditions) -> Finding:
    """Looks at the swap space: pages that come back from it in a run make the run no evidence."""
    if not conditions.swap_total_bytes:
        return Finding("ok", "no swap space")
    used = (conditions.swap_used_bytes or 0) / 2**20
    kind = "compressed memory (zram)" if "zram" in read_text(f"{at.procfs}/swaps") else "on disk"
    total = conditions.swap_total_bytes / 2**30
    return Finding(
        "ok", f"swap space {kind}: {total:.1f} GiB, {used:.0f} MiB in use; runs that swap in are invalid"
    )


def clocks(root: str, conditions: Conditions) -> list[Finding]:
    """Looks at what changes speed and power, and at the right to set it."""
    mode = read_power_mode(root)
    found = []
    if mode.kind:
        known = ", ".join(mode.modes)
        found.append(Finding("ok", f"power mode {mode.name or 'unknown'} ({mode.kind}; there are {known})"))
    else:
        found.append(Finding("ok", "the device has no power modes"))
    governor = f", governor {conditions.cpu_governor}" if conditions.cpu_governor else ""
    if conditions.clocks_pinned is None:
        found.append(
            Finding(
                "warning",
                f"no clock limits are shown{governor}: clocks cannot be checked",
                "ls /sys/devices/system/cpu/cpufreq; a kernel with CONFIG_CPU_FREQ=y, and no virtual machine",
            )
        )
    elif conditions.clocks_pinned:
        found.append(Finding("ok", f"all clocks are pinned{governor}"))
    else:
        pin = "sudo jetson_clocks" if mode.kind == NVPMODEL else "sudo cpupower frequency-set -g performance"
        moving = ", ".join(limits.words() for limits in conditions.clock_limits if not limits.pinned)
        found.append(
            Finding(
                "warning",
                f"clocks may move{governor}: {moving}",
                f"{pin}; or `settings:` in the study, which is put back afterwards",
            )
        )
    return [*found, _right_to_set()]


def temperature(home: Path, conditions: Conditions) -> list[Finding]:
    """Looks at the zones, and whether their idle base is known."""
    if not conditions.temperatures_c:
        text = "no temperature can be read: nobody waits for the device to cool down"
        return [
            Finding(
                "warning", text, "grep . /sys/class/thermal/thermal_zone*/temp; docs/reference/sensors.md"
            )
        ]
    zones = ", ".join(f"{zone} {value:.0f} °C" for zone, value in sorted(conditions.temperatures_c.items()))
    found = [Finding("ok", zones)]
    base = idle_base.load(home, state_key(conditions))
    if base is None:
        state = state_key(conditions)
        text = f"the first standard attempt will measure the idle temperature in this state ({state})"
        return [*found, Finding("ok", text)]
    days = max(0.0, (time.time() - base.measured_unix_s) / _DAY_S)
    return [*found, Finding("ok", f"the idle temperature was measured {days:.1f} days ago")]


def fitness(home: Path, conditions: Conditions, limits: Parameters) -> list[Finding]:
    """Looks at what a standard attempt would wait for or refuse."""
    base = idle_base.load(home, state_key(conditions))
    problems = unmet(conditions, DeviceSettings(), limits, base.temperatures_c if base else None)
    found = [Finding("warning", problem.reason, problem.command) for problem in problems]
    found += [
        Finding("warning", f"not known: {what}", "sudo fuser -v /dev/nvidia* /dev/nvhost-gpu; nvidia-smi")
        for what in conditions.unknown
        if "GPU" in what
    ]
    return found or [Finding("ok", "idle: load, swap, GPU and temperatures are within the limits")]


def disk(home: Path) -> list[Finding]:
    """Looks at the room for attempts and for the cache of models."""
    folder = next(path for path in (home, *home.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB are free for {home}"
    if free < DISK_FREE_BYTES:
        return [Finding("missing", text, f"df -h {folder}")]
    if free < _AMPLE_DISK_BYTES:
        return [Finding("warning", f"{text}; models are kept there too", f"df -h {folder}")]
    return [Finding("ok", text)]


def time_sync(status: Callable[[], int | None] | None = None) -> list[Finding]:
    """Looks at whether the kernel's clock is disciplined by a time server."""
    bits = (status or kernel_clock_status)()
    if bits is None:
        return [Finding("warning", "whether the clock is synchronised cannot be told", "timedatectl")]
    if bits & _STA_UNSYNC:
        return [
            Finding(
                "warning",
                "the clock is not synchronised; certificates and external meters need it",
                "sudo timedatectl set-ntp true",
            )
        ]
    return [Finding("ok", "the clock is synchronised")]


def kernel_clock_status() -> int | None:
    """Returns the status bits of adjtimex(2), which reads without a right; None where it fails."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return None
    except AttributeError:
        return None
    return int.from_bytes(buffer.raw[_TIMEX_STATUS_OFFSET : _TIMEX_STATUS_OFFSET + 4], sys.byteorder)


def gpu_groups(at: Places) -> list[Finding]:
    """Looks at whether this user may open the GPU that is there."""
    nodes = [n for n in list_folder(at.dev) if n in ("nvmap", "nvhost-gpu", "nvidia0", "nvidiactl")]
    barred = [n for n in nodes if not os.access(f"{at.dev}/{n}", os.R_OK | os.W_OK)]
    if not barred:
        return []
    return [
        Finding(
            "missing",
            f"this user may not open {', '.join(f'/dev/{name}' for name in barred)}",
            "sudo usermod -aG video,render $USER, then log in again",
        )
    ]


def _right_to_set() -> Finding:
    if os.geteuid() == 0:
        return Finding("ok", "power mode and clocks can be set (this is root)")
    if shutil.which("sudo") and file_exists(str(SHARED_STATE)):
        return Finding(
            "ok", f"power mode and clocks are set through sudo, if its rule is there ({SHARED_STATE})"
        )
    return Finding(
        "ok",
        "power mode and clocks cannot be set by this user; only studies with `settings:` need it",
        "docs/how-to/doctor.md, section Rights",
    )


def _writable(path: str) -> bool:
    try:
        with open(path, "w") as file:  # noqa: PTH123 - procfs
            file.write("5")
    except OSError:
        return False
    return True
