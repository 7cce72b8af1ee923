"""The tables, and nothing else: columns, keys and the indexes that keep promises.

Two promises are unique indexes: at most one canonical result per trial, and at
most one open lease per device. States and classes are the short words of
`edgerig.words`. Times are Unix seconds.
"""

from edgerig_controller.store.tables.attempts import Artifact, Attempt, Measurement, Result, Score
from edgerig_controller.store.tables.base import GOLDEN_WORDS, HEAD_REVISION, OPEN_WORDS, Base
from edgerig_controller.store.tables.controllers import Controller, Leadership
from edgerig_controller.store.tables.devices import (
    Certificate,
    Device,
    DeviceAdmin,
    DeviceHealth,
    DeviceIntent,
    EnrollToken,
    HealthPoint,
)
from edgerig_controller.store.tables.people import Audit, Event, Person, PersonCertificate, PersonToken
from edgerig_controller.store.tables.studies import Cell, Study, StudyBlob, Trial

__all__ = [
    "GOLDEN_WORDS",
    "HEAD_REVISION",
    "OPEN_WORDS",
    "Artifact",
    "Attempt",
    "Audit",
    "Base",
    "Cell",
    "Certificate",
    "Controller",
    "Device",
    "DeviceAdmin",
    "DeviceHealth",
    "DeviceIntent",
    "EnrollToken",
    "Event",
    "HealthPoint",
    "Leadership",
    "Measurement",
    "Person",
    "PersonCertificate",
    "PersonToken",
    "Result",
    "Score",
    "Study",
    "StudyBlob",
    "Trial",
]
