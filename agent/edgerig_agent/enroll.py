"""Turns a one-time token into this device's identity, in a process of its own.

The CA is pinned before the token leaves (`edgerig.joining`). The private key
is made here and never leaves the device. Imported by the command, never by
the daemon.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgerig import joining
from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import DeviceError, ProtocolError, UsageError
from edgerig.v1.enroll_service_pb2 import EnrollRequest, EnrollResponse
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceStub
from edgerig_agent import identity as identities
from edgerig_agent.identity import Enrollment, Identity
from edgerig_agent.reachability import in_words

_DEVICE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_ENROLL_S = 30.0

_NEW_TOKEN_HINT = "edgerig device add NAME (on the controller's machine; prints a new command)"  # noqa: S105


def enroll(
    home: Path,
    enroll_address: str,
    agents_address: str,
    device_id: str,
    token: str,
    ca_spki_sha256: str,
    *,
    ca_file: Path | None = None,
    replace: bool = False,
    clock: Callable[[], float] = time.time,
) -> None:
    """Enrolls a home: checks the CA, has a new key certified, writes `identity/`.

    Addresses are host:port. `ca_file` (PEM) spares the fetch where both sides
    share a disk; `ca_spki_sha256`, hexadecimal, may then be ''.

    Raises:
        UsageError: the home is enrolled already, or an argument makes no sense.
        UnreachableError: nothing answers there, or not with TLS.
        ProtocolError: the CA is another one, the token is refused, or the answer is wrong.
        DeviceError: this device's clock is before the fleet's certificates.
        StorageError: the identity cannot be written.
    """
    _check_arguments(home, device_id, token, ca_spki_sha256, ca_file, replace)
    if ca_file is not None:
        ca = _read_ca(ca_file, ca_spki_sha256)
    else:
        ca = joining.fetch_ca(enroll_address, ca_spki_sha256, hint=_NEW_TOKEN_HINT)
    _check_clock(ca, clock())
    key = joining.new_key()
    ca_pem = ca.public_bytes(serialization.Encoding.PEM)
    reply = _ask(enroll_address, ca_pem, device_id, token, joining.signing_request(key, device_id))
    uri = f"edgerig://{reply.fleet_id}/agent/{device_id}"
    certificate = joining.checked_certificate(reply.certificate_pem, ca, key, uri)
    enrollment = Enrollment(
        device_id=device_id,
        fleet_id=reply.fleet_id,
        agents=agents_address,
        enroll=enroll_address,
        not_before_unix_s=certificate.not_valid_before_utc.timestamp(),
        not_after_unix_s=certificate.not_valid_after_utc.timestamp(),
    )
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    identities.save(home, Identity(enrollment, joining.key_pem(key), certificate_pem, ca_pem))


def _check_arguments(
    home: Path, device_id: str, token: str, ca_spki_sha256: str, ca_file: Path | None, replace: bool
) -> None:
    if identities.is_enrolled(home) and not replace:
        known = identities.load(home).enrollment
        raise UsageError(
            f"{home} is enrolled already, as {known.device_id} of fleet {known.fleet_id}",
            hint="add --replace to enroll it anew; the old key is then gone",
        )
    if not _DEVICE_ID.fullmatch(device_id):
        raise UsageError(
            f"{device_id!r} cannot be a device id: letters, digits, '.', '_' and '-', at most 64"
        )
    if not token:
        raise UsageError("the token is empty", hint=_NEW_TOKEN_HINT)
    if not joining.is_spki_hash(ca_spki_sha256) and not (ca_file is not None and ca_spki_sha256 == ""):
        raise UsageError("the CA hash must be 64 lower-case hexadecimal digits", hint=_NEW_TOKEN_HINT)


def _read_ca(path: Path, spki_sha256: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no CA certificate: {error}", hint=f"ls -l {path}") from error
    if spki_sha256 and joining.spki_hash(certificate) != spki_sha256:
        raise ProtocolError(f"the CA in {path} has another key than --ca-sha256 says", hint=_NEW_TOKEN_HINT)
    return certificate


def _check_clock(ca: x509.Certificate, now_unix_s: float) -> None:
    identities.check_clock_floor(now_unix_s)
    begin = ca.not_valid_before_utc.timestamp()
    if now_unix_s < begin:
        raise DeviceError(
            f"this device's clock is {begin - now_unix_s:.0f} s before the fleet's CA certificate was made",
            hint="timedatectl set-ntp true",
        )


def _ask(address: str, ca_pem: bytes, device_id: str, token: str, request_pem: str) -> EnrollResponse:
    message = EnrollRequest(device_id=device_id, token=token, certificate_request_pem=request_pem)
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem)
    with grpc.secure_channel(address, credentials, options=CLIENT_OPTIONS) as channel:
        try:
            reply: EnrollResponse = EnrollServiceStub(channel).Enroll(message, timeout=_ENROLL_S)
        except grpc.RpcError as error:
            trouble = in_words(error, address)
            trouble.hint = trouble.hint or _NEW_TOKEN_HINT
            raise trouble from error
    return reply
