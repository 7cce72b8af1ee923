"""One processor under a square wave of load: `python -m edgerig_agent.selftest.burn`.

Says `ready`, reads one line `BEGIN_NS PERIOD_NS CYCLES` from standard input, and
computes in the first half of each period. Ends with its input. The program for
GPUs does the same in the worker's interpreter, where torch is.
"""

from __future__ import annotations

import signal
import sys
import time

# The same protocol with matrix products; synchronised often enough to follow the edges.
GPU_PROGRAM = """
import signal, sys, time
import torch
signal.signal(signal.SIGINT, signal.SIG_IGN)
if not torch.cuda.is_available():
    print("torch reaches no GPU", flush=True)
    sys.exit(0)
size = 4096
# Every board has a sensor, so every board gets work.
boards = range(torch.cuda.device_count())
loads = [torch.randn(size, size, device=board, dtype=torch.float16) for board in boards]
for a in loads:
    (a @ a).sum().item()
print("ready", flush=True)
begin_ns, period_ns, cycles = map(int, sys.stdin.readline().split())
for cycle in range(cycles):
    start_ns = begin_ns + cycle * period_ns
    time.sleep(max(0.0, (start_ns - time.monotonic_ns()) / 1e9))
    while time.monotonic_ns() < start_ns + period_ns // 2:
        for a in loads:
            a @ a
        for board in boards:
            torch.cuda.synchronize(board)
"""


def main() -> int:
    """Computes when it is told to."""
    # Ctrl-C goes to the whole group; who started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        return 0
    begin_ns, period_ns, cycle_count = map(int, line.split())
    for cycle in range(cycle_count):
        start_ns = begin_ns + cycle * period_ns
        time.sleep(max(0.0, (start_ns - time.monotonic_ns()) / 1e9))
        number = 1
        while time.monotonic_ns() < start_ns + period_ns // 2:
            for _ in range(200):
                number = number * 6364136223846793005 + 1442695040888963407 & 0xFFFFFFFFFFFFFFFF
    return 0


if __name__ == "__main__":
    sys.exit(main())
