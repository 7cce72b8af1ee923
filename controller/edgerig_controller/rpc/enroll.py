"""EnrollService: a one-time token and a public key become a certificate.

The only service that callers without a certificate reach. It answers two
questions, bounded in size, and says why when the answer is no.
"""

from __future__ import annotations

from typing import Any

import grpc.aio

from edgerig.v1 import enroll_service_pb2 as pb
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceServicer
from edgerig_controller.rpc import certificates
from edgerig_controller.rpc.frame import Frame

Context = grpc.aio.ServicerContext[Any, Any]


class EnrollService(EnrollServiceServicer):
    """Enrolls the devices and the people of one fleet."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def Enroll(
        self,
        request: pb.EnrollRequest,
        context: Context,
    ) -> pb.EnrollResponse:
        return await certificates.enroll_device(self._frame, request)

    async def EnrollPerson(
        self,
        request: pb.EnrollPersonRequest,
        context: Context,
    ) -> pb.EnrollPersonResponse:
        return await certificates.enroll_person(self._frame, request)
