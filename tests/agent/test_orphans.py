"""What a worker leaves behind in sessions of its own ends with the attempt."""

from __future__ import annotations

import subprocess
import sys

# A process that adopts, whose child starts a grandchild in a session of its own and ends.
_PROGRAM = """
import os, subprocess, sys
from edgerig_agent import orphans
orphans.adopt()
helper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
known = orphans.children()
assert known == [helper.pid], known
started = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', "
started += "'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()'], start_new_session=True, "
started += "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
left = int(subprocess.run([sys.executable, "-c", started], capture_output=True, check=True).stdout)
assert left in orphans.children()
print(orphans.end_adopted(known), os.path.exists(f"/proc/{left}"), helper.poll() is None)
helper.kill()
helper.wait()
"""


def test_an_adopted_process_is_ended_and_a_helper_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["1", "False", "True"], done.stderr
