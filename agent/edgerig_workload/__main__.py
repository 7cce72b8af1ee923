"""`python -m edgerig_workload`: stamps the beginning before anything is imported, then runs the worker."""

from __future__ import annotations

import time

BEGAN_MONO_NS = time.monotonic_ns()

if __name__ == "__main__":
    from edgerig_workload.main import main

    raise SystemExit(main(began_mono_ns=BEGAN_MONO_NS))
