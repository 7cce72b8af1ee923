"""What must hold before a worker is started, and whether it still held at the end; pure.

Every unmet condition says what is wrong and the command that mends it. Those
that pass by themselves (heat, load, another user of the GPU) are waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.protocol.conditions import Conditions
from edgerig_agent.protocol.parameters import Parameters

BROKEN = "conditions_broken"
CLOCKS_NOT_PINNED = "clocks_not_pinned"
WARMUP_UNSETTLED = "warmup_unsettled"

# Pages that lie in swap come back in the middle of a run.
SWAP_USED_SHARE = 0.01
# Traces, logs and products of one attempt; the daemon keeps as much free.
DISK_FREE_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Unmet:
    """A condition that does not hold: what is wrong, and the command that mends it."""

    name: str
    reason: str
    command: str
    # Whether it may pass by itself, so that waiting makes sense.
    passes: bool


def unmet(
    conditions: Conditions,
    settings: DeviceSettings,
    limits: Parameters,
    base_c: Mapping[str, float] | None,
) -> list[Unmet]:
    """Returns every condition of the start that does not hold now.

    `base_c` is the idle base by zone; without it temperatures are not judged.
    """
    found = [*_settings(conditions, settings), *_room(conditions), *_users(conditions)]
    found += _load(conditions, limits)
    found += too_warm(conditions.temperatures_c, base_c, limits.temperature_margin_c)
    return found


def too_warm(
    temperatures_c: Mapping[str, float], base_c: Mapping[str, float] | None, margin_c: float
) -> list[Unmet]:
    """Returns a condition for each zone that is warmer than its idle base and the margin."""
    return [
        Unmet(
            "temperature",
            f"{zone} is at {temperature_c:.1f} °C, its idle base is {base_c[zone]:.1f} °C + {margin_c:g}",
            "wait until it has cooled down; where the room is warmer now: "
            "edgerig-agent doctor --forget-idle-base",
            passes=True,
        )
        for zone, temperature_c in sorted(temperatures_c.items())
        if base_c and zone in base_c and temperature_c > base_c[zone] + margin_c
    ]


def broken(before: Conditions, after: Conditions) -> list[str]:
    """Returns what held when the worker was started and no longer did when it had ended.

    Heat and load are the work's own doing and are no matter here.
    """
    found = []
    for what, old, new in (
        ("the power mode", before.power_mode, after.power_mode),
        ("the processor's governor", before.cpu_governor, after.cpu_governor),
        ("the limits of the clocks", _clock_words(before), _clock_words(after)),
        ("the size of the swap space", before.swap_total_bytes, after.swap_total_bytes),
    ):
        if old != new:
            found.append(f"{what} went from {old or 'none'} to {new or 'none'}")
    newcomers = sorted(set(after.foreign_gpu_processes) - set(before.foreign_gpu_processes))
    if newcomers:
        found.append(f"the GPU is also used by {', '.join(newcomers)}")
    if after.disk_free_bytes is not None and after.disk_free_bytes < DISK_FREE_BYTES // 4:
        found.append(f"only {after.disk_free_bytes / 2**20:.0f} MiB are left on the disk")
    return found


def _settings(conditions: Conditions, settings: DeviceSettings) -> list[Unmet]:
    found = []
    mode = settings.power_mode
    if mode and conditions.power_mode.upper() != mode.upper():
        have = conditions.power_mode or "none"
        reason = f"the power mode is {have}, the trial asks for {mode}"
        found.append(Unmet("power_mode", reason, f"sudo nvpmodel -m {mode}", passes=False))
    if settings.jetson_clocks and conditions.clocks_pinned is not True:
        reason = "the trial asks for pinned clocks, and they may move"
        found.append(Unmet("clocks", reason, "sudo jetson_clocks", passes=False))
    governor = settings.cpu_governor
    if governor and conditions.cpu_governor != governor:
        have = conditions.cpu_governor or "none"
        reason = f"the processor's governor is {have}, the trial asks for {governor}"
        found.append(
            Unmet("cpu_governor", reason, f"sudo cpupower frequency-set -g {governor}", passes=False)
        )
    return found


def _room(conditions: Conditions) -> list[Unmet]:
    found = []
    used, memory = conditions.swap_used_bytes, conditions.memory_bytes
    if used is not None and memory and used > SWAP_USED_SHARE * memory:
        reason = (
            f"{used / 2**20:.0f} MiB lie in swap, more than {SWAP_USED_SHARE:.0%} of the memory: "
            "they would come back while it is measured"
        )
        found.append(Unmet("swap", reason, "sudo swapoff -a && sudo swapon -a", passes=False))
    free = conditions.disk_free_bytes
    if free is not None and free < DISK_FREE_BYTES:
        reason = (
            f"{free / 2**20:.0f} MiB are free on the disk, an attempt needs {DISK_FREE_BYTES / 2**20:.0f}"
        )
        found.append(Unmet("disk", reason, "df -h; sudo journalctl --vacuum-size=100M", passes=False))
    return found


def _users(conditions: Conditions) -> list[Unmet]:
    users = conditions.foreign_gpu_processes
    if not users:
        return []
    return [
        Unmet(
            "gpu_processes",
            f"the GPU is also used by {', '.join(users)}",
            "end them; a desktop ends with: sudo systemctl isolate multi-user.target",
            passes=True,
        )
    ]


def _load(conditions: Conditions, limits: Parameters) -> list[Unmet]:
    most = limits.load_share * conditions.cpu_count
    if conditions.load1 is None or conditions.load1 < most:
        return []
    reason = (
        f"the load of the last minute is {conditions.load1:.2f}, "
        f"at most {most:.2f} is idle enough ({limits.load_share:g} x {conditions.cpu_count} processors)"
    )
    return [Unmet("load", reason, "top -b -n 1 | head -20", passes=True)]


def _clock_words(conditions: Conditions) -> str:
    return ", ".join(limits.words() for limits in conditions.clock_limits)
