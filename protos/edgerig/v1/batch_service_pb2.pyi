from edgerig.v1 import agent_service_pb2 as _agent_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportBatchRequest(_message.Message):
    __slots__ = ("study_id", "device_id", "trial_limit")
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TRIAL_LIMIT_FIELD_NUMBER: _ClassVar[int]
    study_id: str
    device_id: str
    trial_limit: int
    def __init__(self, study_id: _Optional[str] = ..., device_id: _Optional[str] = ..., trial_limit: _Optional[int] = ...) -> None: ...

class ExportBatchResponse(_message.Message):
    __slots__ = ("data", "signature", "batch_id")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    signature: bytes
    batch_id: str
    def __init__(self, data: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., batch_id: _Optional[str] = ...) -> None: ...

class BatchDocument(_message.Message):
    __slots__ = ("schema_version", "batch_id", "fleet_id", "device_id", "study_id", "study_name", "created_unix_s", "leases")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    FLEET_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    batch_id: str
    fleet_id: str
    device_id: str
    study_id: str
    study_name: str
    created_unix_s: float
    leases: _containers.RepeatedCompositeFieldContainer[_agent_service_pb2.Lease]
    def __init__(self, schema_version: _Optional[int] = ..., batch_id: _Optional[str] = ..., fleet_id: _Optional[str] = ..., device_id: _Optional[str] = ..., study_id: _Optional[str] = ..., study_name: _Optional[str] = ..., created_unix_s: _Optional[float] = ..., leases: _Optional[_Iterable[_Union[_agent_service_pb2.Lease, _Mapping]]] = ...) -> None: ...

class ReadBatchBlobRequest(_message.Message):
    __slots__ = ("batch_id", "sha256", "offset_bytes")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    sha256: str
    offset_bytes: int
    def __init__(self, batch_id: _Optional[str] = ..., sha256: _Optional[str] = ..., offset_bytes: _Optional[int] = ...) -> None: ...

class ReadBatchBlobResponse(_message.Message):
    __slots__ = ("data", "size_bytes")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    size_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class PutBatchChunkRequest(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: _agent_service_pb2.PutChunkRequest
    def __init__(self, chunk: _Optional[_Union[_agent_service_pb2.PutChunkRequest, _Mapping]] = ...) -> None: ...

class PutBatchChunkResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: _agent_service_pb2.PutChunkResponse
    def __init__(self, chunk: _Optional[_Union[_agent_service_pb2.PutChunkResponse, _Mapping]] = ...) -> None: ...

class ImportBatchResultRequest(_message.Message):
    __slots__ = ("commit_json", "signature", "certificate_pem", "attempt_id")
    COMMIT_JSON_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    commit_json: bytes
    signature: bytes
    certificate_pem: str
    attempt_id: str
    def __init__(self, commit_json: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate_pem: _Optional[str] = ..., attempt_id: _Optional[str] = ...) -> None: ...

class ImportBatchResultResponse(_message.Message):
    __slots__ = ("commit",)
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    commit: _agent_service_pb2.CommitResultResponse
    def __init__(self, commit: _Optional[_Union[_agent_service_pb2.CommitResultResponse, _Mapping]] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Batch(_message.Message):
    __slots__ = ("batch_id", "device_id", "study_id", "study_name", "created_unix_s", "trial_count", "returned_count", "out_count")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    TRIAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    device_id: str
    study_id: str
    study_name: str
    created_unix_s: float
    trial_count: int
    returned_count: int
    out_count: int
    def __init__(self, batch_id: _Optional[str] = ..., device_id: _Optional[str] = ..., study_id: _Optional[str] = ..., study_name: _Optional[str] = ..., created_unix_s: _Optional[float] = ..., trial_count: _Optional[int] = ..., returned_count: _Optional[int] = ..., out_count: _Optional[int] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches",)
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    def __init__(self, batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ...) -> None: ...

class WithdrawBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class WithdrawBatchResponse(_message.Message):
    __slots__ = ("requeued_count",)
    REQUEUED_COUNT_FIELD_NUMBER: _ClassVar[int]
    requeued_count: int
    def __init__(self, requeued_count: _Optional[int] = ...) -> None: ...
