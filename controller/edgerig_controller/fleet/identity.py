"""The fleet's own certificate authority and the names in its certificates.

Who somebody is stands in the URI of the certificate: `edgerig://FLEET/agent/ID`
for devices, `edgerig://FLEET/operator/NAME` and `edgerig://FLEET/viewer/NAME`
for people's programs. A signing request contributes its public key and nothing
else. Knows nothing of tokens,
of gRPC or of the database.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgerig import durable
from edgerig.errors import ProtocolError, StorageError

Role = Literal["agent", "operator", "viewer"]
PersonRole = Literal["operator", "viewer"]

CA_DAYS = 3650
SERVER_DAYS = 365
OPERATOR_DAYS = 365
AGENT_DAYS = 90
PERSON_DAYS = 180
# Boards come up with clocks that are a little late.
_BACKDATE = timedelta(hours=1)
_RENEW_BEFORE = timedelta(days=30)
_MAX_REQUEST_BYTES = 8 * 1024
_URI = re.compile(r"edgerig://([0-9a-f]{16})/(agent|operator|viewer)/([a-z0-9][a-z0-9._-]{0,62})")
_FLEET = re.compile(r"edgerig fleet ([0-9a-f]{16})")


@dataclass(frozen=True)
class Peer:
    """Who a certificate says its holder is."""

    fleet_id: str
    role: Role
    name: str


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True)
class Issued:
    """A signed certificate and what is kept about it."""

    certificate_pem: bytes
    serial: str
    not_after_unix_s: float


@dataclass(frozen=True)
class Authority:
    """The CA of one fleet."""

    fleet_id: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def ca_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def spki_sha256(self) -> str:
        """The sha256 of the public key, which a device checks before it trusts the CA."""
        digest = hashes.Hash(hashes.SHA256())
        digest.update(
            self.certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return digest.finalize().hex()

    def sign_agent(self, request_pem: str, device_id: str, now: datetime) -> Issued:
        """Certifies a device's key for 90 days.

        Raises:
            ProtocolError: not a signing request for a P-256 key, signed by that key.
        """
        return self._sign_member(request_pem, "agent", device_id, AGENT_DAYS, now)

    def sign_person(self, request_pem: str, role: PersonRole, name: str, now: datetime) -> Issued:
        """Certifies a person's key for 180 days.

        Raises:
            ProtocolError: not a signing request for a P-256 key, signed by that key.
        """
        return self._sign_member(request_pem, role, name, PERSON_DAYS, now)

    def _sign_member(self, request_pem: str, role: Role, name: str, days: int, now: datetime) -> Issued:
        key = _read_request(request_pem).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        uri = f"edgerig://{self.fleet_id}/{role}/{name}"
        certificate = self._sign(
            key, name, [x509.UniformResourceIdentifier(uri)], ExtendedKeyUsageOID.CLIENT_AUTH, days, now
        )
        return Issued(
            certificate.public_bytes(serialization.Encoding.PEM),
            serial_text(certificate),
            certificate.not_valid_after_utc.timestamp(),
        )

    def sign_bytes(self, data: bytes) -> bytes:
        """Signs what devices are to know for this fleet's own: ECDSA with SHA-256, DER."""
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def check_member(self, certificate_pem: str, signature: bytes, data: bytes) -> tuple[Peer, str]:
        """Says who has signed bytes, and the serial of the certificate; the dates are not looked at.

        Raises:
            ProtocolError: no certificate of this fleet, or the signature is of other bytes or another key.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
            certificate.verify_directly_issued_by(self.certificate)
            key = certificate.public_key()
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            peer = peer_of(names.get_values_for_type(x509.UniformResourceIdentifier))
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
            raise ProtocolError("The certificate is not one of this fleet.") from error
        if peer is None or peer.fleet_id != self.fleet_id or not isinstance(key, ec.EllipticCurvePublicKey):
            raise ProtocolError("The certificate is not one of this fleet.")
        try:
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise ProtocolError(f"This was not signed by {peer.name}, or was changed afterwards.") from error
        return peer, serial_text(certificate)

    def operator(self, name: str, now: datetime) -> KeyPair:
        """Makes the key and certificate of a person's programs."""
        key = ec.generate_private_key(ec.SECP256R1())
        uri = f"edgerig://{self.fleet_id}/operator/{name}"
        certificate = self._sign(
            key.public_key(),
            name,
            [x509.UniformResourceIdentifier(uri)],
            ExtendedKeyUsageOID.CLIENT_AUTH,
            OPERATOR_DAYS,
            now,
        )
        return _pair(certificate, key)

    def server(self, names: Sequence[str], now: datetime) -> KeyPair:
        """Makes the key and certificate of the controller's listeners for these host names."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            key.public_key(),
            "edgerig controller",
            [_general_name(name) for name in names],
            ExtendedKeyUsageOID.SERVER_AUTH,
            SERVER_DAYS,
            now,
        )
        return _pair(certificate, key)

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        days: int,
        now: datetime,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )


def create_authority(now: datetime) -> Authority:
    """Makes a CA with a random fleet id."""
    fleet_id = secrets.token_hex(8)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"edgerig fleet {fleet_id}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(fleet_id, certificate, key)


def open_authority(folder: Path, now: datetime, *, in_use: bool = False) -> Authority:
    """Loads the CA of a data folder, or makes one there at first use.

    A key alone is what a crash leaves between the two writes: nobody has seen a certificate of it, and
    it gives way to a new one, unless the caller knows the authority to be `in_use`.

    Raises:
        StorageError: the folder holds half a CA, or one that is not ours.
    """
    certificate_path, key_path = folder / "ca.pem", folder / "ca.key"
    unused = not key_path.exists() or not (in_use or _has_signed(folder))
    if unused and not certificate_path.exists():
        authority = create_authority(now)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The key first: a certificate without a key may have been seen, and could never be used again.
        write_private(key_path, _key_pem(authority.key))
        write_private(certificate_path, authority.ca_pem)
        return authority
    return _load_authority(certificate_path, key_path)


def ensure_server(folder: Path, authority: Authority, names: Sequence[str], now: datetime) -> KeyPair:
    """Returns the listeners' certificate, made anew when it is old or lacks a name."""
    pair = _read_pair(folder / "server.pem", folder / "server.key")
    if pair is None or not _covers(pair, authority, names, now):
        pair = authority.server(names, now)
        _write_pair(pair, folder / "server.pem", folder / "server.key")
    return pair


def ensure_operator(folder: Path, authority: Authority, name: str, now: datetime) -> KeyPair:
    """Returns the operator's certificate of this folder, made anew when it is old."""
    pair = _read_pair(folder / "operator.pem", folder / "operator.key")
    if pair is None or not _fresh(pair, authority, now):
        pair = authority.operator(name, now)
        _write_pair(pair, folder / "operator.pem", folder / "operator.key")
    return pair


def peer_of(uris: Sequence[str]) -> Peer | None:
    """Reads the identity out of a certificate's URIs; None unless exactly one is ours."""
    found = [match for uri in uris if (match := _URI.fullmatch(uri))]
    if len(found) != 1:
        return None
    fleet_id, role, name = found[0].groups()
    return Peer(fleet_id, cast(Role, role), name)


def serial_text(certificate: x509.Certificate) -> str:
    """Returns the serial number as it is stored, lower-case hexadecimal."""
    return f"{certificate.serial_number:x}"


def stored_serial(path: Path) -> str:
    """Returns the serial number of a certificate in a file; '' where there is none."""
    try:
        return serial_text(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError):
        return ""


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner may read, durably and all at once."""
    durable.replace(path, data, mode=0o600)


def utc_now() -> datetime:
    """Returns the time that certificates are dated with."""
    return datetime.now(timezone.utc)


def _has_signed(folder: Path) -> bool:
    """Tells whether the key of a folder was ever used; a first start may have been killed before that."""
    return any((folder / name).exists() for name in ("server.key", "operator.key"))


def _load_authority(certificate_path: Path, key_path: Path) -> Authority:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The certificate authority in {certificate_path.parent} is damaged: {error}.",
            hint=f"restore {certificate_path.parent} from a backup; without it no device can connect",
        ) from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    match = _FLEET.fullmatch(str(names[0].value)) if names else None
    if match is None or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StorageError(f"{certificate_path} is not the certificate of an edgerig fleet.")
    if key.public_key() != certificate.public_key():
        raise StorageError(f"{key_path} is not the key of {certificate_path}.")
    return Authority(match.group(1), certificate, key)


def _read_request(request_pem: str) -> x509.CertificateSigningRequest:
    if len(request_pem) > _MAX_REQUEST_BYTES:
        raise ProtocolError("The certificate request is too long.")
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
        valid = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ProtocolError(f"The certificate request cannot be read: {error}.") from error
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ProtocolError("The certificate request is not for an EC P-256 key.")
    if not valid:
        raise ProtocolError("The certificate request is not signed by its own key.")
    return request


def _covers(pair: KeyPair, authority: Authority, names: Sequence[str], now: datetime) -> bool:
    if not _fresh(pair, authority, now):
        return False
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return all(_general_name(name) in list(present) for name in names)


def _fresh(pair: KeyPair, authority: Authority, now: datetime) -> bool:
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    if certificate.issuer != authority.certificate.subject:
        return False
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_BEFORE


def _read_pair(certificate_path: Path, key_path: Path) -> KeyPair | None:
    try:
        pair = KeyPair(certificate_path.read_bytes(), key_path.read_bytes())
        certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
        key = serialization.load_pem_private_key(pair.key_pem, password=None)
    except (OSError, ValueError):
        # Missing or cut off by a crash: both are made anew by the caller.
        return None
    return pair if key.public_key() == certificate.public_key() else None


def _write_pair(pair: KeyPair, certificate_path: Path, key_path: Path) -> None:
    write_private(key_path, pair.key_pem)
    write_private(certificate_path, pair.certificate_pem)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
