"""Renews this device's certificate: `python -m edgerig_agent.renew HOME`.

A process of its own, started by the daemon, because making keys and requests
needs a package that the daemon never loads. The new key replaces the old one
only after the controller has certified it; until the new certificate is used
the controller takes both.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgerig import joining
from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import EXIT_OK, EXIT_USAGE, EdgerigError
from edgerig.v1.agent_service_pb2 import RenewCertificateRequest, RenewCertificateResponse
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig_agent import identity as identities
from edgerig_agent.identity import Identity
from edgerig_agent.reachability import in_words

_RENEW_S = 30.0


def renew(home: Path, address: str = "") -> Identity:
    """Has a new key certified, writes the new identity and returns it.

    `address` is the controller's for agents; '' takes the one of the enrolment.

    Raises:
        UsageError: the home is not enrolled.
        UnreachableError: the controller does not answer.
        RejectedError: the controller says that it is too early.
        ProtocolError: it refuses, or answers with a wrong certificate.
        StorageError: the new identity cannot be written.
    """
    present = identities.load(home)
    enrollment = present.enrollment
    ca = x509.load_pem_x509_certificate(present.ca_pem)
    key = joining.new_key()
    reply = _ask(address or enrollment.agents, present, joining.signing_request(key, enrollment.device_id))
    uri = f"edgerig://{enrollment.fleet_id}/agent/{enrollment.device_id}"
    certificate = joining.checked_certificate(reply.certificate_pem, ca, key, uri)
    renewed = Identity(
        replace(
            enrollment,
            not_before_unix_s=certificate.not_valid_before_utc.timestamp(),
            not_after_unix_s=certificate.not_valid_after_utc.timestamp(),
        ),
        joining.key_pem(key),
        certificate.public_bytes(serialization.Encoding.PEM),
        present.ca_pem,
    )
    identities.save(home, renewed)
    return renewed


def main(arguments: list[str]) -> int:
    """Runs `python -m edgerig_agent.renew HOME [ADDRESS]`."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: python -m edgerig_agent.renew HOME [HOST:PORT]\n")
        return EXIT_USAGE
    try:
        renewed = renew(Path(arguments[0]), arguments[1] if len(arguments) == 2 else "")
    except EdgerigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"renewed until {renewed.enrollment.not_after_unix_s:.0f}\n")
    return EXIT_OK


def _ask(address: str, present: Identity, request_pem: str) -> RenewCertificateResponse:
    credentials = grpc.ssl_channel_credentials(present.ca_pem, present.key_pem, present.certificate_pem)
    message = RenewCertificateRequest(certificate_request_pem=request_pem)
    with grpc.secure_channel(address, credentials, options=CLIENT_OPTIONS) as channel:
        try:
            reply: RenewCertificateResponse = AgentServiceStub(channel).RenewCertificate(
                message, timeout=_RENEW_S
            )
        except grpc.RpcError as error:
            raise in_words(error, address) from error
    return reply


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
