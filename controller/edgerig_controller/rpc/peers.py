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
    peer = _member(context, fleet_id)
    if peer.role != role:
        article = "A" if peer.role == "viewer" else "An"
        raise Denied(
            f"{article} {peer.role}'s certificate cannot be used here; this listener is for {role}s."
        )
    return peer


def require_person(context: grpc.aio.ServicerContext[Any, Any], fleet_id: str) -> Peer:
    """Returns the caller, who is a person's program.

    Raises:
        Denied: no certificate of ours, of another fleet, or of a device.
    """
    peer = _member(context, fleet_id)
    if peer.role == "agent":
        raise Denied("An agent's certificate cannot be used here; this listener is for people.")
    return peer


def peer_in(context: grpc.aio.ServicerContext[Any, Any]) -> Peer | None:
    """Returns whom the certificate of a connection names, of whichever fleet; None for nobody."""
    uris = [bytes(uri).decode(errors="replace") for uri in context.auth_context().get("peer_uri", ())]
    return peer_of(uris)


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


def _member(context: grpc.aio.ServicerContext[Any, Any], fleet_id: str) -> Peer:
    peer = peer_in(context)
    if peer is None:
        raise Denied("The certificate names no member of an edgerig fleet.")
    if peer.fleet_id != fleet_id:
        raise Denied(f"The certificate is of fleet {peer.fleet_id}, this is fleet {fleet_id}.")
    return peer
