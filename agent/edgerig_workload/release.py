"""Gives memory that nothing uses any more back to the system, between phases.

What a finished training leaves in the allocators' pools stays in the resident set and
would be counted as memory of the inference after it. Nothing that is in use is touched.
"""

from __future__ import annotations

import ctypes
import gc


def release() -> None:
    """Collect garbage and empty the pools of torch and of the C library, where they have a way to."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        # glibc only (malloc_trim(3)); other C libraries keep what they keep.
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
    except AttributeError:
        return
