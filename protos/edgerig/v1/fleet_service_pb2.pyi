from edgerig.v1 import device_pb2 as _device_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceActivity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_ACTIVITY_UNSPECIFIED: _ClassVar[DeviceActivity]
    DEVICE_ACTIVITY_NOT_ENROLLED: _ClassVar[DeviceActivity]
    DEVICE_ACTIVITY_OFFLINE: _ClassVar[DeviceActivity]
    DEVICE_ACTIVITY_IDLE: _ClassVar[DeviceActivity]
    DEVICE_ACTIVITY_BUSY: _ClassVar[DeviceActivity]

class DeviceHealth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_HEALTH_UNSPECIFIED: _ClassVar[DeviceHealth]
    DEVICE_HEALTH_UNKNOWN: _ClassVar[DeviceHealth]
    DEVICE_HEALTH_GOOD: _ClassVar[DeviceHealth]
    DEVICE_HEALTH_QUARANTINED: _ClassVar[DeviceHealth]

class DeviceMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_MODE_UNSPECIFIED: _ClassVar[DeviceMode]
    DEVICE_MODE_ACTIVE: _ClassVar[DeviceMode]
    DEVICE_MODE_DRAIN: _ClassVar[DeviceMode]
    DEVICE_MODE_MAINTENANCE: _ClassVar[DeviceMode]
    DEVICE_MODE_HOLD: _ClassVar[DeviceMode]
DEVICE_ACTIVITY_UNSPECIFIED: DeviceActivity
DEVICE_ACTIVITY_NOT_ENROLLED: DeviceActivity
DEVICE_ACTIVITY_OFFLINE: DeviceActivity
DEVICE_ACTIVITY_IDLE: DeviceActivity
DEVICE_ACTIVITY_BUSY: DeviceActivity
DEVICE_HEALTH_UNSPECIFIED: DeviceHealth
DEVICE_HEALTH_UNKNOWN: DeviceHealth
DEVICE_HEALTH_GOOD: DeviceHealth
DEVICE_HEALTH_QUARANTINED: DeviceHealth
DEVICE_MODE_UNSPECIFIED: DeviceMode
DEVICE_MODE_ACTIVE: DeviceMode
DEVICE_MODE_DRAIN: DeviceMode
DEVICE_MODE_MAINTENANCE: DeviceMode
DEVICE_MODE_HOLD: DeviceMode

class FleetDevice(_message.Message):
    __slots__ = ("device_id", "labels", "activity", "current", "health", "health_reason", "mode", "mode_owner", "mode_reason", "mode_until_unix_s", "blocked_reason", "machine", "memory_bytes", "agent_version", "certificate_not_after_unix_s", "eta_s", "queued_trial_count")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HEALTH_REASON_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_OWNER_FIELD_NUMBER: _ClassVar[int]
    MODE_REASON_FIELD_NUMBER: _ClassVar[int]
    MODE_UNTIL_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_REASON_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NOT_AFTER_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    ETA_S_FIELD_NUMBER: _ClassVar[int]
    QUEUED_TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    activity: DeviceActivity
    current: str
    health: DeviceHealth
    health_reason: str
    mode: DeviceMode
    mode_owner: str
    mode_reason: str
    mode_until_unix_s: float
    blocked_reason: str
    machine: str
    memory_bytes: int
    agent_version: str
    certificate_not_after_unix_s: float
    eta_s: float
    queued_trial_count: int
    def __init__(self, device_id: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., activity: _Optional[_Union[DeviceActivity, str]] = ..., current: _Optional[str] = ..., health: _Optional[_Union[DeviceHealth, str]] = ..., health_reason: _Optional[str] = ..., mode: _Optional[_Union[DeviceMode, str]] = ..., mode_owner: _Optional[str] = ..., mode_reason: _Optional[str] = ..., mode_until_unix_s: _Optional[float] = ..., blocked_reason: _Optional[str] = ..., machine: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., agent_version: _Optional[str] = ..., certificate_not_after_unix_s: _Optional[float] = ..., eta_s: _Optional[float] = ..., queued_trial_count: _Optional[int] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[FleetDevice]
    def __init__(self, devices: _Optional[_Iterable[_Union[FleetDevice, _Mapping]]] = ...) -> None: ...

class SetDeviceModeRequest(_message.Message):
    __slots__ = ("device_id", "mode", "reason", "for_s", "force")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    mode: DeviceMode
    reason: str
    for_s: float
    force: bool
    def __init__(self, device_id: _Optional[str] = ..., mode: _Optional[_Union[DeviceMode, str]] = ..., reason: _Optional[str] = ..., for_s: _Optional[float] = ..., force: bool = ...) -> None: ...

class SetDeviceModeResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: FleetDevice
    def __init__(self, device: _Optional[_Union[FleetDevice, _Mapping]] = ...) -> None: ...

class RevokeDeviceRequest(_message.Message):
    __slots__ = ("device_id", "serial", "reason")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    serial: str
    reason: str
    def __init__(self, device_id: _Optional[str] = ..., serial: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeDeviceResponse(_message.Message):
    __slots__ = ("serials",)
    SERIALS_FIELD_NUMBER: _ClassVar[int]
    serials: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, serials: _Optional[_Iterable[str]] = ...) -> None: ...

class ResetHealthRequest(_message.Message):
    __slots__ = ("device_id", "rebaseline")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    REBASELINE_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    rebaseline: bool
    def __init__(self, device_id: _Optional[str] = ..., rebaseline: bool = ...) -> None: ...

class ResetHealthResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunGoldenRequest(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...

class RunGoldenResponse(_message.Message):
    __slots__ = ("study_id",)
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    def __init__(self, study_id: _Optional[str] = ...) -> None: ...

class HealthPoint(_message.Message):
    __slots__ = ("at_unix_s", "attempt_id", "figure", "source", "value", "verdict", "detail")
    AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    at_unix_s: float
    attempt_id: str
    figure: str
    source: str
    value: float
    verdict: str
    detail: str
    def __init__(self, at_unix_s: _Optional[float] = ..., attempt_id: _Optional[str] = ..., figure: _Optional[str] = ..., source: _Optional[str] = ..., value: _Optional[float] = ..., verdict: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class GetHealthRequest(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...

class GetHealthResponse(_message.Message):
    __slots__ = ("health", "reason", "since_unix_s", "points")
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    health: DeviceHealth
    reason: str
    since_unix_s: float
    points: _containers.RepeatedCompositeFieldContainer[HealthPoint]
    def __init__(self, health: _Optional[_Union[DeviceHealth, str]] = ..., reason: _Optional[str] = ..., since_unix_s: _Optional[float] = ..., points: _Optional[_Iterable[_Union[HealthPoint, _Mapping]]] = ...) -> None: ...

class DeclaredDevice(_message.Message):
    __slots__ = ("device_id", "device_type", "labels", "serial_number", "memory_bytes", "module", "jetpack", "power_meter_source", "power_meter_boundary", "power_mode", "owner", "groups", "address")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SERIAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    JETPACK_FIELD_NUMBER: _ClassVar[int]
    POWER_METER_SOURCE_FIELD_NUMBER: _ClassVar[int]
    POWER_METER_BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    POWER_MODE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    device_type: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    serial_number: str
    memory_bytes: int
    module: str
    jetpack: str
    power_meter_source: str
    power_meter_boundary: str
    power_mode: str
    owner: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    address: str
    def __init__(self, device_id: _Optional[str] = ..., device_type: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., serial_number: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., module: _Optional[str] = ..., jetpack: _Optional[str] = ..., power_meter_source: _Optional[str] = ..., power_meter_boundary: _Optional[str] = ..., power_mode: _Optional[str] = ..., owner: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ..., address: _Optional[str] = ...) -> None: ...

class ApplyInventoryRequest(_message.Message):
    __slots__ = ("devices", "prune", "dry_run")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    PRUNE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[DeclaredDevice]
    prune: bool
    dry_run: bool
    def __init__(self, devices: _Optional[_Iterable[_Union[DeclaredDevice, _Mapping]]] = ..., prune: bool = ..., dry_run: bool = ...) -> None: ...

class InventoryChange(_message.Message):
    __slots__ = ("device_id", "kind", "details")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    kind: str
    details: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, device_id: _Optional[str] = ..., kind: _Optional[str] = ..., details: _Optional[_Iterable[str]] = ...) -> None: ...

class ApplyInventoryResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[InventoryChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[InventoryChange, _Mapping]]] = ...) -> None: ...

class InventoryDifference(_message.Message):
    __slots__ = ("field", "declared", "observed", "blocks", "message")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DECLARED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    declared: str
    observed: str
    blocks: bool
    message: str
    def __init__(self, field: _Optional[str] = ..., declared: _Optional[str] = ..., observed: _Optional[str] = ..., blocks: bool = ..., message: _Optional[str] = ...) -> None: ...

class InventoryDevice(_message.Message):
    __slots__ = ("declared", "device_id", "enrolled", "reported", "differences", "observed")
    DECLARED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_FIELD_NUMBER: _ClassVar[int]
    REPORTED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    declared: DeclaredDevice
    device_id: str
    enrolled: bool
    reported: bool
    differences: _containers.RepeatedCompositeFieldContainer[InventoryDifference]
    observed: _device_pb2.DeviceFacts
    def __init__(self, declared: _Optional[_Union[DeclaredDevice, _Mapping]] = ..., device_id: _Optional[str] = ..., enrolled: bool = ..., reported: bool = ..., differences: _Optional[_Iterable[_Union[InventoryDifference, _Mapping]]] = ..., observed: _Optional[_Union[_device_pb2.DeviceFacts, _Mapping]] = ...) -> None: ...

class GetInventoryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInventoryResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[InventoryDevice]
    def __init__(self, devices: _Optional[_Iterable[_Union[InventoryDevice, _Mapping]]] = ...) -> None: ...

class AddPersonRequest(_message.Message):
    __slots__ = ("name", "role", "ttl_s", "replace")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    ttl_s: float
    replace: bool
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., ttl_s: _Optional[float] = ..., replace: bool = ...) -> None: ...

class AddPersonResponse(_message.Message):
    __slots__ = ("token", "ca_spki_sha256", "enroll_address", "control_address")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CA_SPKI_SHA256_FIELD_NUMBER: _ClassVar[int]
    ENROLL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    token: str
    ca_spki_sha256: str
    enroll_address: str
    control_address: str
    def __init__(self, token: _Optional[str] = ..., ca_spki_sha256: _Optional[str] = ..., enroll_address: _Optional[str] = ..., control_address: _Optional[str] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("name", "role", "state", "added_unix_s", "certificate_not_after_unix_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ADDED_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NOT_AFTER_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    state: str
    added_unix_s: float
    certificate_not_after_unix_s: float
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., state: _Optional[str] = ..., added_unix_s: _Optional[float] = ..., certificate_not_after_unix_s: _Optional[float] = ...) -> None: ...

class ListPeopleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPeopleResponse(_message.Message):
    __slots__ = ("people",)
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    people: _containers.RepeatedCompositeFieldContainer[Person]
    def __init__(self, people: _Optional[_Iterable[_Union[Person, _Mapping]]] = ...) -> None: ...

class RevokePersonRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RevokePersonResponse(_message.Message):
    __slots__ = ("certificate_count",)
    CERTIFICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    certificate_count: int
    def __init__(self, certificate_count: _Optional[int] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("entry_id", "at_unix_s", "who", "role", "what", "subject", "outcome", "detail")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    entry_id: int
    at_unix_s: float
    who: str
    role: str
    what: str
    subject: str
    outcome: str
    detail: str
    def __init__(self, entry_id: _Optional[int] = ..., at_unix_s: _Optional[float] = ..., who: _Optional[str] = ..., role: _Optional[str] = ..., what: _Optional[str] = ..., subject: _Optional[str] = ..., outcome: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("before_entry_id", "limit")
    BEFORE_ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    before_entry_id: int
    limit: int
    def __init__(self, before_entry_id: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ...) -> None: ...

class FollowAttemptRequest(_message.Message):
    __slots__ = ("attempt_id", "follow")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    follow: bool
    def __init__(self, attempt_id: _Optional[str] = ..., follow: bool = ...) -> None: ...

class FollowAttemptResponse(_message.Message):
    __slots__ = ("at_unix_s", "kind", "text")
    AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    at_unix_s: float
    kind: str
    text: str
    def __init__(self, at_unix_s: _Optional[float] = ..., kind: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
