from edgerig.v1 import attempt_pb2 as _attempt_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Sensor(_message.Message):
    __slots__ = ("source", "quantity", "boundary", "unavailable_reason")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    source: str
    quantity: str
    boundary: _attempt_pb2.Boundary
    unavailable_reason: str
    def __init__(self, source: _Optional[str] = ..., quantity: _Optional[str] = ..., boundary: _Optional[_Union[_attempt_pb2.Boundary, str]] = ..., unavailable_reason: _Optional[str] = ...) -> None: ...

class Accelerator(_message.Message):
    __slots__ = ("name", "memory_bytes", "driver")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    name: str
    memory_bytes: int
    driver: str
    def __init__(self, name: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., driver: _Optional[str] = ...) -> None: ...

class WorkerRuntime(_message.Message):
    __slots__ = ("executable", "python", "torch", "transformers", "peft", "catalog_json", "unavailable_reason")
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    TORCH_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMERS_FIELD_NUMBER: _ClassVar[int]
    PEFT_FIELD_NUMBER: _ClassVar[int]
    CATALOG_JSON_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    executable: str
    python: str
    torch: str
    transformers: str
    peft: str
    catalog_json: str
    unavailable_reason: str
    def __init__(self, executable: _Optional[str] = ..., python: _Optional[str] = ..., torch: _Optional[str] = ..., transformers: _Optional[str] = ..., peft: _Optional[str] = ..., catalog_json: _Optional[str] = ..., unavailable_reason: _Optional[str] = ...) -> None: ...

class DeviceFacts(_message.Message):
    __slots__ = ("hostname", "machine", "processor", "architecture", "kernel", "operating_system", "cpu_count", "memory_bytes", "swap_bytes", "boot_id", "agent_version", "python", "sensors", "accelerators", "worker", "power_mode", "disk_free_bytes", "environment_digest", "serial_number", "l4t_release")
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    OPERATING_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    ACCELERATORS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    POWER_MODE_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SERIAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    L4T_RELEASE_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    machine: str
    processor: str
    architecture: str
    kernel: str
    operating_system: str
    cpu_count: int
    memory_bytes: int
    swap_bytes: int
    boot_id: str
    agent_version: str
    python: str
    sensors: _containers.RepeatedCompositeFieldContainer[Sensor]
    accelerators: _containers.RepeatedCompositeFieldContainer[Accelerator]
    worker: WorkerRuntime
    power_mode: str
    disk_free_bytes: int
    environment_digest: str
    serial_number: str
    l4t_release: str
    def __init__(self, hostname: _Optional[str] = ..., machine: _Optional[str] = ..., processor: _Optional[str] = ..., architecture: _Optional[str] = ..., kernel: _Optional[str] = ..., operating_system: _Optional[str] = ..., cpu_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., swap_bytes: _Optional[int] = ..., boot_id: _Optional[str] = ..., agent_version: _Optional[str] = ..., python: _Optional[str] = ..., sensors: _Optional[_Iterable[_Union[Sensor, _Mapping]]] = ..., accelerators: _Optional[_Iterable[_Union[Accelerator, _Mapping]]] = ..., worker: _Optional[_Union[WorkerRuntime, _Mapping]] = ..., power_mode: _Optional[str] = ..., disk_free_bytes: _Optional[int] = ..., environment_digest: _Optional[str] = ..., serial_number: _Optional[str] = ..., l4t_release: _Optional[str] = ...) -> None: ...
