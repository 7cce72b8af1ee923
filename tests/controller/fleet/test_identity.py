"""The fleet's CA: what it signs, what it refuses, what it keeps on disk."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from edgerig.errors import ProtocolError, StorageError
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import Peer, create_authority, open_authority, peer_of

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
AUTHORITY = create_authority(NOW)


def request_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "whoever") -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    # A request may ask for whatever it likes; only its key may count.
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier("edgerig://x/operator/root")]),
        critical=False,
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names.get_values_for_type(x509.UniformResourceIdentifier))


def test_an_agents_certificate_has_our_name_and_its_key_only() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = AUTHORITY.sign_agent(request_pem(key, "evil"), "orin-07", NOW)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    assert uris(certificate) == [f"edgerig://{AUTHORITY.fleet_id}/agent/orin-07"]
    assert certificate.public_key() == key.public_key()
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc - NOW == timedelta(days=90)
    assert issued.serial == identity.serial_text(certificate)
    certificate.verify_directly_issued_by(AUTHORITY.certificate)


def test_requests_for_other_keys_are_refused() -> None:
    for key in (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        with pytest.raises(ProtocolError, match="P-256"):
            AUTHORITY.sign_agent(request_pem(key), "orin", NOW)


def test_a_request_that_its_key_has_not_signed_is_refused() -> None:
    mine = x509.load_pem_x509_csr(request_pem(ec.generate_private_key(ec.SECP256R1())).encode())
    der = bytearray(mine.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(ProtocolError):
        AUTHORITY.sign_agent(forged, "orin", NOW)


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\n", "x" * 10_000])
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        AUTHORITY.sign_agent(text, "orin", NOW)


def test_the_server_certificate_bears_names_and_addresses() -> None:
    pair = AUTHORITY.server(["localhost", "127.0.0.1", "::1", "lab.example"], NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "lab.example"}
    assert {str(name) for name in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["edgerig://0123456789abcdef/agent/orin"], Peer("0123456789abcdef", "agent", "orin")),
        (["edgerig://0123456789abcdef/operator/a"], Peer("0123456789abcdef", "operator", "a")),
        (["edgerig://0123456789abcdef/root/orin"], None),
        (["edgerig://0123456789abcdef/agent/orin/x"], None),
        (["edgerig://0123456789abcdef/agent/a", "edgerig://0123456789abcdef/operator/a"], None),
        ([], None),
    ],
)
def test_identity_is_exactly_one_uri_of_ours(found: list[str], expected: Peer | None) -> None:
    assert peer_of(found) == expected


def test_a_folder_keeps_its_authority(tmp_path: Path) -> None:
    first = open_authority(tmp_path / "ca", NOW)
    again = open_authority(tmp_path / "ca", NOW)
    assert (again.fleet_id, again.spki_sha256) == (first.fleet_id, first.spki_sha256)
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_two_fleets_have_different_ids() -> None:
    assert create_authority(NOW).fleet_id != AUTHORITY.fleet_id


def test_half_an_authority_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    open_authority(tmp_path, NOW)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(StorageError, match="damaged"):
        open_authority(tmp_path, NOW)


def test_a_first_start_that_was_killed_between_key_and_certificate_is_made_good(tmp_path: Path) -> None:
    open_authority(tmp_path, NOW)
    (tmp_path / "ca.pem").unlink()
    made = open_authority(tmp_path, NOW)
    assert open_authority(tmp_path, NOW).spki_sha256 == made.spki_sha256


def test_a_key_that_has_signed_is_not_replaced(tmp_path: Path) -> None:
    identity.ensure_operator(tmp_path, open_authority(tmp_path, NOW), "local", NOW)
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(StorageError, match="damaged"):
        open_authority(tmp_path, NOW)


def test_a_key_of_another_authority_is_noticed(tmp_path: Path) -> None:
    open_authority(tmp_path / "a", NOW)
    open_authority(tmp_path / "b", NOW)
    (tmp_path / "a" / "ca.key").write_bytes((tmp_path / "b" / "ca.key").read_bytes())
    with pytest.raises(StorageError, match="not the key"):
        open_authority(tmp_path / "a", NOW)


def test_the_server_certificate_is_kept_until_a_name_is_missing_or_it_is_old(tmp_path: Path) -> None:
    first = identity.ensure_server(tmp_path, AUTHORITY, ["localhost"], NOW)
    assert identity.ensure_server(tmp_path, AUTHORITY, ["localhost"], NOW) == first
    wider = identity.ensure_server(tmp_path, AUTHORITY, ["localhost", "lab.example"], NOW)
    assert wider != first
    later = NOW + timedelta(days=identity.SERVER_DAYS - 29)
    assert identity.ensure_server(tmp_path, AUTHORITY, ["localhost"], later) != wider


def test_a_torn_certificate_file_is_made_anew(tmp_path: Path) -> None:
    identity.ensure_operator(tmp_path, AUTHORITY, "local", NOW)
    (tmp_path / "operator.pem").write_bytes(b"-----BEGIN")
    pair = identity.ensure_operator(tmp_path, AUTHORITY, "local", NOW)
    assert uris(x509.load_pem_x509_certificate(pair.certificate_pem)) == [
        f"edgerig://{AUTHORITY.fleet_id}/operator/local"
    ]
    assert (tmp_path / "operator.key").stat().st_mode & 0o777 == 0o600
