"""What the agent asks of a controller, whoever stands for it: a link over gRPC, or a batch folder."""

from __future__ import annotations

from typing import Protocol

from edgerig.v1.agent_service_pb2 import (
    AcceptLeaseRequest,
    AcceptLeaseResponse,
    CommitResultRequest,
    CommitResultResponse,
    GetChunkRequest,
    GetChunkResponse,
    PutChunkRequest,
    PutChunkResponse,
    ReportInventoryRequest,
    ReportInventoryResponse,
    StartAttemptRequest,
    StartAttemptResponse,
    SyncRequest,
    SyncResponse,
)


class Controller(Protocol):
    """The unary calls of the controller, as `session.Link` makes them."""

    async def sync(self, request: SyncRequest) -> SyncResponse: ...

    async def accept_lease(self, request: AcceptLeaseRequest) -> AcceptLeaseResponse: ...

    async def start_attempt(self, request: StartAttemptRequest) -> StartAttemptResponse: ...

    async def commit_result(self, request: CommitResultRequest) -> CommitResultResponse: ...

    async def put_chunk(self, request: PutChunkRequest) -> PutChunkResponse: ...

    async def get_chunk(self, request: GetChunkRequest) -> GetChunkResponse: ...

    async def report_inventory(self, request: ReportInventoryRequest) -> ReportInventoryResponse: ...

    async def renew(self, attempt_id: str, epoch: int) -> None: ...

    def set_quiet(self, quiet: bool) -> None:
        """Says whether an attempt is measured: nothing is sent then."""
