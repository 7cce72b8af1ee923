"""Where the kernel shows governors and clock limits. Standard library only: the settings helper reads it."""

from __future__ import annotations

from edgerig_agent.probes.base import Places, file_exists, list_folder

# Names that the devfreq entry of an integrated GPU contains.
GPU_MARKS = ("gpu", "ga10b", "gv11b", "gp10b", "gm20b", "17000000")


def governor_files(at: Places) -> dict[str, str]:
    """Returns each policy of the processor with the file of its governor."""
    base = f"{at.sysfs}/devices/system/cpu/cpufreq"
    found = {name: f"{base}/{name}/scaling_governor" for name in list_folder(base)}
    return {name: path for name, path in found.items() if name.startswith("policy") and file_exists(path)}


def clock_files(at: Places) -> list[tuple[str, str, str]]:
    """Returns name, lowest and highest frequency file of each clock: kHz for policies, Hz for GPUs."""
    policies = f"{at.sysfs}/devices/system/cpu/cpufreq"
    found = [
        (name, f"{policies}/{name}/scaling_min_freq", f"{policies}/{name}/scaling_max_freq")
        for name in list_folder(policies)
        if name.startswith("policy")
    ]
    devices = f"{at.sysfs}/class/devfreq"
    return found + [
        (name, f"{devices}/{name}/min_freq", f"{devices}/{name}/max_freq")
        for name in list_folder(devices)
        if any(mark in name for mark in GPU_MARKS)
    ]
