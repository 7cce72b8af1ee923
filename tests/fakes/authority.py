"""A small certificate authority for tests: server, agent and foreign certificates, signed requests."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, PEM."""

    key_pem: bytes
    certificate_pem: bytes


@dataclass
class Authority:
    """One fleet's CA."""

    fleet_id: str = "fleet-1"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        name = _name(f"edgerig {self.fleet_id}")
        self._certificate = (
            _builder(name, name, self.key.public_key(), days=3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def ca_pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def spki_sha256(self) -> str:
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(public).hexdigest()

    def server(self) -> Pair:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._issue("server", names)

    def agent(self, device_id: str, *, days: float = 90) -> Pair:
        return self._issue(device_id, [self._uri(device_id)], days=days)

    def sign(self, request_pem: str, device_id: str) -> bytes:
        request = x509.load_pem_x509_csr(request_pem.encode())
        return self._certify(request.public_key(), device_id, [self._uri(device_id)], 90)  # type: ignore[arg-type]

    def _uri(self, device_id: str) -> x509.GeneralName:
        return x509.UniformResourceIdentifier(f"edgerig://{self.fleet_id}/agent/{device_id}")

    def _issue(self, name: str, alternatives: list[x509.GeneralName], *, days: float = 90) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(key_pem, self._certify(key.public_key(), name, alternatives, days))

    def _certify(
        self, public: ec.EllipticCurvePublicKey, name: str, alternatives: list[x509.GeneralName], days: float
    ) -> bytes:
        certificate = (
            _builder(_name(name), self._certificate.subject, public, days=days)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, *, days: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now + days * DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - DAY)
        .not_valid_after(end)
    )
