"""The CUDA device as phase marking sees it: finish queued work, read the allocator's peaks."""

from __future__ import annotations

import torch


class Cuda:
    """Wraps torch's counters of the current CUDA device."""

    def synchronize(self) -> None:
        """Wait until the device has done all that was queued."""
        torch.cuda.synchronize()

    def reset_peaks(self) -> None:
        """Begin new peaks at the present use."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def peaks_bytes(self) -> tuple[int, int]:
        """Return the peaks of allocated and of reserved bytes since the last reset."""
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def name(device: torch.device) -> str:
    """Return `cpu` or the accelerator's product name."""
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else device.type
