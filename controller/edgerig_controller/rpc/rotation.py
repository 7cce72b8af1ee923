"""The listeners' certificate, replaced while they listen: no controller is restarted for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import grpc

from edgerig.errors import EdgerigError
from edgerig_controller.fleet.identity import KeyPair

_log = logging.getLogger(__name__)

LOOK_S = 3600.0


class ServerCertificate:
    """Credentials of all listeners, whose certificate is replaced while they listen.

    `current` returns the pair to present, made anew when the old one is near
    its end. gRPC asks in threads of its own, once for every handshake; `clock`
    is monotonic.
    """

    def __init__(
        self, pair: KeyPair, ca_pem: bytes, current: Callable[[], KeyPair], clock: Callable[[], float]
    ) -> None:
        self._pair = pair
        self._ca_pem = ca_pem
        self._current = current
        self._clock = clock
        self._looked_s = clock()
        self._lock = threading.Lock()

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """Returns credentials for one listener; with `mutual` it wants a certificate of our CA.

        gRPC takes the first certificate out of them, so they serve one listener only.
        """
        presented = self._pair

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal presented
            pair = self._look()
            if pair == presented:
                return None
            presented = pair
            return self._configuration(pair)

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(presented),
            fetch,  # type: ignore[arg-type]  # None means unchanged; the stubs do not know it
            require_client_authentication=mutual,
        )

    def _look(self) -> KeyPair:
        with self._lock:
            now_s = self._clock()
            if now_s - self._looked_s >= LOOK_S:
                self._looked_s = now_s
                try:
                    self._pair = self._current()
                except (EdgerigError, OSError) as error:
                    # The old one is good for another month; a full disk must not end the listening.
                    _log.error("the listeners' certificate was not renewed: %s", error)
            return self._pair

    def _configuration(self, pair: KeyPair) -> grpc.ServerCertificateConfiguration:
        # The CA stands in the chain so that a device can compare it with the hash it was told.
        chain = pair.certificate_pem + self._ca_pem
        return grpc.ssl_server_certificate_configuration([(pair.key_pem, chain)], self._ca_pem)
