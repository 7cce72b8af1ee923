from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class EnrollRequest(_message.Message):
    __slots__ = ("device_id", "token", "certificate_request_pem")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_PEM_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    token: str
    certificate_request_pem: str
    def __init__(self, device_id: _Optional[str] = ..., token: _Optional[str] = ..., certificate_request_pem: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("certificate_pem", "ca_pem", "fleet_id")
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    FLEET_ID_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: str
    ca_pem: str
    fleet_id: str
    def __init__(self, certificate_pem: _Optional[str] = ..., ca_pem: _Optional[str] = ..., fleet_id: _Optional[str] = ...) -> None: ...

class EnrollPersonRequest(_message.Message):
    __slots__ = ("name", "token", "certificate_request_pem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_PEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    token: str
    certificate_request_pem: str
    def __init__(self, name: _Optional[str] = ..., token: _Optional[str] = ..., certificate_request_pem: _Optional[str] = ...) -> None: ...

class EnrollPersonResponse(_message.Message):
    __slots__ = ("certificate_pem", "ca_pem", "fleet_id", "role")
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    FLEET_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: str
    ca_pem: str
    fleet_id: str
    role: str
    def __init__(self, certificate_pem: _Optional[str] = ..., ca_pem: _Optional[str] = ..., fleet_id: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...
