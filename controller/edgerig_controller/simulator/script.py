"""What a simulated device makes of a trial: how long it takes and what comes of it; pure.

Drawn from the trial's digest, the device and a seed, so that the same fleet
brings the same results again. Every figure says that it was made up: source
`simulated`, flag `simulated`.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from edgerig import documents
from edgerig.errors import UsageError
from edgerig.v1.attempt_pb2 import (
    BOUNDARY_ESTIMATE,
    FAILURE_CLASS_WORKER_ERROR,
    PHASE_INFERENCE,
    PHASE_UNSPECIFIED,
    STATUS_FAILED,
    STATUS_OK,
    AttemptResult,
    Manifest,
    Measurement,
)
from edgerig.v1.trial_pb2 import FileRef, Trial
from edgerig.version import VERSION

FLAG = "simulated"
SOURCE = "simulated"


@dataclass(frozen=True)
class Script:
    """How simulated work goes.

    `duration_s` is the mean, `spread` the share by which it varies either way.
    """

    duration_s: float = 1.0
    spread: float = 0.2
    failure_share: float = 0.0
    seed: int = 0

    def check(self) -> Script:
        """Returns itself.

        Raises:
            UsageError: a number is out of its range.
        """
        if (
            not 0 <= self.duration_s <= 86_400
            or not 0 <= self.spread <= 1
            or not 0 <= self.failure_share <= 1
        ):
            raise UsageError(
                "A simulated trial takes 0 s to a day, with a spread and a failure share of 0 to 1.",
                hint="edgerig simulate --help",
            )
        return self

    def duration_of(self, trial: Trial, device_id: str) -> float:
        """Returns how long a trial takes on a device, in seconds."""
        return self.duration_s * self._draw("duration", trial, device_id).uniform(
            1 - self.spread, 1 + self.spread
        )

    def result(
        self, trial: Trial, device_id: str, attempt_id: str, *, boot_id: str, ran_s: float
    ) -> AttemptResult:
        """Makes a result up."""
        draw = self._draw("result", trial, device_id)
        failed = draw.random() < self.failure_share
        result = AttemptResult(
            attempt_id=attempt_id,
            trial_digest=trial.digest,
            status=STATUS_FAILED if failed else STATUS_OK,
            boot_id=boot_id,
            agent_version=VERSION,
            begin_mono_ns=1,
            end_mono_ns=1 + int(ran_s * 1e9),
            flags=[FLAG],
        )
        if failed:
            result.failure_class = FAILURE_CLASS_WORKER_ERROR
            result.failure_message = "a scripted failure of a simulated device"
            return result
        result.quality = draw.uniform(0.3, 0.9)
        result.item_count = trial.task.item_count
        result.measurements.append(_figure("ttft_s", PHASE_INFERENCE, "p50", draw.uniform(0.05, 0.5)))
        energy = _figure("energy_j", PHASE_UNSPECIFIED, "sum", draw.uniform(2.0, 10.0) * ran_s)
        energy.boundary = BOUNDARY_ESTIMATE
        result.measurements.append(energy)
        return result

    def _draw(self, what: str, trial: Trial, device_id: str) -> random.Random:
        return random.Random(f"{self.seed}/{what}/{trial.digest}/{device_id}")


def files_of(result: AttemptResult) -> tuple[Manifest, dict[str, bytes]]:
    """Returns the manifest of a result and the content of its files, by sha256."""
    content = documents.canonical_bytes(documents.to_json(result))
    sha256 = hashlib.sha256(content).hexdigest()
    reference = FileRef(path="result.json", sha256=sha256, size_bytes=len(content))
    return Manifest(attempt_id=result.attempt_id, files=[reference]), {sha256: content}


def _figure(name: str, phase: int, statistic: str, value: float) -> Measurement:
    return Measurement(
        name=name,
        phase=phase,  # type: ignore[arg-type]
        statistic=statistic,
        value=value,
        source=SOURCE,
        method="scripted",
        flags=[FLAG],
    )
