"""Clocks of processors and GPUs, once a second: achieved, requested, and their limits.

The kernel can say what was asked for while something else is done: after an
over-current event on a Jetson Thor `scaling_cur_freq` said 2601 MHz and the
cores ran at 649 MHz (NVIDIA's forum, 361188). So `cpuinfo_cur_freq`, which the driver
measures, is the achieved clock; `scaling_cur_freq` is that only on x86, where the
kernel computes it from APERF and MPERF. Once a second and no more often: on
Tegra such a reading keeps the core that is asked busy for half a millisecond
(drivers/cpufreq/tegra194-cpufreq.c, US_DELAY).
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    CEILING_HZ,
    FLOOR_HZ,
    FREQUENCY_HZ,
    REQUESTED_HZ,
    Channel,
    FileProbe,
    Places,
    Probe,
    file_exists,
    list_folder,
    read_text,
    why_refused,
    why_unreadable,
)

_KILO = 1e3
_INTERVAL_NS = 1_000_000_000
# Drivers under which scaling_cur_freq is what the core did (arch_freq_get_on_cpu).
_MEASURING_DRIVERS = frozenset(
    {"intel_pstate", "intel_cpufreq", "amd-pstate", "amd-pstate-epp", "acpi-cpufreq"}
)
# Words in the device-tree names of a Jetson's GPU: 17000000.gpu, 17000000.ga10b, 57000000.gpu ...
_GPU_WORDS = ("gpu", "gm20b", "gp10b", "gv11b", "ga10b", "gb10b")

_Found = list[tuple[Channel, str]]


def discover(at: Places) -> list[Probe]:
    """Finds the frequency domains of the processor, and of the GPU where devfreq shows it."""
    found = _policies(f"{at.sysfs}/devices/system/cpu/cpufreq") + _gpus(f"{at.sysfs}/class/devfreq")
    return [FileProbe("clocks", _INTERVAL_NS, found)] if found else []


def _policies(base: str) -> _Found:
    found: _Found = []
    for name in list_folder(base):
        if not name.startswith("policy"):
            continue
        folder, source = f"{base}/{name}", f"cpufreq:{name}"
        found.append(_achieved(folder, source))
        for quantity, file in (
            (REQUESTED_HZ, "scaling_cur_freq"),
            (FLOOR_HZ, "scaling_min_freq"),
            (CEILING_HZ, "scaling_max_freq"),
        ):
            found.append(_channel(source, quantity, f"{folder}/{file}", _KILO))
    return found


def _achieved(folder: str, source: str) -> tuple[Channel, str]:
    path = f"{folder}/cpuinfo_cur_freq"
    if not file_exists(path) and read_text(f"{folder}/scaling_driver") in _MEASURING_DRIVERS:
        path = f"{folder}/scaling_cur_freq"
    allow = "/sys/devices/system/cpu/cpufreq/policy*/cpuinfo_cur_freq"
    return Channel(source, FREQUENCY_HZ, "", _KILO, unavailable_reason=why_refused(path, allow)), path


def _gpus(base: str) -> _Found:
    found: _Found = []
    for name in list_folder(base):
        if not any(word in name for word in _GPU_WORDS):
            continue
        for quantity, file in (
            (FREQUENCY_HZ, "cur_freq"),
            (FLOOR_HZ, "min_freq"),
            (CEILING_HZ, "max_freq"),
        ):
            found.append(_channel(f"devfreq:{name}", quantity, f"{base}/{name}/{file}", 1.0))
    return found


def _channel(source: str, quantity: str, path: str, scale: float) -> tuple[Channel, str]:
    return Channel(source, quantity, "", scale, unavailable_reason=why_unreadable(path)), path
