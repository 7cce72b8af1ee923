"""Identities of simulated devices: enrolled one by one, as real ones are, and kept in a folder.

Each device has a key and a certificate of its own. A folder that is used again
spares the enrolment.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import ProtocolError, StorageError
from edgerig.v1 import enroll_service_pb2 as pb
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceStub
from edgerig_controller.rpc.interceptors import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgerig_controller.cli.control import Control

_TOKEN_S = 600.0
_ENROLL_S = 30.0
# The controller answers one after the other anyway; a few calls keep it busy.
_AT_ONCE = 8


@dataclass(frozen=True)
class Passport:
    """What a simulated device needs to connect."""

    device_id: str
    fleet_id: str
    # Where its controller listened for agents when it was enrolled, host:port.
    agents: str
    key_pem: str
    certificate_pem: str
    ca_pem: str

    def credentials(self) -> grpc.ChannelCredentials:
        """Returns them in gRPC's form."""
        return grpc.ssl_channel_credentials(
            self.ca_pem.encode(), self.key_pem.encode(), self.certificate_pem.encode()
        )


async def ensure(
    control: Control,
    folder: Path,
    device_ids: list[str],
    *,
    fleet_id: str,
    labels: list[str],
    ca_pem: bytes,
    done: Callable[[int], None],
) -> list[Passport]:
    """Returns the passports of these devices; those that are not in the folder are enrolled.

    `done` hears how many there are so far.

    Raises:
        ProtocolError: the controller refuses a device, or a passport is of another fleet.
        StorageError: the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}", hint="use another --home") from error
    gate = asyncio.Semaphore(_AT_ONCE)
    found: dict[str, Passport] = {}

    async def one(device_id: str) -> None:
        async with gate:
            passport = _read(folder, device_id)
            if passport is None or passport.fleet_id != fleet_id:
                replace = passport is not None
                passport = await _enroll(control, device_id, labels, ca_pem, replace=replace)
                _write(folder, passport)
            found[device_id] = passport
            done(len(found))

    await asyncio.gather(*(one(device_id) for device_id in device_ids))
    return [found[device_id] for device_id in device_ids]


async def _enroll(
    control: Control, device_id: str, labels: list[str], ca_pem: bytes, *, replace: bool
) -> Passport:
    invitation = await control.add_device(device_id, labels, _TOKEN_S, replace=replace)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    message = pb.EnrollRequest(
        device_id=device_id,
        token=invitation.token,
        certificate_request_pem=request.public_bytes(serialization.Encoding.PEM).decode(),
    )
    credentials = grpc.ssl_channel_credentials(ca_pem)
    try:
        async with grpc.aio.secure_channel(
            invitation.enroll_address, credentials, options=CLIENT_OPTIONS
        ) as channel:
            stub: Any = EnrollServiceStub(channel)
            reply: pb.EnrollResponse = await stub.Enroll(message, timeout=_ENROLL_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Passport(
        device_id,
        reply.fleet_id,
        invitation.agents_address,
        private.decode(),
        reply.certificate_pem,
        reply.ca_pem,
    )


def _path(folder: Path, device_id: str) -> Path:
    return folder / f"{device_id}.json"


def _read(folder: Path, device_id: str) -> Passport | None:
    try:
        document = json.loads(_path(folder, device_id).read_text())
        return Passport(**{key: str(value) for key, value in document.items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ProtocolError(
            f"{_path(folder, device_id)} is no passport of a simulated device: {error}",
            hint=f"rm {_path(folder, device_id)}",
        ) from error


def _write(folder: Path, passport: Passport) -> None:
    path = _path(folder, passport.device_id)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(passport), file)
