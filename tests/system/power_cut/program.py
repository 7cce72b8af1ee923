"""What an agent does to its home in the life of some attempts; it says into a file what it was promised.

program.py HOME MARK ATTEMPTS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgerig.v1.agent_service_pb2 import Lease
from edgerig_agent import folder as folders
from edgerig_agent.folder import AttemptFolder
from edgerig_agent.spool import open_spool


def main(home: Path, mark: Path, count: int) -> None:
    with mark.open("a", buffering=1) as promises:

        def promised(**words: object) -> None:
            promises.write(json.dumps(words) + "\n")

        spool = open_spool(home / "spool.db")
        for number in range(count):
            attempt_id = f"a-{number}"
            folder = AttemptFolder(home / "attempts" / attempt_id)
            lease = Lease(attempt_id=attempt_id, epoch=number + 1)
            lease.trial.digest = f"d-{number}"
            folders.make(folder, lease)
            spool.add(attempt_id, number + 1, lease.trial.digest)
            promised(attempt=attempt_id, state="accepted")
            promised(session=spool.next_session_epoch())
            spool.starting(attempt_id, "boot")
            promised(attempt=attempt_id, state="starting")
            spool.running(attempt_id, 100 + number, 7)
            promised(attempt=attempt_id, state="running")
            if number % 3 != 2:
                folders.write_failure(folder, lease.trial.digest, 13, "it was killed", "boot")
                spool.finished(attempt_id)
                promised(attempt=attempt_id, state="finished")
            if number % 3 == 0:
                # The controller has it; from here on anything may be gone.
                promised(attempt=attempt_id, state="delivered")
                folder.delete()
                spool.delete(attempt_id)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
