"""Devices, tokens and certificates in the store."""

from __future__ import annotations

from edgerig.v1.fleet_service_pb2 import DeclaredDevice
from edgerig_controller.fleet.identity import Issued
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import T0, add_device, create, study, take


def fault(repository: Repository, serial: str, device_id: str) -> str:
    return repository.fleet.certificate_fault(serial, device_id, now_unix_s=T0)


def test_a_device_is_listed_with_labels_and_facts(repository: Repository) -> None:
    add_device(repository, "orin", labels=["lab", "orin"])
    rows = {row.device_id: row for row in repository.devices()}
    assert rows["orin"].labels == ("lab", "orin")
    assert rows["orin"].enrolled
    assert rows["orin"].facts is not None


def test_a_device_that_was_only_added_is_not_enrolled(repository: Repository) -> None:
    repository.add_device("nano", [], token_sha256="t", expires_unix_s=T0, now_unix_s=T0)
    row = next(row for row in repository.devices() if row.device_id == "nano")
    assert (row.enrolled, row.facts) == (False, None)


def test_a_new_token_replaces_the_unused_one(repository: Repository) -> None:
    for token in ("first", "second"):
        repository.add_device("nano", [], token_sha256=token, expires_unix_s=T0, now_unix_s=T0)
    assert [item.sha256 for item in repository.stored_tokens() if item.subject == "nano"] == ["second"]


def test_a_token_certifies_once(repository: Repository) -> None:
    repository.add_device("nano", [], token_sha256="t", expires_unix_s=T0, now_unix_s=T0)
    token_id = next(item.token_id for item in repository.stored_tokens() if item.sha256 == "t")

    def certify(serial: str) -> bool:
        return repository.record_certificate(
            "nano", token_id=token_id, serial=serial, not_after_unix_s=T0 + 1, now_unix_s=T0
        )

    assert certify("s1")
    assert not certify("s2")
    assert fault(repository, "s1", "nano") == ""
    assert fault(repository, "s2", "nano")
    assert fault(repository, "s1", "orin")


def test_a_new_certificate_ends_the_older_one(repository: Repository) -> None:
    repository.add_device("local", [], token_sha256="again", expires_unix_s=T0, now_unix_s=T0, replace=True)
    token_id = next(item.token_id for item in repository.stored_tokens() if item.sha256 == "again")
    repository.record_certificate(
        "local", token_id=token_id, serial="s2", not_after_unix_s=T0 + 1, now_unix_s=T0
    )
    assert fault(repository, "local-1", "local")
    assert fault(repository, "s2", "local") == ""


def test_only_blobs_of_an_open_attempts_study_may_be_read(repository: Repository) -> None:
    create(repository, study(blobs=frozenset({"b" * 64})))
    assert not repository.may_read_blob("local", "b" * 64)
    take(repository)
    assert repository.may_read_blob("local", "b" * 64)
    assert not repository.may_read_blob("local", "c" * 64)
    assert not repository.may_read_blob("orin", "b" * 64)


def test_a_token_is_found_by_its_hash_alone(repository: Repository) -> None:
    for name in ("nano", "orin"):
        repository.add_device(name, [], token_sha256=f"t-{name}", expires_unix_s=T0, now_unix_s=T0)
    assert [item.subject for item in repository.stored_tokens("t-orin")] == ["orin"]
    assert repository.stored_tokens("t-unknown") == []


def declare(repository: Repository, device_id: str, *labels: str) -> None:
    device = DeclaredDevice(device_id=device_id, labels=labels)
    repository.fleet.apply_inventory([device], prune=False, dry_run=False, by="", now_unix_s=T0)


def labels_of(repository: Repository, device_id: str) -> tuple[str, ...]:
    return next(row.labels for row in repository.devices() if row.device_id == device_id)


def test_a_new_token_without_labels_keeps_those_that_are_declared(repository: Repository) -> None:
    declare(repository, "local", "lab", "orin")
    repository.add_device("local", [], token_sha256="n", expires_unix_s=T0 + 10, now_unix_s=T0, replace=True)
    assert labels_of(repository, "local") == ("lab", "orin")


def test_an_inventory_that_says_the_same_restores_the_labels(repository: Repository) -> None:
    declare(repository, "local", "lab")
    repository.add_device(
        "local", ["desk"], token_sha256="n", expires_unix_s=T0 + 10, now_unix_s=T0, replace=True
    )
    assert labels_of(repository, "local") == ("desk",)
    declare(repository, "local", "lab")
    assert labels_of(repository, "local") == ("lab",)


def test_a_certificate_that_was_replaced_still_vouches_for_what_it_signed(repository: Repository) -> None:
    fleet = repository.fleet
    issued = Issued(certificate_pem=b"", serial="local-2", not_after_unix_s=T0 + 1e7)
    fleet.renew_certificate("local", old_serial="local-1", issued=issued, now_unix_s=T0 + 1)
    assert fleet.retire_older("local", "local-2", now_unix_s=T0 + 2) == 1
    assert "revoked" in fault(repository, "local-1", "local")
    assert fleet.signature_fault("local-1", "local") == ""
    assert fleet.signature_fault("local-1", "orin") != ""
    # Until a person says that the device is not to be trusted.
    assert fleet.revoke_device("local", "", "stolen", now_unix_s=T0 + 3) == ["local-2"]
    assert "stolen" in fleet.signature_fault("local-1", "local")
    assert "stolen" in fleet.signature_fault("local-2", "local")


def test_one_that_was_replaced_can_be_revoked_by_itself(repository: Repository) -> None:
    fleet = repository.fleet
    repository.add_device("local", [], token_sha256="n", expires_unix_s=T0 + 10, now_unix_s=T0, replace=True)
    token = next(item for item in repository.stored_tokens() if item.sha256 == "n")
    repository.record_certificate(
        "local", token_id=token.token_id, serial="local-2", not_after_unix_s=T0 + 1e7, now_unix_s=T0 + 1
    )
    assert fleet.signature_fault("local-1", "local") == ""
    assert fleet.revoke_device("local", "local-1", "its card was lost", now_unix_s=T0 + 3) == ["local-1"]
    assert "its card was lost" in fleet.signature_fault("local-1", "local")
    assert fault(repository, "local-2", "local") == ""
