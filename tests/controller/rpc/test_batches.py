"""BatchService over real mTLS: whose signature counts when results are carried here."""

from __future__ import annotations

import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgerig import documents
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import batch_service_pb2 as pb
from edgerig.v1.batch_service_pb2_grpc import BatchServiceStub
from edgerig_controller.fleet.identity import KeyPair
from tests.controller.rpc.rig import PATIENCE_S, Rig, outcome_of
from tests.controller.store.building import study


async def carried(rig: Rig, pair: KeyPair) -> pb.ImportBatchResultRequest:
    """Makes what a person brings back: a result of a batch, signed by the device."""
    study_id = await rig.store_study(study(cells=1, seeds=(1,)))
    made = await rig.frame.store.ask(
        lambda store: store.batches.make(study_id, "local", limit=1, now_unix_s=rig.clock())
    )
    offer = made.offers[0]
    lease = agents.Lease(attempt_id=offer.lease.attempt_id, epoch=offer.lease.epoch, trial=offer.trial)
    outcome = outcome_of(lease)
    for data in outcome.contents.values():
        rig.frame.blobs.put_bytes(data)
    text = documents.canonical_bytes(documents.to_json(outcome.request))
    key = serialization.load_pem_private_key(pair.key_pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return pb.ImportBatchResultRequest(
        commit_json=text,
        certificate_pem=pair.certificate_pem.decode(),
        signature=key.sign(text, ec.ECDSA(hashes.SHA256())),
    )


async def test_a_device_that_was_enrolled_anew_has_not_lost_what_it_measured_before(rig: Rig) -> None:
    request = await carried(rig, await rig.enrolled())
    await rig.enrolled(replace=True)
    async with rig.channel(rig.listeners.control_port, rig.operator()) as channel:
        response = await BatchServiceStub(channel).ImportBatchResult(request, timeout=PATIENCE_S)
    assert response.commit.outcome == agents.COMMIT_OUTCOME_CANONICAL


async def test_what_a_revoked_device_has_signed_counts_for_nothing(rig: Rig) -> None:
    request = await carried(rig, await rig.enrolled())
    await rig.enrolled(replace=True)
    await rig.frame.store.ask(
        lambda store: store.fleet.revoke_device("local", "", "stolen", now_unix_s=rig.clock())
    )
    async with rig.channel(rig.listeners.control_port, rig.operator()) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="stolen") as caught:
            await BatchServiceStub(channel).ImportBatchResult(request, timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
