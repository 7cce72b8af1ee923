"""How a device or a person joins a fleet: pin the CA, make a key here, check what comes back.

The CA certificate is first fetched over TLS that trusts nobody, and accepted
only when its public key has the hash that an operator handed out; only then
does it vouch for the channel that carries the token. Imports no gRPC; needs
the package cryptography, so programs import it only to join or to renew.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgerig.errors import ProtocolError, UnreachableError, UsageError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONNECT_S = 10.0
_CHAIN_LENGTH = 8
# Formats of the C certificate objects that Python 3.10 to 3.12 hands out.
_ENCODING_DER = 2


def is_spki_hash(text: str) -> bool:
    """Says whether a text is 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def fetch_ca(address: str, spki_sha256: str, *, hint: str = "") -> x509.Certificate:
    """Returns the CA certificate that a listener presents, when its public key has this hash.

    Raises:
        UsageError: the address is not HOST:PORT.
        UnreachableError: nothing answers at the address, or not with TLS.
        ProtocolError: no certificate of the chain has that key.
    """
    seen = []
    for der in presented_chain(address, hint=hint)[:_CHAIN_LENGTH]:
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
        hint=hint,
    )


def spki_hash(certificate: x509.Certificate) -> str:
    """Returns the sha256 of a certificate's SubjectPublicKeyInfo, hexadecimal."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def presented_chain(address: str, *, hint: str = "") -> list[bytes]:
    """Returns the certificates a TLS listener presents, DER, without trusting any of them.

    Raises:
        UsageError: the address is not HOST:PORT.
        UnreachableError: nothing answers at the address, or not with TLS.
    """
    host, port = split_address(address, hint=hint)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # What is presented is compared with a hash that came another way.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=_CONNECT_S) as raw,
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


def split_address(address: str, *, hint: str = "") -> tuple[str, int]:
    """Returns host and port of HOST:PORT; brackets of IPv6 are taken off.

    Raises:
        UsageError: it is not HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{address!r} is not HOST:PORT", hint=hint)
    return host, int(port)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Makes a private key; it never leaves the machine that made it."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns a private key as unencrypted PKCS 8 PEM, for a file of mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_request(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    """Returns a certificate signing request, PEM; the name in it is for people, the CA does not read it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def checked_certificate(
    certificate_pem: str, ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, uri: str
) -> x509.Certificate:
    """Returns a new certificate when it is for our key and this URI, signed by this CA.

    Raises:
        ProtocolError: it is not.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise ProtocolError(
            f"the controller answered with a certificate that is not its own: {error}"
        ) from error
    if certificate.public_key() != key.public_key():
        raise ProtocolError("the controller certified another key than ours")
    if uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise ProtocolError(f"the controller's certificate is not for {uri}")
    return certificate


def _unverified_chain(tls: ssl.SSLSocket) -> list[bytes]:
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    # Before Python 3.13 the same method is only on the socket's C object.
    internal: Any = tls._sslobj  # type: ignore[attr-defined]
    return [bytes(certificate.public_bytes(_ENCODING_DER)) for certificate in internal.get_unverified_chain()]
