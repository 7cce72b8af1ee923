"""Certificates over the wire: joining by token, renewing, revoking with disconnection.

The signing is `fleet.identity`'s, the tokens are `fleet.tokens`'; this module
puts them together with the store and the open connections.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from edgerig.errors import UsageError
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import enroll_service_pb2 as pb
from edgerig.version import PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION
from edgerig_controller.fleet import tokens
from edgerig_controller.fleet.identity import AGENT_DAYS
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.interceptors import Denied

_log = logging.getLogger(__name__)

_TOKEN_MAX_CHARS = 128
# Devices renew at two thirds; half leaves room for clocks and hurry, and bounds how often one may ask.
_RENEWABLE_SHARE = 0.5


async def enroll_device(frame: Frame, request: pb.EnrollRequest) -> pb.EnrollResponse:
    """Turns a device's token into its certificate.

    Raises:
        UsageError: the id can name no device.
        Denied: the token does not count.
        ProtocolError: the signing request is none.
    """
    device_id = tokens.check_device_id(request.device_id)
    now_unix_s = frame.clock()
    presented = request.token[:_TOKEN_MAX_CHARS]
    stored = await frame.store.ask(lambda store: store.stored_tokens(tokens.hash_token(presented)))
    token, why = tokens.find(stored, presented, device_id, now_unix_s)
    if token is None:
        raise Denied(f"Device {device_id} cannot be enrolled: {why}.")
    live = await frame.store.ask(lambda store: store.fleet.live_serials(device_id, now_unix_s=now_unix_s))
    if live and not token.replace:
        raise Denied(f"Device {device_id} is enrolled, and the token may not replace its certificate.")
    issued = frame.authority.sign_agent(request.certificate_request_pem, device_id, _moment(now_unix_s))
    token_id = token.token_id
    recorded = await frame.store.ask(
        lambda store: store.record_certificate(
            device_id,
            token_id=token_id,
            serial=issued.serial,
            not_after_unix_s=issued.not_after_unix_s,
            now_unix_s=now_unix_s,
        )
    )
    if not recorded:
        raise Denied(f"Device {device_id} cannot be enrolled: the token was used before.")
    # An older certificate of this device has just lost its validity.
    frame.hub.drop(device_id)
    _log.info("%s enrolled", device_id)
    return pb.EnrollResponse(
        certificate_pem=issued.certificate_pem.decode(),
        ca_pem=frame.authority.ca_pem.decode(),
        fleet_id=frame.authority.fleet_id,
    )


async def enroll_person(frame: Frame, request: pb.EnrollPersonRequest) -> pb.EnrollPersonResponse:
    """Turns a person's token into their certificate, of the role that the token says.

    Raises:
        UsageError: the name can be nobody's.
        Denied: the token does not count.
        ProtocolError: the signing request is none.
    """
    name = tokens.check_person(request.name)
    now_unix_s = frame.clock()
    stored = await frame.store.ask(lambda store: store.fleet.person_tokens())
    token, why = tokens.find(stored, request.token[:_TOKEN_MAX_CHARS], name, now_unix_s)
    if token is None:
        raise Denied(f"{name} cannot join: {why}.")
    role, token_id = tokens.check_role(token.role), token.token_id
    issued = frame.authority.sign_person(request.certificate_request_pem, role, name, _moment(now_unix_s))
    recorded = await frame.store.ask(
        lambda store: store.fleet.record_person(
            name, role, token_id=token_id, issued=issued, now_unix_s=now_unix_s
        )
    )
    if not recorded:
        raise Denied(f"{name} cannot join: the token was used before.")
    _log.info("%s joined as %s", name, role)
    return pb.EnrollPersonResponse(
        certificate_pem=issued.certificate_pem.decode(),
        ca_pem=frame.authority.ca_pem.decode(),
        fleet_id=frame.authority.fleet_id,
        role=role,
    )


async def renew(
    frame: Frame, device_id: str, serial: str, request: agents.RenewCertificateRequest
) -> agents.RenewCertificateResponse:
    """Certifies a device's new key; the certificate that asked stays valid until the new one is used.

    Raises:
        UsageError: it is too early.
        ProtocolError: the signing request is none.
    """
    now_unix_s = frame.clock()
    end_unix_s = await _end_of(frame, serial)
    due_unix_s = end_unix_s - _RENEWABLE_SHARE * AGENT_DAYS * 86400.0
    if now_unix_s < due_unix_s:
        days = (due_unix_s - now_unix_s) / 86400.0
        raise UsageError(f"The certificate of {device_id} can be renewed in {days:.1f} days, not before.")
    issued = frame.authority.sign_agent(request.certificate_request_pem, device_id, _moment(now_unix_s))
    await frame.store.ask(
        lambda store: store.fleet.renew_certificate(
            device_id, old_serial=serial, issued=issued, now_unix_s=now_unix_s
        )
    )
    _log.info("%s renewed its certificate", device_id)
    return agents.RenewCertificateResponse(certificate_pem=issued.certificate_pem.decode())


async def probe(frame: Frame, serial: str) -> agents.ProbeResponse:
    """Says who answers and what time it is; changes nothing."""
    return agents.ProbeResponse(
        controller_version=VERSION,
        fleet_id=frame.authority.fleet_id,
        protocol_major=PROTOCOL_MAJOR,
        protocol_minor=PROTOCOL_MINOR,
        answered_unix_ns=int(frame.clock() * 1e9),
        certificate_not_after_unix_s=await _end_of(frame, serial),
    )


async def revoke(frame: Frame, device_id: str, serial: str, reason: str) -> list[str]:
    """Ends certificates of a device at once, and its connection with them; returns their serials.

    Raises:
        UsageError: no reason is given.
        NotFoundError: there is no such device or certificate.
    """
    if not reason.strip():
        raise UsageError("A certificate is not revoked without a reason.", hint="add --reason TEXT")
    serials = await frame.store.ask(
        lambda store: store.fleet.revoke_device(
            device_id, serial, reason.strip()[:500], now_unix_s=frame.clock()
        )
    )
    frame.hub.drop(device_id)
    _log.warning("%s: %d certificates revoked: %s", device_id, len(serials), reason[:200])
    return serials


async def _end_of(frame: Frame, serial: str) -> float:
    return await frame.store.ask(lambda store: store.fleet.certificate_end_unix_s(serial))


def _moment(now_unix_s: float) -> datetime:
    return datetime.fromtimestamp(now_unix_s, timezone.utc)
