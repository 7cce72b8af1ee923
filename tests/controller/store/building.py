"""Small studies, results and a repository on a real file, for tests of the store and of the services."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

from edgerig import documents
from edgerig.v1 import attempt_pb2
from edgerig.v1.attempt_pb2 import AttemptResult, ItemScore, Manifest, Measurement
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.trial_pb2 import FileRef, Trial
from edgerig_controller.store.leases import Offer
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.results import Submission
from edgerig_controller.study.prepared import (
    Cell,
    DeviceSelector,
    Exclusion,
    PlannedTrial,
    Prediction,
    PreparedStudy,
)

T0 = 1_000_000.0
ENVIRONMENT = "e" * 64
UNKNOWN = Prediction(None, "unknown")


def trial_of(cell: int, seed: int, repeat: int = 1, *, salt: str = "") -> Trial:
    trial = Trial(schema_version=1, seed=seed, repeat=repeat, dtype=f"cell{cell}{salt}")
    trial.budgets.attempt.duration_s = 120
    trial.digest = documents.digest(documents.to_json(trial))
    return trial


def study(
    name: str = "quick",
    *,
    cells: int = 2,
    seeds: Sequence[int] = (1, 2),
    labels: tuple[str, ...] = ("local",),
    names: tuple[str, ...] = (),
    unfit: dict[int, str] | None = None,
    blobs: frozenset[str] = frozenset(),
    salt: str = "",
) -> PreparedStudy:
    """Makes a study; `name` makes its digest, `salt` that of its trials."""
    resolved: dict[str, Any] = {"name": name, "cells": cells, "seeds": list(seeds), "salt": salt}
    return PreparedStudy(
        name=name,
        digest=documents.digest(resolved),
        resolved=resolved,
        source_yaml=f"name: {name}\n",
        cells=tuple(
            Cell(
                index,
                {"method": {"kind": f"m{index}"}},
                f"cell {index}",
                UNKNOWN,
                UNKNOWN,
                (unfit or {}).get(index, ""),
            )
            for index in range(cells)
        ),
        trials=tuple(
            PlannedTrial(cell, trial_of(cell, seed, salt=salt)) for cell in range(cells) for seed in seeds
        ),
        exclusions=(Exclusion({"method": "x"}, "why", "study"),),
        devices=DeviceSelector(names=names, labels=labels),
        blobs=blobs,
        claims=({"id": "c"},),
    )


def add_device(
    repository: Repository,
    device_id: str = "local",
    *,
    environment: str = ENVIRONMENT,
    labels: Sequence[str] = (),
) -> None:
    """Makes a device known, enrolled and with facts."""
    token = hashlib.sha256(device_id.encode()).hexdigest()
    repository.add_device(device_id, list(labels), token_sha256=token, expires_unix_s=T0 + 1e6, now_unix_s=T0)
    token_id = next(item.token_id for item in repository.stored_tokens() if item.sha256 == token)
    repository.record_certificate(
        device_id, token_id=token_id, serial=f"{device_id}-1", not_after_unix_s=T0 + 1e7, now_unix_s=T0
    )
    facts = DeviceFacts(environment_digest=environment, memory_bytes=8 * 2**30)
    repository.store_facts(device_id, facts, now_unix_s=T0)


def create(repository: Repository, prepared: PreparedStudy, *, reuse: bool = True, now: float = T0) -> str:
    row, _, _ = repository.create_study(prepared, reuse=reuse, now_unix_s=now)
    return row.study_id


def take(repository: Repository, device_id: str = "local", *, now: float = T0) -> Offer:
    """Syncs, accepts and starts: the device now runs what was offered."""
    synced = repository.sync(device_id, [], wants_work=True, now_unix_s=now)
    assert synced.offer is not None
    lease = synced.offer.lease
    order = repository.accept_lease(device_id, lease.attempt_id, lease.epoch, now_unix_s=now)
    assert order.verdict == "continue"
    start(repository, synced.offer, device_id, now=now)
    return synced.offer


def start(repository: Repository, offer: Offer, device_id: str = "local", *, now: float = T0) -> str:
    order, _ = repository.start_attempt(
        device_id, offer.lease.attempt_id, offer.lease.epoch, boot_id="boot", quiet_s=60, now_unix_s=now
    )
    return order.verdict


def result_of(offer: Offer, *, failure: str = "", quality: float = 0.5) -> AttemptResult:
    result = AttemptResult(
        attempt_id=offer.lease.attempt_id,
        trial_digest=offer.trial.digest,
        status=attempt_pb2.STATUS_FAILED if failure else attempt_pb2.STATUS_OK,
        environment_digest=ENVIRONMENT,
        begin_mono_ns=1_000_000_000,
        end_mono_ns=3_500_000_000,
        item_count=2,
        flags=["indicative"],
        measurements=[
            Measurement(
                name="ttft_s", phase=attempt_pb2.PHASE_INFERENCE, statistic="p50", value=0.1, source="worker"
            ),
            Measurement(name="energy_j", phase=attempt_pb2.PHASE_TRAIN, unavailable_reason="no sensor"),
        ],
    )
    if failure:
        number = attempt_pb2.FailureClass.Value(f"FAILURE_CLASS_{failure.upper()}")
        result.failure_class = cast("attempt_pb2.FailureClass", number)
    else:
        result.quality = quality
    return result


def submission_of(
    offer: Offer,
    *,
    device_id: str = "local",
    failure: str = "",
    quality: float = 0.5,
    scores: int = 2,
    files: Sequence[FileRef] = (),
) -> Submission:
    result = result_of(offer, failure=failure, quality=quality)
    digest = documents.digest(documents.to_json(result))
    manifest = Manifest(
        attempt_id=offer.lease.attempt_id,
        files=[FileRef(path="result.json", sha256=digest, size_bytes=10), *files],
    )
    return Submission(
        device_id,
        offer.lease.attempt_id,
        offer.lease.epoch,
        "attempt",
        documents.digest(documents.to_json(manifest)),
        manifest,
        result,
        [ItemScore(item_id=f"i{index}", user_id="u", score=quality) for index in range(scores)],
    )


def finish(repository: Repository, offer: Offer, *, failure: str = "", now: float = T0 + 10) -> str:
    return repository.commit_result(submission_of(offer, failure=failure), now_unix_s=now).outcome


def run_all(repository: Repository, *, failure: str = "", now: float = T0) -> list[Offer]:
    """Runs trials on the local device until it is offered none."""
    offers = []
    while repository.sync("local", [], wants_work=True, now_unix_s=now).offer is not None:
        offers.append(take(repository, now=now))
        finish(repository, offers[-1], failure=failure, now=now + 5)
    return offers
