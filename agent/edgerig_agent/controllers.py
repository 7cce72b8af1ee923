"""Where the controllers of this fleet listen for agents, and which of them is dialled next.

One of several controllers leads, and only that one takes agents. The list comes
with every Sync and is kept in the agent's home, so that an agent that was off
while the lead changed still finds the others; where it enrolled is always tried
as well.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from edgerig import durable

_log = logging.getLogger(__name__)

_FILE = "controllers.json"
# More of them make no sense, and each is dialled.
_MAX = 16
_FILE_MAX_BYTES = 16 * 1024
_ADDRESS = re.compile(r"(?:[0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


class Controllers:
    """The addresses of an agent's home, in the order of dialling."""

    def __init__(self, home: Path, enrolled: str) -> None:
        self._path = home / _FILE
        self._enrolled = enrolled
        self._known = self._read()
        self._index = 0
        # What a controller that stands by has said of the one that leads.
        self._named = ""

    def address(self) -> str:
        """Returns the address to dial."""
        return self._named or self._all()[self._index]

    def failed(self, named: str = "") -> None:
        """Goes on to the next one, or to the one that was named: this one did not take the agent."""
        if named != self.address() and _ADDRESS.fullmatch(named):
            self._named = named
        elif self._named:
            self._named = ""
        else:
            self._index = (self._index + 1) % len(self._all())

    def learn(self, addresses: Sequence[str]) -> None:
        """Replaces the list by what the leader says; an empty one says nothing."""
        found = _sound(addresses)
        if not found or found == self._known:
            return
        present = self.address()
        self._known = found
        everywhere = self._all()
        self._named = "" if present in everywhere else self._named
        # The controller that answers now is not left because of its place in a list.
        self._index = everywhere.index(present) if present in everywhere else 0
        self._write()

    def _all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._known, self._enrolled)))

    def _read(self) -> tuple[str, ...]:
        try:
            with self._path.open("rb") as file:
                document = json.loads(file.read(_FILE_MAX_BYTES))
            return _sound(document["agents"])
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s cannot be read, only %s is dialled: %s", self._path, self._enrolled, error)
            return ()

    def _write(self) -> None:
        try:
            durable.replace(self._path, json.dumps({"agents": list(self._known)}).encode())
        except OSError as error:
            # It comes again with the next Sync.
            _log.warning("%s cannot be written: %s", self._path, error)


def _sound(addresses: Sequence[object]) -> tuple[str, ...]:
    found = [item for item in addresses[:_MAX] if isinstance(item, str) and _ADDRESS.fullmatch(item)]
    return tuple(dict.fromkeys(found))
