"""Who is there when the fuzzer begins: people, two devices, and a study that both work on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc

from edgerig import documents
from edgerig.joining import new_key, signing_request
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.trial_pb2 import Trial
from edgerig_controller.fleet import identity, tokens
from edgerig_controller.rpc.frame import LOCAL_DEVICE, Frame
from edgerig_controller.store.repository import Repository
from edgerig_controller.study.prepared import Cell, DeviceSelector, PlannedTrial, Prediction, PreparedStudy

INTRUDER, VICTIM = "intruder", "victim"


class Refused(Exception):  # noqa: N818 - an answer
    """A call ended with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class Context:
    """What handlers see of a connection: the certificate that TLS would have verified."""

    def __init__(self, uri: str, certificate_pem: bytes) -> None:
        self._auth = {"peer_uri": [uri.encode()], "x509_pem_cert": [certificate_pem]} if uri else {}

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._auth

    def peer(self) -> str:
        return "ipv4:192.0.2.1:1"

    async def abort(self, code: grpc.StatusCode, details: str = "", _metadata: Any = ()) -> None:
        raise Refused(code, details)


@dataclass
class Population:
    """Everybody's connection, and what they hold. `words` are the ids and names that mean something here."""

    people: dict[str, Context] = field(default_factory=dict)
    devices: dict[str, Context] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    # The intruder's lease, and the victim's.
    leases: tuple[agents.Lease, ...] = ()


def populate(frame: Frame, store: Repository, now: float) -> Population:
    """Lets people and devices join, submits a study and gives each device a trial of it. `now` in Unix s."""
    found = Population(words=["", INTRUDER, VICTIM, frame.authority.fleet_id])
    _people(found, frame, store, now)
    _devices(found, frame, store, now)
    _study(found, frame, store, now)
    found.leases = tuple(_lease(found, store, device_id, now) for device_id in (INTRUDER, VICTIM))
    return found


def _people(found: Population, frame: Frame, store: Repository, now: float) -> None:
    for name in ("viewer", "operator"):
        role = tokens.check_role(name)
        store.fleet.add_person(
            name,
            role,
            token_sha256=f"{name:0<64}",
            expires_unix_s=now + 1e6,
            now_unix_s=now,
            replace=False,
        )
        issued = frame.authority.sign_person(signing_request(new_key(), name), role, name, identity.utc_now())
        token = next(item for item in store.fleet.person_tokens() if item.subject == name)
        store.fleet.record_person(name, role, token_id=token.token_id, issued=issued, now_unix_s=now)
        uri = f"edgerig://{frame.authority.fleet_id}/{role}/{name}"
        found.people[name] = Context(uri, issued.certificate_pem)


def _devices(found: Population, frame: Frame, store: Repository, now: float) -> None:
    # Submitting waits for what the local device is; an operator's input may have added one.
    store.add_device(LOCAL_DEVICE, [], token_sha256="2" * 64, expires_unix_s=now + 1e6, now_unix_s=now)
    store.store_facts(LOCAL_DEVICE, DeviceFacts(memory_bytes=2**33), now_unix_s=now)
    for name in (INTRUDER, VICTIM):
        store.add_device(name, ["lab"], token_sha256=f"{name:1<64}", expires_unix_s=now + 1e6, now_unix_s=now)
        issued = frame.authority.sign_agent(signing_request(new_key(), name), name, identity.utc_now())
        token = next(item for item in store.stored_tokens() if item.subject == name)
        store.record_certificate(
            name,
            token_id=token.token_id,
            serial=issued.serial,
            not_after_unix_s=issued.not_after_unix_s,
            now_unix_s=now,
        )
        store.store_facts(name, DeviceFacts(environment_digest="e" * 64, memory_bytes=2**33), now_unix_s=now)
        uri = f"edgerig://{frame.authority.fleet_id}/agent/{name}"
        found.devices[name] = Context(uri, issued.certificate_pem)
        found.words.append(issued.serial)


def _study(found: Population, frame: Frame, store: Repository, now: float) -> None:
    trials = []
    for seed in range(1, 9):
        trial = Trial(schema_version=1, seed=seed, repeat=1)
        trial.budgets.attempt.duration_s = 60
        trial.digest = documents.digest(documents.to_json(trial))
        trials.append(PlannedTrial(0, trial))
    unknown = Prediction(None, "unknown")
    blob = frame.blobs.put_bytes(b"a model's file")
    found.words.append(blob)
    prepared = PreparedStudy(
        name="fuzzed",
        digest="d" * 64,
        resolved={},
        source_yaml="",
        cells=(Cell(0, {"method": {"kind": "none"}}, "cell", unknown, unknown),),
        trials=tuple(trials),
        exclusions=(),
        devices=DeviceSelector(labels=("lab",)),
        blobs=frozenset({blob}),
    )
    row, _, _ = store.create_study(prepared, reuse=False, now_unix_s=now)
    found.words += [row.study_id, "fuzzed"]


def _lease(found: Population, store: Repository, device_id: str, now: float) -> agents.Lease:
    offer = store.sync(device_id, [], wants_work=True, now_unix_s=now).offer
    assert offer is not None
    lease = offer.lease
    store.accept_lease(device_id, lease.attempt_id, lease.epoch, now_unix_s=now)
    store.start_attempt(device_id, lease.attempt_id, lease.epoch, boot_id="b", quiet_s=60.0, now_unix_s=now)
    found.words.append(lease.attempt_id)
    return agents.Lease(attempt_id=lease.attempt_id, epoch=lease.epoch, ttl_s=90, trial=offer.trial)
