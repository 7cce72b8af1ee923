"""One JSON object over HTTP from a meter on the local network; bounded in size and time."""

from __future__ import annotations

import http.client
import json
from typing import Any

from edgerig_agent.probes.meters.base import GarbledError

_MAX_BYTES = 64 * 1024


class JsonClient:
    """Keeps one connection to one host and asks it for JSON."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def get(self, path: str) -> dict[str, Any]:
        """Returns the JSON object at `path`.

        Raises:
            OSError: no connection, no answer in time, or an answer that is none.
        """
        try:
            self._connection.request("GET", path, headers={"Accept": "application/json"})
            response = self._connection.getresponse()
            body = response.read(_MAX_BYTES + 1)
        except ConnectionError:
            # RemoteDisconnected is an error of HTTP too; that the peer has left says more.
            raise
        except http.client.HTTPException as error:
            raise GarbledError(f"not HTTP: {error!r}") from error
        if response.status != http.client.OK:
            raise GarbledError(f"{path} answers {response.status} {response.reason[:80]}")
        if len(body) > _MAX_BYTES:
            raise GarbledError(f"{path} answers more than {_MAX_BYTES} bytes")
        try:
            document = json.loads(body)
        except ValueError as error:
            raise GarbledError(f"{path} answers no JSON") from error
        if not isinstance(document, dict):
            raise GarbledError(f"{path} answers no JSON object")
        return document

    def close(self) -> None:
        self._connection.close()


def number(document: Any, *keys: str) -> float | None:
    """Returns the number below these keys, None where there is none (true and false are none)."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    is_number = isinstance(document, (int, float)) and not isinstance(document, bool)
    return float(document) if is_number and document == document else None
