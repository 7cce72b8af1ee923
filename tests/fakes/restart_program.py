"""Asks for, and orders, a restart as the daemon's program does, on a tree of files instead of the device.

    restart_program.py ROOT MODE FOLDER [--go]

The real helper talks to a scripted nvpmodel. With `--go` the machine goes down
where nvpmodel says so: the daemon that asked is killed, and the next boot has the
id in the file `boot` of the tree. MODE: ok; stuck (the machine does not go down);
forgetful (it comes back in the mode that it had).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from edgerig_agent import attempt_files
from edgerig_agent.protocol.restart import needed, restart
from tests.fakes import jetson_settings


def main() -> None:
    root, mode, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    home = folder.parent.parent
    asked = attempt_files.read_trial(folder).settings.power_mode
    need = needed(asked, home, str(root))
    if need.needs_restart and "--go" in sys.argv:
        status = root / "var/lib/nvpmodel/status"
        before = status.read_text()
        restart(need.mode, home, str(root))
        if mode == "forgetful":
            status.write_text(before)
        if mode != "stuck":
            count = len((root / "restarts").read_text().split())
            (root / "boot").write_text(f"boot-{count + 1}")
            os.kill(os.getppid(), signal.SIGKILL)
            return
    print(json.dumps({"needs_restart": need.needs_restart, "mode": need.mode, "problem": need.problem}))


if __name__ == "__main__":
    jetson_settings.use_programs(Path(sys.argv[1]).parent / "bin")
    main()
