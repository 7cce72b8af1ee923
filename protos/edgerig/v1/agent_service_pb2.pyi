from edgerig.v1 import attempt_pb2 as _attempt_pb2
from edgerig.v1 import device_pb2 as _device_pb2
from edgerig.v1 import trial_pb2 as _trial_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HeldState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HELD_STATE_UNSPECIFIED: _ClassVar[HeldState]
    HELD_STATE_ACCEPTED: _ClassVar[HeldState]
    HELD_STATE_STARTING: _ClassVar[HeldState]
    HELD_STATE_RUNNING: _ClassVar[HeldState]
    HELD_STATE_FINISHED: _ClassVar[HeldState]
    HELD_STATE_REBOOTING: _ClassVar[HeldState]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_CONTINUE: _ClassVar[Verdict]
    VERDICT_CANCEL: _ClassVar[Verdict]
    VERDICT_SEND: _ClassVar[Verdict]
    VERDICT_ALREADY_HAVE: _ClassVar[Verdict]
    VERDICT_DISCARD: _ClassVar[Verdict]

class CommitOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMIT_OUTCOME_UNSPECIFIED: _ClassVar[CommitOutcome]
    COMMIT_OUTCOME_CANONICAL: _ClassVar[CommitOutcome]
    COMMIT_OUTCOME_SUPERSEDED: _ClassVar[CommitOutcome]
    COMMIT_OUTCOME_ALREADY_HAVE: _ClassVar[CommitOutcome]
    COMMIT_OUTCOME_CONFLICT: _ClassVar[CommitOutcome]
    COMMIT_OUTCOME_INCOMPLETE: _ClassVar[CommitOutcome]
    COMMIT_OUTCOME_DISCARDED: _ClassVar[CommitOutcome]
HELD_STATE_UNSPECIFIED: HeldState
HELD_STATE_ACCEPTED: HeldState
HELD_STATE_STARTING: HeldState
HELD_STATE_RUNNING: HeldState
HELD_STATE_FINISHED: HeldState
HELD_STATE_REBOOTING: HeldState
VERDICT_UNSPECIFIED: Verdict
VERDICT_CONTINUE: Verdict
VERDICT_CANCEL: Verdict
VERDICT_SEND: Verdict
VERDICT_ALREADY_HAVE: Verdict
VERDICT_DISCARD: Verdict
COMMIT_OUTCOME_UNSPECIFIED: CommitOutcome
COMMIT_OUTCOME_CANONICAL: CommitOutcome
COMMIT_OUTCOME_SUPERSEDED: CommitOutcome
COMMIT_OUTCOME_ALREADY_HAVE: CommitOutcome
COMMIT_OUTCOME_CONFLICT: CommitOutcome
COMMIT_OUTCOME_INCOMPLETE: CommitOutcome
COMMIT_OUTCOME_DISCARDED: CommitOutcome

class Hello(_message.Message):
    __slots__ = ("protocol_major", "protocol_minor", "agent_version", "boot_id", "session_epoch", "capabilities")
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    protocol_major: int
    protocol_minor: int
    agent_version: str
    boot_id: str
    session_epoch: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., agent_version: _Optional[str] = ..., boot_id: _Optional[str] = ..., session_epoch: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("hello", "renew")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    renew: Renew
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., renew: _Optional[_Union[Renew, _Mapping]] = ...) -> None: ...

class Renew(_message.Message):
    __slots__ = ("attempt_id", "epoch")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    epoch: int
    def __init__(self, attempt_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("welcome", "wake", "cancel", "goodbye")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    WAKE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    wake: Wake
    cancel: Cancel
    goodbye: Goodbye
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., wake: _Optional[_Union[Wake, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol_major", "protocol_minor", "controller_version", "fleet_id", "capabilities")
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_VERSION_FIELD_NUMBER: _ClassVar[int]
    FLEET_ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    protocol_major: int
    protocol_minor: int
    controller_version: str
    fleet_id: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., controller_version: _Optional[str] = ..., fleet_id: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class Wake(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("attempt_id", "reason")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    reason: str
    def __init__(self, attempt_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("agent_may_exit",)
    AGENT_MAY_EXIT_FIELD_NUMBER: _ClassVar[int]
    agent_may_exit: bool
    def __init__(self, agent_may_exit: bool = ...) -> None: ...

class HeldAttempt(_message.Message):
    __slots__ = ("attempt_id", "epoch", "state", "back_s")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BACK_S_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    epoch: int
    state: HeldState
    back_s: float
    def __init__(self, attempt_id: _Optional[str] = ..., epoch: _Optional[int] = ..., state: _Optional[_Union[HeldState, str]] = ..., back_s: _Optional[float] = ...) -> None: ...

class SyncRequest(_message.Message):
    __slots__ = ("request_id", "boot_id", "held", "wants_work", "disk_free_bytes", "no_work_reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    WANTS_WORK_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NO_WORK_REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    boot_id: str
    held: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    wants_work: bool
    disk_free_bytes: int
    no_work_reason: str
    def __init__(self, request_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., held: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., wants_work: bool = ..., disk_free_bytes: _Optional[int] = ..., no_work_reason: _Optional[str] = ...) -> None: ...

class HeldVerdict(_message.Message):
    __slots__ = ("attempt_id", "verdict", "reason")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    verdict: Verdict
    reason: str
    def __init__(self, attempt_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("attempt_id", "epoch", "ttl_s", "trial")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    epoch: int
    ttl_s: float
    trial: _trial_pb2.Trial
    def __init__(self, attempt_id: _Optional[str] = ..., epoch: _Optional[int] = ..., ttl_s: _Optional[float] = ..., trial: _Optional[_Union[_trial_pb2.Trial, _Mapping]] = ...) -> None: ...

class SyncResponse(_message.Message):
    __slots__ = ("request_id", "verdicts", "offer", "attempt_quota_bytes", "controllers")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTROLLERS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    verdicts: _containers.RepeatedCompositeFieldContainer[HeldVerdict]
    offer: Lease
    attempt_quota_bytes: int
    controllers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., verdicts: _Optional[_Iterable[_Union[HeldVerdict, _Mapping]]] = ..., offer: _Optional[_Union[Lease, _Mapping]] = ..., attempt_quota_bytes: _Optional[int] = ..., controllers: _Optional[_Iterable[str]] = ...) -> None: ...

class AcceptLeaseRequest(_message.Message):
    __slots__ = ("attempt_id", "epoch")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    epoch: int
    def __init__(self, attempt_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class AcceptLeaseResponse(_message.Message):
    __slots__ = ("granted", "reason")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    reason: str
    def __init__(self, granted: bool = ..., reason: _Optional[str] = ...) -> None: ...

class StartAttemptRequest(_message.Message):
    __slots__ = ("attempt_id", "epoch", "boot_id", "quiet_s")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    QUIET_S_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    epoch: int
    boot_id: str
    quiet_s: float
    def __init__(self, attempt_id: _Optional[str] = ..., epoch: _Optional[int] = ..., boot_id: _Optional[str] = ..., quiet_s: _Optional[float] = ...) -> None: ...

class StartAttemptResponse(_message.Message):
    __slots__ = ("verdict", "reason")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    reason: str
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class CommitResultRequest(_message.Message):
    __slots__ = ("attempt_id", "epoch", "kind", "sha256", "manifest", "result")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    epoch: int
    kind: str
    sha256: str
    manifest: _attempt_pb2.Manifest
    result: _attempt_pb2.AttemptResult
    def __init__(self, attempt_id: _Optional[str] = ..., epoch: _Optional[int] = ..., kind: _Optional[str] = ..., sha256: _Optional[str] = ..., manifest: _Optional[_Union[_attempt_pb2.Manifest, _Mapping]] = ..., result: _Optional[_Union[_attempt_pb2.AttemptResult, _Mapping]] = ...) -> None: ...

class CommitResultResponse(_message.Message):
    __slots__ = ("outcome", "missing_sha256", "reason")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MISSING_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    outcome: CommitOutcome
    missing_sha256: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, outcome: _Optional[_Union[CommitOutcome, str]] = ..., missing_sha256: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class PutChunkRequest(_message.Message):
    __slots__ = ("attempt_id", "sha256", "size_bytes", "offset_bytes", "data")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    sha256: str
    size_bytes: int
    offset_bytes: int
    data: bytes
    def __init__(self, attempt_id: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., offset_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutChunkResponse(_message.Message):
    __slots__ = ("stored_bytes", "complete")
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    stored_bytes: int
    complete: bool
    def __init__(self, stored_bytes: _Optional[int] = ..., complete: bool = ...) -> None: ...

class GetChunkRequest(_message.Message):
    __slots__ = ("sha256", "offset_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    offset_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., offset_bytes: _Optional[int] = ...) -> None: ...

class GetChunkResponse(_message.Message):
    __slots__ = ("data", "size_bytes")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    size_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ReportInventoryRequest(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _device_pb2.DeviceFacts
    def __init__(self, facts: _Optional[_Union[_device_pb2.DeviceFacts, _Mapping]] = ...) -> None: ...

class ReportInventoryResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewCertificateRequest(_message.Message):
    __slots__ = ("certificate_request_pem",)
    CERTIFICATE_REQUEST_PEM_FIELD_NUMBER: _ClassVar[int]
    certificate_request_pem: str
    def __init__(self, certificate_request_pem: _Optional[str] = ...) -> None: ...

class RenewCertificateResponse(_message.Message):
    __slots__ = ("certificate_pem",)
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: str
    def __init__(self, certificate_pem: _Optional[str] = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProbeResponse(_message.Message):
    __slots__ = ("controller_version", "fleet_id", "protocol_major", "protocol_minor", "answered_unix_ns", "certificate_not_after_unix_s")
    CONTROLLER_VERSION_FIELD_NUMBER: _ClassVar[int]
    FLEET_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NOT_AFTER_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    controller_version: str
    fleet_id: str
    protocol_major: int
    protocol_minor: int
    answered_unix_ns: int
    certificate_not_after_unix_s: float
    def __init__(self, controller_version: _Optional[str] = ..., fleet_id: _Optional[str] = ..., protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., answered_unix_ns: _Optional[int] = ..., certificate_not_after_unix_s: _Optional[float] = ...) -> None: ...
