from edgerig.v1 import trial_pb2 as _trial_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_OK: _ClassVar[Status]
    STATUS_FAILED: _ClassVar[Status]
    STATUS_INVALID: _ClassVar[Status]
    STATUS_NOT_RUN: _ClassVar[Status]

class FailureClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_CLASS_UNSPECIFIED: _ClassVar[FailureClass]
    FAILURE_CLASS_DOES_NOT_FIT: _ClassVar[FailureClass]
    FAILURE_CLASS_OOM_HOST: _ClassVar[FailureClass]
    FAILURE_CLASS_OOM_CGROUP: _ClassVar[FailureClass]
    FAILURE_CLASS_OOM_CUDA: _ClassVar[FailureClass]
    FAILURE_CLASS_SWAP_STORM: _ClassVar[FailureClass]
    FAILURE_CLASS_TIMEOUT: _ClassVar[FailureClass]
    FAILURE_CLASS_DIVERGED: _ClassVar[FailureClass]
    FAILURE_CLASS_KERNEL_MISSING: _ClassVar[FailureClass]
    FAILURE_CLASS_NOT_INSTALLED: _ClassVar[FailureClass]
    FAILURE_CLASS_BAD_MODEL: _ClassVar[FailureClass]
    FAILURE_CLASS_BAD_DATA: _ClassVar[FailureClass]
    FAILURE_CLASS_WORKER_ERROR: _ClassVar[FailureClass]
    FAILURE_CLASS_KILLED: _ClassVar[FailureClass]
    FAILURE_CLASS_REBOOTED: _ClassVar[FailureClass]
    FAILURE_CLASS_AGENT_LOST: _ClassVar[FailureClass]
    FAILURE_CLASS_PRECONDITION: _ClassVar[FailureClass]
    FAILURE_CLASS_UNKNOWN: _ClassVar[FailureClass]
    FAILURE_CLASS_REBOOT_FAILED: _ClassVar[FailureClass]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_IMPORT: _ClassVar[Phase]
    PHASE_LOAD: _ClassVar[Phase]
    PHASE_COMPRESS: _ClassVar[Phase]
    PHASE_IDLE_PRE: _ClassVar[Phase]
    PHASE_IDLE_RESIDENT: _ClassVar[Phase]
    PHASE_WARMUP: _ClassVar[Phase]
    PHASE_INDEX: _ClassVar[Phase]
    PHASE_RETRIEVE: _ClassVar[Phase]
    PHASE_TRAIN_STEP: _ClassVar[Phase]
    PHASE_PREFILL: _ClassVar[Phase]
    PHASE_DECODE: _ClassVar[Phase]
    PHASE_EVALUATE: _ClassVar[Phase]
    PHASE_CHECKPOINT: _ClassVar[Phase]
    PHASE_COOLDOWN: _ClassVar[Phase]
    PHASE_IDLE_POST: _ClassVar[Phase]
    PHASE_TRAIN: _ClassVar[Phase]
    PHASE_INFERENCE: _ClassVar[Phase]
    PHASE_POINT: _ClassVar[Phase]
    PHASE_TEACH: _ClassVar[Phase]

class Boundary(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BOUNDARY_UNSPECIFIED: _ClassVar[Boundary]
    BOUNDARY_MODULE_IN: _ClassVar[Boundary]
    BOUNDARY_RAILS_SUM: _ClassVar[Boundary]
    BOUNDARY_CARRIER_IN: _ClassVar[Boundary]
    BOUNDARY_DC_IN: _ClassVar[Boundary]
    BOUNDARY_WALL_AC: _ClassVar[Boundary]
    BOUNDARY_GPU_BOARD: _ClassVar[Boundary]
    BOUNDARY_CPU_PKG: _ClassVar[Boundary]
    BOUNDARY_ESTIMATE: _ClassVar[Boundary]
    BOUNDARY_RAIL: _ClassVar[Boundary]
STATUS_UNSPECIFIED: Status
STATUS_OK: Status
STATUS_FAILED: Status
STATUS_INVALID: Status
STATUS_NOT_RUN: Status
FAILURE_CLASS_UNSPECIFIED: FailureClass
FAILURE_CLASS_DOES_NOT_FIT: FailureClass
FAILURE_CLASS_OOM_HOST: FailureClass
FAILURE_CLASS_OOM_CGROUP: FailureClass
FAILURE_CLASS_OOM_CUDA: FailureClass
FAILURE_CLASS_SWAP_STORM: FailureClass
FAILURE_CLASS_TIMEOUT: FailureClass
FAILURE_CLASS_DIVERGED: FailureClass
FAILURE_CLASS_KERNEL_MISSING: FailureClass
FAILURE_CLASS_NOT_INSTALLED: FailureClass
FAILURE_CLASS_BAD_MODEL: FailureClass
FAILURE_CLASS_BAD_DATA: FailureClass
FAILURE_CLASS_WORKER_ERROR: FailureClass
FAILURE_CLASS_KILLED: FailureClass
FAILURE_CLASS_REBOOTED: FailureClass
FAILURE_CLASS_AGENT_LOST: FailureClass
FAILURE_CLASS_PRECONDITION: FailureClass
FAILURE_CLASS_UNKNOWN: FailureClass
FAILURE_CLASS_REBOOT_FAILED: FailureClass
PHASE_UNSPECIFIED: Phase
PHASE_IMPORT: Phase
PHASE_LOAD: Phase
PHASE_COMPRESS: Phase
PHASE_IDLE_PRE: Phase
PHASE_IDLE_RESIDENT: Phase
PHASE_WARMUP: Phase
PHASE_INDEX: Phase
PHASE_RETRIEVE: Phase
PHASE_TRAIN_STEP: Phase
PHASE_PREFILL: Phase
PHASE_DECODE: Phase
PHASE_EVALUATE: Phase
PHASE_CHECKPOINT: Phase
PHASE_COOLDOWN: Phase
PHASE_IDLE_POST: Phase
PHASE_TRAIN: Phase
PHASE_INFERENCE: Phase
PHASE_POINT: Phase
PHASE_TEACH: Phase
BOUNDARY_UNSPECIFIED: Boundary
BOUNDARY_MODULE_IN: Boundary
BOUNDARY_RAILS_SUM: Boundary
BOUNDARY_CARRIER_IN: Boundary
BOUNDARY_DC_IN: Boundary
BOUNDARY_WALL_AC: Boundary
BOUNDARY_GPU_BOARD: Boundary
BOUNDARY_CPU_PKG: Boundary
BOUNDARY_ESTIMATE: Boundary
BOUNDARY_RAIL: Boundary

class PhaseBegin(_message.Message):
    __slots__ = ("phase", "t_mono_ns")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    t_mono_ns: int
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., t_mono_ns: _Optional[int] = ...) -> None: ...

class PhaseInterval(_message.Message):
    __slots__ = ("phase", "index", "begin_mono_ns", "end_mono_ns", "rss_peak_bytes", "rss_peak_method", "cuda_allocated_peak_bytes", "cuda_reserved_peak_bytes", "pss_end_bytes", "uss_end_bytes", "swap_pss_end_bytes", "major_fault_count")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BEGIN_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    RSS_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RSS_PEAK_METHOD_FIELD_NUMBER: _ClassVar[int]
    CUDA_ALLOCATED_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    CUDA_RESERVED_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    PSS_END_BYTES_FIELD_NUMBER: _ClassVar[int]
    USS_END_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_PSS_END_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAJOR_FAULT_COUNT_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    index: int
    begin_mono_ns: int
    end_mono_ns: int
    rss_peak_bytes: int
    rss_peak_method: str
    cuda_allocated_peak_bytes: int
    cuda_reserved_peak_bytes: int
    pss_end_bytes: int
    uss_end_bytes: int
    swap_pss_end_bytes: int
    major_fault_count: int
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., index: _Optional[int] = ..., begin_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., rss_peak_bytes: _Optional[int] = ..., rss_peak_method: _Optional[str] = ..., cuda_allocated_peak_bytes: _Optional[int] = ..., cuda_reserved_peak_bytes: _Optional[int] = ..., pss_end_bytes: _Optional[int] = ..., uss_end_bytes: _Optional[int] = ..., swap_pss_end_bytes: _Optional[int] = ..., major_fault_count: _Optional[int] = ...) -> None: ...

class TrainStep(_message.Message):
    __slots__ = ("index", "begin_mono_ns", "end_mono_ns", "tokens", "samples", "loss")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BEGIN_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    index: int
    begin_mono_ns: int
    end_mono_ns: int
    tokens: int
    samples: int
    loss: float
    def __init__(self, index: _Optional[int] = ..., begin_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., tokens: _Optional[int] = ..., samples: _Optional[int] = ..., loss: _Optional[float] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("index", "accept_mono_ns", "model_mono_ns", "token_mono_ns", "tokens_in", "tokens_out", "batch")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    MODEL_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_IN_FIELD_NUMBER: _ClassVar[int]
    TOKENS_OUT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    index: int
    accept_mono_ns: int
    model_mono_ns: int
    token_mono_ns: _containers.RepeatedScalarFieldContainer[int]
    tokens_in: int
    tokens_out: int
    batch: int
    def __init__(self, index: _Optional[int] = ..., accept_mono_ns: _Optional[int] = ..., model_mono_ns: _Optional[int] = ..., token_mono_ns: _Optional[_Iterable[int]] = ..., tokens_in: _Optional[int] = ..., tokens_out: _Optional[int] = ..., batch: _Optional[int] = ...) -> None: ...

class ItemScore(_message.Message):
    __slots__ = ("item_id", "user_id", "score", "output", "expected", "retrieved_count", "truncated", "tokens_in", "point")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    RETRIEVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_IN_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    user_id: str
    score: float
    output: str
    expected: str
    retrieved_count: int
    truncated: bool
    tokens_in: int
    point: int
    def __init__(self, item_id: _Optional[str] = ..., user_id: _Optional[str] = ..., score: _Optional[float] = ..., output: _Optional[str] = ..., expected: _Optional[str] = ..., retrieved_count: _Optional[int] = ..., truncated: bool = ..., tokens_in: _Optional[int] = ..., point: _Optional[int] = ...) -> None: ...

class CorpusMetric(_message.Message):
    __slots__ = ("name", "value", "point")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    point: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., point: _Optional[int] = ...) -> None: ...

class PointEnergy(_message.Message):
    __slots__ = ("source", "boundary", "energy_j", "coverage")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    ENERGY_J_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    source: str
    boundary: Boundary
    energy_j: float
    coverage: float
    def __init__(self, source: _Optional[str] = ..., boundary: _Optional[_Union[Boundary, str]] = ..., energy_j: _Optional[float] = ..., coverage: _Optional[float] = ...) -> None: ...

class TrainPoint(_message.Message):
    __slots__ = ("index", "budget_share", "steps", "samples", "tokens", "duration_s", "held_out_loss", "score", "item_count", "t_mono_ns", "energy")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SHARE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_LOSS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    index: int
    budget_share: float
    steps: int
    samples: int
    tokens: int
    duration_s: float
    held_out_loss: float
    score: float
    item_count: int
    t_mono_ns: int
    energy: _containers.RepeatedCompositeFieldContainer[PointEnergy]
    def __init__(self, index: _Optional[int] = ..., budget_share: _Optional[float] = ..., steps: _Optional[int] = ..., samples: _Optional[int] = ..., tokens: _Optional[int] = ..., duration_s: _Optional[float] = ..., held_out_loss: _Optional[float] = ..., score: _Optional[float] = ..., item_count: _Optional[int] = ..., t_mono_ns: _Optional[int] = ..., energy: _Optional[_Iterable[_Union[PointEnergy, _Mapping]]] = ...) -> None: ...

class WorkerFacts(_message.Message):
    __slots__ = ("python", "torch", "transformers", "peft", "device", "dtype", "threads", "parameter_count", "trainable_count", "kernel", "weights_bytes", "artifact_bytes", "train_sample_count", "train_token_count", "train_duration_s", "train_stopped_by", "train_kept_point", "train_energy_j", "train_energy_source", "train_energy_resolution_s", "warmup_request_count", "warmup_settled", "block_settled", "sparsity", "stored_bytes", "distil_step_count", "teacher_kl_before_nats", "teacher_kl_after_nats", "teacher_parameter_count", "engine", "engine_version", "engine_program_sha256", "engine_process_count", "engine_token_count", "short_answer_count", "kv_cache", "kv_cache_bytes", "page_cache", "page_cache_share", "block_ended_by", "adapter_count", "loss_trajectory_sha256")
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    TORCH_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMERS_FIELD_NUMBER: _ClassVar[int]
    PEFT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_DURATION_S_FIELD_NUMBER: _ClassVar[int]
    TRAIN_STOPPED_BY_FIELD_NUMBER: _ClassVar[int]
    TRAIN_KEPT_POINT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ENERGY_J_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ENERGY_SOURCE_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ENERGY_RESOLUTION_S_FIELD_NUMBER: _ClassVar[int]
    WARMUP_REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    WARMUP_SETTLED_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SETTLED_FIELD_NUMBER: _ClassVar[int]
    SPARSITY_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISTIL_STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    TEACHER_KL_BEFORE_NATS_FIELD_NUMBER: _ClassVar[int]
    TEACHER_KL_AFTER_NATS_FIELD_NUMBER: _ClassVar[int]
    TEACHER_PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_PROGRAM_SHA256_FIELD_NUMBER: _ClassVar[int]
    ENGINE_PROCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENGINE_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHORT_ANSWER_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PAGE_CACHE_FIELD_NUMBER: _ClassVar[int]
    PAGE_CACHE_SHARE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOSS_TRAJECTORY_SHA256_FIELD_NUMBER: _ClassVar[int]
    python: str
    torch: str
    transformers: str
    peft: str
    device: str
    dtype: str
    threads: int
    parameter_count: int
    trainable_count: int
    kernel: str
    weights_bytes: int
    artifact_bytes: int
    train_sample_count: int
    train_token_count: int
    train_duration_s: float
    train_stopped_by: str
    train_kept_point: int
    train_energy_j: float
    train_energy_source: str
    train_energy_resolution_s: float
    warmup_request_count: int
    warmup_settled: bool
    block_settled: bool
    sparsity: float
    stored_bytes: int
    distil_step_count: int
    teacher_kl_before_nats: float
    teacher_kl_after_nats: float
    teacher_parameter_count: int
    engine: str
    engine_version: str
    engine_program_sha256: str
    engine_process_count: int
    engine_token_count: int
    short_answer_count: int
    kv_cache: str
    kv_cache_bytes: int
    page_cache: str
    page_cache_share: float
    block_ended_by: str
    adapter_count: int
    loss_trajectory_sha256: str
    def __init__(self, python: _Optional[str] = ..., torch: _Optional[str] = ..., transformers: _Optional[str] = ..., peft: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., threads: _Optional[int] = ..., parameter_count: _Optional[int] = ..., trainable_count: _Optional[int] = ..., kernel: _Optional[str] = ..., weights_bytes: _Optional[int] = ..., artifact_bytes: _Optional[int] = ..., train_sample_count: _Optional[int] = ..., train_token_count: _Optional[int] = ..., train_duration_s: _Optional[float] = ..., train_stopped_by: _Optional[str] = ..., train_kept_point: _Optional[int] = ..., train_energy_j: _Optional[float] = ..., train_energy_source: _Optional[str] = ..., train_energy_resolution_s: _Optional[float] = ..., warmup_request_count: _Optional[int] = ..., warmup_settled: bool = ..., block_settled: bool = ..., sparsity: _Optional[float] = ..., stored_bytes: _Optional[int] = ..., distil_step_count: _Optional[int] = ..., teacher_kl_before_nats: _Optional[float] = ..., teacher_kl_after_nats: _Optional[float] = ..., teacher_parameter_count: _Optional[int] = ..., engine: _Optional[str] = ..., engine_version: _Optional[str] = ..., engine_program_sha256: _Optional[str] = ..., engine_process_count: _Optional[int] = ..., engine_token_count: _Optional[int] = ..., short_answer_count: _Optional[int] = ..., kv_cache: _Optional[str] = ..., kv_cache_bytes: _Optional[int] = ..., page_cache: _Optional[str] = ..., page_cache_share: _Optional[float] = ..., block_ended_by: _Optional[str] = ..., adapter_count: _Optional[int] = ..., loss_trajectory_sha256: _Optional[str] = ...) -> None: ...

class WorkerFailure(_message.Message):
    __slots__ = ("failure_class", "message", "traceback", "phase")
    FAILURE_CLASS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    failure_class: FailureClass
    message: str
    traceback: str
    phase: Phase
    def __init__(self, failure_class: _Optional[_Union[FailureClass, str]] = ..., message: _Optional[str] = ..., traceback: _Optional[str] = ..., phase: _Optional[_Union[Phase, str]] = ...) -> None: ...

class WorkerDone(_message.Message):
    __slots__ = ("t_mono_ns",)
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    t_mono_ns: int
    def __init__(self, t_mono_ns: _Optional[int] = ...) -> None: ...

class WorkerEvent(_message.Message):
    __slots__ = ("phase_begin", "phase", "train_step", "request", "score", "facts", "failure", "done", "point", "metric")
    PHASE_BEGIN_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    TRAIN_STEP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    phase_begin: PhaseBegin
    phase: PhaseInterval
    train_step: TrainStep
    request: Request
    score: ItemScore
    facts: WorkerFacts
    failure: WorkerFailure
    done: WorkerDone
    point: TrainPoint
    metric: CorpusMetric
    def __init__(self, phase_begin: _Optional[_Union[PhaseBegin, _Mapping]] = ..., phase: _Optional[_Union[PhaseInterval, _Mapping]] = ..., train_step: _Optional[_Union[TrainStep, _Mapping]] = ..., request: _Optional[_Union[Request, _Mapping]] = ..., score: _Optional[_Union[ItemScore, _Mapping]] = ..., facts: _Optional[_Union[WorkerFacts, _Mapping]] = ..., failure: _Optional[_Union[WorkerFailure, _Mapping]] = ..., done: _Optional[_Union[WorkerDone, _Mapping]] = ..., point: _Optional[_Union[TrainPoint, _Mapping]] = ..., metric: _Optional[_Union[CorpusMetric, _Mapping]] = ...) -> None: ...

class UncertaintyPart(_message.Message):
    __slots__ = ("name", "standard", "unknown_reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STANDARD_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    standard: float
    unknown_reason: str
    def __init__(self, name: _Optional[str] = ..., standard: _Optional[float] = ..., unknown_reason: _Optional[str] = ...) -> None: ...

class SensorEvent(_message.Message):
    __slots__ = ("kind", "source", "quantity", "begin_mono_ns", "end_mono_ns", "reason")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    BEGIN_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    kind: str
    source: str
    quantity: str
    begin_mono_ns: int
    end_mono_ns: int
    reason: str
    def __init__(self, kind: _Optional[str] = ..., source: _Optional[str] = ..., quantity: _Optional[str] = ..., begin_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("name", "phase", "statistic", "value", "unavailable_reason", "low", "high", "interval_kind", "boundary", "source", "method", "sample_count", "effective_rate_hz", "coverage", "flags", "uncertainty", "bandwidth_hz")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_KIND_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_HZ_FIELD_NUMBER: _ClassVar[int]
    name: str
    phase: Phase
    statistic: str
    value: float
    unavailable_reason: str
    low: float
    high: float
    interval_kind: str
    boundary: Boundary
    source: str
    method: str
    sample_count: int
    effective_rate_hz: float
    coverage: float
    flags: _containers.RepeatedScalarFieldContainer[str]
    uncertainty: _containers.RepeatedCompositeFieldContainer[UncertaintyPart]
    bandwidth_hz: float
    def __init__(self, name: _Optional[str] = ..., phase: _Optional[_Union[Phase, str]] = ..., statistic: _Optional[str] = ..., value: _Optional[float] = ..., unavailable_reason: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., interval_kind: _Optional[str] = ..., boundary: _Optional[_Union[Boundary, str]] = ..., source: _Optional[str] = ..., method: _Optional[str] = ..., sample_count: _Optional[int] = ..., effective_rate_hz: _Optional[float] = ..., coverage: _Optional[float] = ..., flags: _Optional[_Iterable[str]] = ..., uncertainty: _Optional[_Iterable[_Union[UncertaintyPart, _Mapping]]] = ..., bandwidth_hz: _Optional[float] = ...) -> None: ...

class AttemptResult(_message.Message):
    __slots__ = ("attempt_id", "trial_digest", "status", "failure_class", "failure_message", "failure_phase", "measurements", "worker", "quality", "item_count", "boot_id", "anchor_mono_ns", "anchor_unix_ns", "begin_mono_ns", "end_mono_ns", "agent_version", "environment_digest", "flags", "own_cpu_s", "last_available_bytes", "last_rss_bytes", "sensor_events", "points", "protocol_record", "end_anchor_mono_ns", "end_anchor_unix_ns")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    TRIAL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_CLASS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_PHASE_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    BEGIN_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    OWN_CPU_S_FIELD_NUMBER: _ClassVar[int]
    LAST_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENSOR_EVENTS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_RECORD_FIELD_NUMBER: _ClassVar[int]
    END_ANCHOR_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_ANCHOR_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    trial_digest: str
    status: Status
    failure_class: FailureClass
    failure_message: str
    failure_phase: Phase
    measurements: _containers.RepeatedCompositeFieldContainer[Measurement]
    worker: WorkerFacts
    quality: float
    item_count: int
    boot_id: str
    anchor_mono_ns: int
    anchor_unix_ns: int
    begin_mono_ns: int
    end_mono_ns: int
    agent_version: str
    environment_digest: str
    flags: _containers.RepeatedScalarFieldContainer[str]
    own_cpu_s: float
    last_available_bytes: int
    last_rss_bytes: int
    sensor_events: _containers.RepeatedCompositeFieldContainer[SensorEvent]
    points: _containers.RepeatedCompositeFieldContainer[TrainPoint]
    protocol_record: ProtocolRecord
    end_anchor_mono_ns: int
    end_anchor_unix_ns: int
    def __init__(self, attempt_id: _Optional[str] = ..., trial_digest: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., failure_class: _Optional[_Union[FailureClass, str]] = ..., failure_message: _Optional[str] = ..., failure_phase: _Optional[_Union[Phase, str]] = ..., measurements: _Optional[_Iterable[_Union[Measurement, _Mapping]]] = ..., worker: _Optional[_Union[WorkerFacts, _Mapping]] = ..., quality: _Optional[float] = ..., item_count: _Optional[int] = ..., boot_id: _Optional[str] = ..., anchor_mono_ns: _Optional[int] = ..., anchor_unix_ns: _Optional[int] = ..., begin_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., agent_version: _Optional[str] = ..., environment_digest: _Optional[str] = ..., flags: _Optional[_Iterable[str]] = ..., own_cpu_s: _Optional[float] = ..., last_available_bytes: _Optional[int] = ..., last_rss_bytes: _Optional[int] = ..., sensor_events: _Optional[_Iterable[_Union[SensorEvent, _Mapping]]] = ..., points: _Optional[_Iterable[_Union[TrainPoint, _Mapping]]] = ..., protocol_record: _Optional[_Union[ProtocolRecord, _Mapping]] = ..., end_anchor_mono_ns: _Optional[int] = ..., end_anchor_unix_ns: _Optional[int] = ...) -> None: ...

class AppliedSetting(_message.Message):
    __slots__ = ("name", "before", "during")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    DURING_FIELD_NUMBER: _ClassVar[int]
    name: str
    before: str
    during: str
    def __init__(self, name: _Optional[str] = ..., before: _Optional[str] = ..., during: _Optional[str] = ...) -> None: ...

class ZoneTemperature(_message.Message):
    __slots__ = ("source", "temperature_c", "base_c")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_C_FIELD_NUMBER: _ClassVar[int]
    BASE_C_FIELD_NUMBER: _ClassVar[int]
    source: str
    temperature_c: float
    base_c: float
    def __init__(self, source: _Optional[str] = ..., temperature_c: _Optional[float] = ..., base_c: _Optional[float] = ...) -> None: ...

class DeviceConditions(_message.Message):
    __slots__ = ("t_mono_ns", "temperatures", "load1", "swap_total_bytes", "swap_used_bytes", "disk_free_bytes", "power_mode", "cpu_governor", "clock_limits", "clocks_pinned", "fans", "foreign_gpu_processes", "unknown")
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURES_FIELD_NUMBER: _ClassVar[int]
    LOAD1_FIELD_NUMBER: _ClassVar[int]
    SWAP_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    POWER_MODE_FIELD_NUMBER: _ClassVar[int]
    CPU_GOVERNOR_FIELD_NUMBER: _ClassVar[int]
    CLOCK_LIMITS_FIELD_NUMBER: _ClassVar[int]
    CLOCKS_PINNED_FIELD_NUMBER: _ClassVar[int]
    FANS_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_GPU_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    t_mono_ns: int
    temperatures: _containers.RepeatedCompositeFieldContainer[ZoneTemperature]
    load1: float
    swap_total_bytes: int
    swap_used_bytes: int
    disk_free_bytes: int
    power_mode: str
    cpu_governor: str
    clock_limits: _containers.RepeatedScalarFieldContainer[str]
    clocks_pinned: bool
    fans: _containers.RepeatedScalarFieldContainer[str]
    foreign_gpu_processes: _containers.RepeatedScalarFieldContainer[str]
    unknown: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, t_mono_ns: _Optional[int] = ..., temperatures: _Optional[_Iterable[_Union[ZoneTemperature, _Mapping]]] = ..., load1: _Optional[float] = ..., swap_total_bytes: _Optional[int] = ..., swap_used_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., power_mode: _Optional[str] = ..., cpu_governor: _Optional[str] = ..., clock_limits: _Optional[_Iterable[str]] = ..., clocks_pinned: bool = ..., fans: _Optional[_Iterable[str]] = ..., foreign_gpu_processes: _Optional[_Iterable[str]] = ..., unknown: _Optional[_Iterable[str]] = ...) -> None: ...

class ProtocolRecord(_message.Message):
    __slots__ = ("before", "after", "waited_s", "cooldown_s", "cooled", "broken", "settings", "not_restored")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WAITED_S_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_S_FIELD_NUMBER: _ClassVar[int]
    COOLED_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    NOT_RESTORED_FIELD_NUMBER: _ClassVar[int]
    before: DeviceConditions
    after: DeviceConditions
    waited_s: float
    cooldown_s: float
    cooled: bool
    broken: _containers.RepeatedScalarFieldContainer[str]
    settings: _containers.RepeatedCompositeFieldContainer[AppliedSetting]
    not_restored: str
    def __init__(self, before: _Optional[_Union[DeviceConditions, _Mapping]] = ..., after: _Optional[_Union[DeviceConditions, _Mapping]] = ..., waited_s: _Optional[float] = ..., cooldown_s: _Optional[float] = ..., cooled: bool = ..., broken: _Optional[_Iterable[str]] = ..., settings: _Optional[_Iterable[_Union[AppliedSetting, _Mapping]]] = ..., not_restored: _Optional[str] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("attempt_id", "files")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    files: _containers.RepeatedCompositeFieldContainer[_trial_pb2.FileRef]
    def __init__(self, attempt_id: _Optional[str] = ..., files: _Optional[_Iterable[_Union[_trial_pb2.FileRef, _Mapping]]] = ...) -> None: ...
