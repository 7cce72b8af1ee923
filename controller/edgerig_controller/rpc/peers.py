"""Who calls: read from the certificate that TLS has verified, never from a message."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import grpc.aio
from cryptography import x509

from edgerig_controller.fleet.identity import Peer, Role, peer_of, serial_text
from edgerig_controller.rpc.interceptors import Denied


def require_peer(context: grpc.aio.ServicerContext[Any, Any], fleet_id: str, role: Role) -> Peer:
    """Returns the caller.

    Raises:
        Denied: no certificate of ours, of another fleet, or of another role.
    """
    uris = [bytes(uri).decode(errors="replace") for uri in context.auth_context().get("peer_uri", ())]
    peer = peer_of(uris)
    if peer is None:
        raise Denied("The certificate names no member of an edgerig fleet.")
    if peer.fleet_id != fleet_id:
        raise Denied(f"The certificate is of fleet {peer.fleet_id}, this is fleet {fleet_id}.")
    if peer.role != role:
        raise Denied(f"An {peer.role}'s certificate cannot be used here; this listener is for {role}s.")
    return peer


def certificate_serial(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Returns the serial number of the caller's certificate.

    Raises:
        Denied: there is no readable certificate.
    """
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return _serial(bytes(pem))
    raise Denied("The connection shows no certificate.")


@lru_cache(maxsize=4096)
def _serial(pem: bytes) -> str:
    return serial_text(x509.load_pem_x509_certificate(pem))
