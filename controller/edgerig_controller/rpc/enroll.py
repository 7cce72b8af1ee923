"""EnrollService: a one-time token and a public key become a certificate.

The only service that callers without a certificate reach. It answers one
question, bounded in size, and says why when the answer is no.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import grpc.aio

from edgerig.v1 import enroll_service_pb2 as pb
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceServicer
from edgerig_controller.fleet import tokens
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.interceptors import Denied

_log = logging.getLogger(__name__)

_TOKEN_MAX_CHARS = 128


class EnrollService(EnrollServiceServicer):
    """Enrolls the devices of one fleet."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def Enroll(  # noqa: N802
        self,
        request: pb.EnrollRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> pb.EnrollResponse:
        frame = self._frame
        device_id = tokens.check_device_id(request.device_id)
        now_unix_s = frame.clock()
        stored = await frame.store.ask(lambda store: store.stored_tokens())
        token, why = tokens.find(stored, request.token[:_TOKEN_MAX_CHARS], device_id, now_unix_s)
        if token is None:
            raise Denied(f"Device {device_id} cannot be enrolled: {why}.")
        issued = frame.authority.sign_agent(
            request.certificate_request_pem, device_id, datetime.fromtimestamp(now_unix_s, timezone.utc)
        )
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
