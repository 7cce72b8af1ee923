"""Turns a one-time token into this device's identity, in a process of its own.

The CA certificate is first fetched over TLS that trusts nobody, and accepted
only when its public key has the hash that the operator was shown; only then
does it vouch for the channel that carries the token. The private key is made
here and never leaves the device. Imported by the command, never by the daemon.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import DeviceError, ProtocolError, UnreachableError, UsageError
from edgerig.v1.enroll_service_pb2 import EnrollRequest, EnrollResponse
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceStub
from edgerig_agent import identity as identities
from edgerig_agent.identity import Enrollment, Identity
from edgerig_agent.reachability import in_words

_DEVICE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONNECT_S = 10.0
_ENROLL_S = 30.0
_CHAIN_LENGTH = 8
# Formats of the C certificate objects that Python 3.10 to 3.12 hands out.
_ENCODING_DER = 2

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
        ca = fetch_ca(enroll_address, ca_spki_sha256)
    _check_clock(ca, clock())
    key = ec.generate_private_key(ec.SECP256R1())
    ca_pem = ca.public_bytes(serialization.Encoding.PEM)
    reply = _ask(enroll_address, ca_pem, device_id, token, key)
    certificate = _checked_certificate(reply, ca, key, device_id)
    enrollment = Enrollment(
        device_id=device_id,
        fleet_id=reply.fleet_id,
        agents=agents_address,
        enroll=enroll_address,
        not_before_unix_s=certificate.not_valid_before_utc.timestamp(),
        not_after_unix_s=certificate.not_valid_after_utc.timestamp(),
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    identities.save(home, Identity(enrollment, key_pem, certificate_pem, ca_pem))


def fetch_ca(address: str, spki_sha256: str) -> x509.Certificate:
    """Returns the CA certificate that a listener presents, when its public key has this hash.

    Raises:
        UnreachableError: nothing answers at the address, or not with TLS.
        ProtocolError: no certificate of the chain has that key.
    """
    seen = []
    for der in _presented_chain(address)[:_CHAIN_LENGTH]:
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise ProtocolError(f"{address} presents something that is no certificate: {error}") from error
        seen.append(spki_hash(certificate))
        if seen[-1] == spki_sha256:
            return certificate
    raise ProtocolError(
        f"{address} is not the controller you were told of: no certificate it presents has the CA key "
        f"{spki_sha256[:16]}… (it has {', '.join(found[:16] + '…' for found in seen) or 'none'})",
        hint=_NEW_TOKEN_HINT,
    )


def spki_hash(certificate: x509.Certificate) -> str:
    """Returns the sha256 of a certificate's SubjectPublicKeyInfo, hexadecimal."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


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
    if not _SHA256.fullmatch(ca_spki_sha256) and not (ca_file is not None and ca_spki_sha256 == ""):
        raise UsageError("the CA hash must be 64 lower-case hexadecimal digits", hint=_NEW_TOKEN_HINT)


def _read_ca(path: Path, spki_sha256: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no CA certificate: {error}", hint=f"ls -l {path}") from error
    if spki_sha256 and spki_hash(certificate) != spki_sha256:
        raise ProtocolError(f"the CA in {path} has another key than --ca-sha256 says", hint=_NEW_TOKEN_HINT)
    return certificate


def _presented_chain(address: str) -> list[bytes]:
    """Returns the certificates a TLS listener presents, DER, without trusting any of them."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit():
        raise UsageError(f"{address!r} is not HOST:PORT", hint=_NEW_TOKEN_HINT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # What is presented is compared with a hash that came another way.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, int(port)), timeout=_CONNECT_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as tls,
        ):
            return _unverified_chain(tls)
    except ssl.SSLError as error:
        raise UnreachableError(
            f"{address} does not speak TLS: {error.reason or error}", hint="check the port"
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{address} cannot be reached: {error.strerror or error}",
            hint="edgerig serve (on the controller's machine)",
        ) from error


def _unverified_chain(tls: ssl.SSLSocket) -> list[bytes]:
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    # Before Python 3.13 the same method is only on the socket's C object.
    internal: Any = tls._sslobj  # type: ignore[attr-defined]
    return [bytes(certificate.public_bytes(_ENCODING_DER)) for certificate in internal.get_unverified_chain()]


def _check_clock(ca: x509.Certificate, now_unix_s: float) -> None:
    begin = ca.not_valid_before_utc.timestamp()
    if now_unix_s < begin:
        raise DeviceError(
            f"this device's clock is {begin - now_unix_s:.0f} s before the fleet's CA certificate was made",
            hint="timedatectl set-ntp true",
        )


def _ask(
    address: str, ca_pem: bytes, device_id: str, token: str, key: ec.EllipticCurvePrivateKey
) -> EnrollResponse:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    message = EnrollRequest(
        device_id=device_id,
        token=token,
        certificate_request_pem=request.public_bytes(serialization.Encoding.PEM).decode(),
    )
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem)
    with grpc.secure_channel(address, credentials, options=CLIENT_OPTIONS) as channel:
        try:
            reply: EnrollResponse = EnrollServiceStub(channel).Enroll(message, timeout=_ENROLL_S)
        except grpc.RpcError as error:
            trouble = in_words(error, address)
            trouble.hint = trouble.hint or _NEW_TOKEN_HINT
            raise trouble from error
    return reply


def _checked_certificate(
    reply: EnrollResponse, ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, device_id: str
) -> x509.Certificate:
    """Returns the new certificate when it is ours and of this fleet. Raises ProtocolError otherwise."""
    try:
        certificate = x509.load_pem_x509_certificate(reply.certificate_pem.encode())
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise ProtocolError(
            f"the controller answered with a certificate that is not its own: {error}"
        ) from error
    if certificate.public_key() != key.public_key():
        raise ProtocolError("the controller certified another key than this device's")
    expected = f"edgerig://{reply.fleet_id}/agent/{device_id}"
    if expected not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise ProtocolError(f"the controller's certificate is not for {expected}")
    return certificate
