from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "fleet_id", "pid", "devices", "open_trial_count", "leader")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FLEET_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    OPEN_TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    version: str
    fleet_id: str
    pid: int
    devices: _containers.RepeatedCompositeFieldContainer[DeviceState]
    open_trial_count: int
    leader: str
    def __init__(self, version: _Optional[str] = ..., fleet_id: _Optional[str] = ..., pid: _Optional[int] = ..., devices: _Optional[_Iterable[_Union[DeviceState, _Mapping]]] = ..., open_trial_count: _Optional[int] = ..., leader: _Optional[str] = ...) -> None: ...

class DeviceState(_message.Message):
    __slots__ = ("device_id", "connected", "has_inventory", "enrolled")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    HAS_INVENTORY_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    connected: bool
    has_inventory: bool
    enrolled: bool
    def __init__(self, device_id: _Optional[str] = ..., connected: bool = ..., has_inventory: bool = ..., enrolled: bool = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("place", "message", "hint")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    place: str
    message: str
    hint: str
    def __init__(self, place: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class SubmitStudyRequest(_message.Message):
    __slots__ = ("yaml", "origin", "folder", "reuse", "priority")
    YAML_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    REUSE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    origin: str
    folder: str
    reuse: bool
    priority: int
    def __init__(self, yaml: _Optional[str] = ..., origin: _Optional[str] = ..., folder: _Optional[str] = ..., reuse: bool = ..., priority: _Optional[int] = ...) -> None: ...

class SubmitStudyResponse(_message.Message):
    __slots__ = ("study_id", "attached", "problems", "trial_count", "reused_count")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    REUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    attached: bool
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    trial_count: int
    reused_count: int
    def __init__(self, study_id: _Optional[str] = ..., attached: bool = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., trial_count: _Optional[int] = ..., reused_count: _Optional[int] = ...) -> None: ...

class WatchStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class WatchStudyResponse(_message.Message):
    __slots__ = ("study_id", "trial_count", "done_count", "running_count", "failed_count", "eta_s", "finished", "quiet", "current", "blocked_reason")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ETA_S_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    QUIET_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_REASON_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    trial_count: int
    done_count: int
    running_count: int
    failed_count: int
    eta_s: float
    finished: bool
    quiet: bool
    current: str
    blocked_reason: str
    def __init__(self, study_id: _Optional[str] = ..., trial_count: _Optional[int] = ..., done_count: _Optional[int] = ..., running_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., eta_s: _Optional[float] = ..., finished: bool = ..., quiet: bool = ..., current: _Optional[str] = ..., blocked_reason: _Optional[str] = ...) -> None: ...

class CancelStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class CancelStudyResponse(_message.Message):
    __slots__ = ("cancelled_count",)
    CANCELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    cancelled_count: int
    def __init__(self, cancelled_count: _Optional[int] = ...) -> None: ...

class ResumeStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class ResumeStudyResponse(_message.Message):
    __slots__ = ("requeued_count",)
    REQUEUED_COUNT_FIELD_NUMBER: _ClassVar[int]
    requeued_count: int
    def __init__(self, requeued_count: _Optional[int] = ...) -> None: ...

class DeleteStudyRequest(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class DeleteStudyResponse(_message.Message):
    __slots__ = ("freed_bytes",)
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    freed_bytes: int
    def __init__(self, freed_bytes: _Optional[int] = ...) -> None: ...

class CollectGarbageRequest(_message.Message):
    __slots__ = ("dry_run",)
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    def __init__(self, dry_run: bool = ...) -> None: ...

class CollectGarbageResponse(_message.Message):
    __slots__ = ("blob_count", "blob_bytes", "attempt_count", "attempt_bytes")
    BLOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOB_BYTES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_BYTES_FIELD_NUMBER: _ClassVar[int]
    blob_count: int
    blob_bytes: int
    attempt_count: int
    attempt_bytes: int
    def __init__(self, blob_count: _Optional[int] = ..., blob_bytes: _Optional[int] = ..., attempt_count: _Optional[int] = ..., attempt_bytes: _Optional[int] = ...) -> None: ...

class AddDeviceRequest(_message.Message):
    __slots__ = ("device_id", "labels", "ttl_s", "replace")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    ttl_s: float
    replace: bool
    def __init__(self, device_id: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., ttl_s: _Optional[float] = ..., replace: bool = ...) -> None: ...

class AddDeviceResponse(_message.Message):
    __slots__ = ("token", "ca_spki_sha256", "enroll_address", "agents_address")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CA_SPKI_SHA256_FIELD_NUMBER: _ClassVar[int]
    ENROLL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    token: str
    ca_spki_sha256: str
    enroll_address: str
    agents_address: str
    def __init__(self, token: _Optional[str] = ..., ca_spki_sha256: _Optional[str] = ..., enroll_address: _Optional[str] = ..., agents_address: _Optional[str] = ...) -> None: ...

class ShutdownRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShutdownResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
