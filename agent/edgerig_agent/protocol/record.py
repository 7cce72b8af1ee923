"""Where it is noted what a trial's settings replaced. Loads nothing: the daemon asks at every start."""

from __future__ import annotations

from pathlib import Path

RECORD = "settings_before.json"
# Where it is noted that the device was restarted into a mode that is not its usual one.
RESTART_RECORD = "restart_mode.json"
# Of a helper that runs through sudo: only root may write there.
SHARED_STATE = Path("/var/lib/edgerig")


def is_stale(home: Path) -> bool:
    """Tells whether something is noted that is, or was, to be put back."""
    return any((state / RECORD).is_file() for state in (home, SHARED_STATE))
