"""Honest messages, from which the others are made."""

from __future__ import annotations

import hashlib

from google.protobuf.message import Message

from bench.fuzz.population import INTRUDER, Population
from edgerig import documents
from edgerig.joining import new_key, signing_request
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import attempt_pb2
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig.v1.device_pb2 import DeviceFacts, Sensor
from edgerig.v1.trial_pb2 import FileRef
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.fleet import tokens


def honest(population: Population, blobs: BlobStore) -> list[Message]:
    """Honest messages, of the intruder's own attempt and of the victim's."""
    messages: list[Message] = []
    request_pem = signing_request(new_key(), INTRUDER)
    for lease in population.leases:
        attempt_id, epoch = lease.attempt_id, lease.epoch
        held = agents.HeldAttempt(attempt_id=attempt_id, epoch=epoch, state=agents.HELD_STATE_RUNNING)
        content = b"line\n"
        sha256 = hashlib.sha256(content).hexdigest()
        population.words.append(sha256)
        messages += [
            agents.SyncRequest(request_id="r", boot_id="b", held=[held], wants_work=True),
            agents.AcceptLeaseRequest(attempt_id=attempt_id, epoch=epoch),
            agents.StartAttemptRequest(attempt_id=attempt_id, epoch=epoch, boot_id="b", quiet_s=60),
            agents.PutChunkRequest(
                attempt_id=attempt_id, sha256=sha256, size_bytes=len(content), data=content
            ),
            _commit(lease, blobs),
            fleet.FollowAttemptRequest(attempt_id=attempt_id),
        ]
    sensor = Sensor(source="rapl:package-0", quantity="energy_j", boundary=attempt_pb2.BOUNDARY_CPU_PKG)
    facts = DeviceFacts(hostname="h", memory_bytes=2**33, sensors=[sensor], environment_digest="e" * 64)
    declared = fleet.DeclaredDevice(device_id="declared", labels=["lab"], memory_bytes=2**33)
    hold = fleet.DEVICE_MODE_HOLD
    messages += [
        agents.GetChunkRequest(sha256=population.words[-1]),
        agents.ReportInventoryRequest(facts=facts),
        agents.RenewCertificateRequest(certificate_request_pem=request_pem),
        enrolling.EnrollRequest(
            device_id=INTRUDER, token=tokens.new_token(), certificate_request_pem=request_pem
        ),
        enrolling.EnrollPersonRequest(
            name="viewer", token=tokens.new_token(), certificate_request_pem=request_pem
        ),
        control.SubmitStudyRequest(yaml="edgerig: 1\nname: x\n", origin="s.yaml", folder="/tmp"),
        control.CancelStudyRequest(study_id="other"),
        control.ResumeStudyRequest(study_id="other"),
        control.DeleteStudyRequest(study_id="other"),
        control.AddDeviceRequest(device_id="fresh", labels=["lab"], ttl_s=60),
        fleet.SetDeviceModeRequest(device_id=INTRUDER, mode=hold, reason="r", for_s=60),
        fleet.RevokeDeviceRequest(device_id="fresh", reason="r"),
        fleet.ResetHealthRequest(device_id=INTRUDER),
        fleet.GetHealthRequest(device_id=INTRUDER),
        fleet.ApplyInventoryRequest(devices=[declared]),
        fleet.AddPersonRequest(name="guest", role="viewer", ttl_s=60),
        fleet.RevokePersonRequest(name="guest"),
        fleet.ListAuditRequest(limit=10),
    ]
    return messages


def _commit(lease: agents.Lease, blobs: BlobStore) -> agents.CommitResultRequest:
    result = attempt_pb2.AttemptResult(
        attempt_id=lease.attempt_id,
        trial_digest=lease.trial.digest,
        status=attempt_pb2.STATUS_OK,
        quality=0.5,
        measurements=[attempt_pb2.Measurement(name="ttft_s", statistic="p50", value=0.1)],
    )
    files = {
        "result.json": documents.canonical_bytes(documents.to_json(result)),
        "scores.jsonl": b'{"item_id":"i","score":0.5}\n',
    }
    manifest = attempt_pb2.Manifest(
        attempt_id=lease.attempt_id,
        files=[
            FileRef(path=path, sha256=blobs.put_bytes(data), size_bytes=len(data))
            for path, data in files.items()
        ],
    )
    return agents.CommitResultRequest(
        attempt_id=lease.attempt_id,
        epoch=lease.epoch,
        kind="attempt",
        sha256=documents.digest(documents.to_json(manifest)),
        manifest=manifest,
        result=result,
    )
