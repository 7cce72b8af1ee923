from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_KIND_UNSPECIFIED: _ClassVar[TaskKind]
    TASK_KIND_CLASSIFICATION: _ClassVar[TaskKind]
    TASK_KIND_RATING: _ClassVar[TaskKind]
    TASK_KIND_GENERATION: _ClassVar[TaskKind]

class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[Protocol]
    PROTOCOL_QUICK: _ClassVar[Protocol]
    PROTOCOL_STANDARD: _ClassVar[Protocol]
    PROTOCOL_PUBLISHABLE: _ClassVar[Protocol]
TASK_KIND_UNSPECIFIED: TaskKind
TASK_KIND_CLASSIFICATION: TaskKind
TASK_KIND_RATING: TaskKind
TASK_KIND_GENERATION: TaskKind
PROTOCOL_UNSPECIFIED: Protocol
PROTOCOL_QUICK: Protocol
PROTOCOL_STANDARD: Protocol
PROTOCOL_PUBLISHABLE: Protocol

class FileRef(_message.Message):
    __slots__ = ("path", "sha256", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: str
    size_bytes: int
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("kind", "parameters")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    parameters: _struct_pb2.Struct
    def __init__(self, kind: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "revision", "digest", "files", "device_path", "parameter_count", "stored_element_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    STORED_ELEMENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: str
    digest: str
    files: _containers.RepeatedCompositeFieldContainer[FileRef]
    device_path: str
    parameter_count: int
    stored_element_bytes: int
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[str] = ..., digest: _Optional[str] = ..., files: _Optional[_Iterable[_Union[FileRef, _Mapping]]] = ..., device_path: _Optional[str] = ..., parameter_count: _Optional[int] = ..., stored_element_bytes: _Optional[int] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("name", "kind", "metric", "prompt", "labels", "data", "user_count", "item_count", "answer_tokens")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    USER_COUNT_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: TaskKind
    metric: str
    prompt: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    data: FileRef
    user_count: int
    item_count: int
    answer_tokens: int
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[TaskKind, str]] = ..., metric: _Optional[str] = ..., prompt: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., data: _Optional[_Union[FileRef, _Mapping]] = ..., user_count: _Optional[int] = ..., item_count: _Optional[int] = ..., answer_tokens: _Optional[int] = ...) -> None: ...

class TrainBudget(_message.Message):
    __slots__ = ("samples", "tokens", "steps", "duration_s", "energy_j", "points", "patience_points", "held_out_share")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    ENERGY_J_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_POINTS_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_SHARE_FIELD_NUMBER: _ClassVar[int]
    samples: int
    tokens: int
    steps: int
    duration_s: float
    energy_j: float
    points: _containers.RepeatedScalarFieldContainer[float]
    patience_points: int
    held_out_share: float
    def __init__(self, samples: _Optional[int] = ..., tokens: _Optional[int] = ..., steps: _Optional[int] = ..., duration_s: _Optional[float] = ..., energy_j: _Optional[float] = ..., points: _Optional[_Iterable[float]] = ..., patience_points: _Optional[int] = ..., held_out_share: _Optional[float] = ...) -> None: ...

class AttemptBudget(_message.Message):
    __slots__ = ("duration_s", "memory_bytes")
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    duration_s: float
    memory_bytes: float
    def __init__(self, duration_s: _Optional[float] = ..., memory_bytes: _Optional[float] = ...) -> None: ...

class Budgets(_message.Message):
    __slots__ = ("train", "attempt")
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    train: TrainBudget
    attempt: AttemptBudget
    def __init__(self, train: _Optional[_Union[TrainBudget, _Mapping]] = ..., attempt: _Optional[_Union[AttemptBudget, _Mapping]] = ...) -> None: ...

class Inference(_message.Message):
    __slots__ = ("prompt_tokens", "new_tokens", "batch", "requests", "kv_cache", "page_cache")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_FIELD_NUMBER: _ClassVar[int]
    PAGE_CACHE_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    new_tokens: int
    batch: int
    requests: int
    kv_cache: str
    page_cache: str
    def __init__(self, prompt_tokens: _Optional[int] = ..., new_tokens: _Optional[int] = ..., batch: _Optional[int] = ..., requests: _Optional[int] = ..., kv_cache: _Optional[str] = ..., page_cache: _Optional[str] = ...) -> None: ...

class Engine(_message.Message):
    __slots__ = ("kind", "name", "command", "environment", "ready_path", "ready_s", "completion_path", "model", "request", "forced")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    READY_PATH_FIELD_NUMBER: _ClassVar[int]
    READY_S_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_PATH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    command: _containers.RepeatedScalarFieldContainer[str]
    environment: _containers.ScalarMap[str, str]
    ready_path: str
    ready_s: float
    completion_path: str
    model: str
    request: _struct_pb2.Struct
    forced: _struct_pb2.Struct
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., ready_path: _Optional[str] = ..., ready_s: _Optional[float] = ..., completion_path: _Optional[str] = ..., model: _Optional[str] = ..., request: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., forced: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class DeviceSettings(_message.Message):
    __slots__ = ("power_mode", "jetson_clocks", "gpu_clock_mhz", "cpu_governor")
    POWER_MODE_FIELD_NUMBER: _ClassVar[int]
    JETSON_CLOCKS_FIELD_NUMBER: _ClassVar[int]
    GPU_CLOCK_MHZ_FIELD_NUMBER: _ClassVar[int]
    CPU_GOVERNOR_FIELD_NUMBER: _ClassVar[int]
    power_mode: str
    jetson_clocks: bool
    gpu_clock_mhz: int
    cpu_governor: str
    def __init__(self, power_mode: _Optional[str] = ..., jetson_clocks: bool = ..., gpu_clock_mhz: _Optional[int] = ..., cpu_governor: _Optional[str] = ...) -> None: ...

class ProtocolOverrides(_message.Message):
    __slots__ = ("idle_s", "warmup_most", "block_s", "block_requests", "sustained_s", "wait_s", "cooldown_s", "temperature_margin_c", "load_share", "settle_s", "sustained_slope_c_per_min", "sustained_window_s")
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    WARMUP_MOST_FIELD_NUMBER: _ClassVar[int]
    BLOCK_S_FIELD_NUMBER: _ClassVar[int]
    BLOCK_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    SUSTAINED_S_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_S_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_MARGIN_C_FIELD_NUMBER: _ClassVar[int]
    LOAD_SHARE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_S_FIELD_NUMBER: _ClassVar[int]
    SUSTAINED_SLOPE_C_PER_MIN_FIELD_NUMBER: _ClassVar[int]
    SUSTAINED_WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    idle_s: float
    warmup_most: int
    block_s: float
    block_requests: int
    sustained_s: float
    wait_s: float
    cooldown_s: float
    temperature_margin_c: float
    load_share: float
    settle_s: float
    sustained_slope_c_per_min: float
    sustained_window_s: float
    def __init__(self, idle_s: _Optional[float] = ..., warmup_most: _Optional[int] = ..., block_s: _Optional[float] = ..., block_requests: _Optional[int] = ..., sustained_s: _Optional[float] = ..., wait_s: _Optional[float] = ..., cooldown_s: _Optional[float] = ..., temperature_margin_c: _Optional[float] = ..., load_share: _Optional[float] = ..., settle_s: _Optional[float] = ..., sustained_slope_c_per_min: _Optional[float] = ..., sustained_window_s: _Optional[float] = ...) -> None: ...

class Trial(_message.Message):
    __slots__ = ("schema_version", "digest", "protocol", "seed", "repeat", "model", "task", "method", "compression", "history", "budgets", "inference", "dtype", "threads", "factors", "encoder", "settings", "protocol_overrides", "teacher", "engine")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    FACTORS_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    TEACHER_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    digest: str
    protocol: Protocol
    seed: int
    repeat: int
    model: Model
    task: Task
    method: Choice
    compression: Choice
    history: int
    budgets: Budgets
    inference: Inference
    dtype: str
    threads: int
    factors: _struct_pb2.Struct
    encoder: Model
    settings: DeviceSettings
    protocol_overrides: ProtocolOverrides
    teacher: Model
    engine: Engine
    def __init__(self, schema_version: _Optional[int] = ..., digest: _Optional[str] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., seed: _Optional[int] = ..., repeat: _Optional[int] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., task: _Optional[_Union[Task, _Mapping]] = ..., method: _Optional[_Union[Choice, _Mapping]] = ..., compression: _Optional[_Union[Choice, _Mapping]] = ..., history: _Optional[int] = ..., budgets: _Optional[_Union[Budgets, _Mapping]] = ..., inference: _Optional[_Union[Inference, _Mapping]] = ..., dtype: _Optional[str] = ..., threads: _Optional[int] = ..., factors: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., encoder: _Optional[_Union[Model, _Mapping]] = ..., settings: _Optional[_Union[DeviceSettings, _Mapping]] = ..., protocol_overrides: _Optional[_Union[ProtocolOverrides, _Mapping]] = ..., teacher: _Optional[_Union[Model, _Mapping]] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ...) -> None: ...
