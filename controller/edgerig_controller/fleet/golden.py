"""Which study is golden: the same small work again and again, so that a change is the device's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edgerig.errors import UsageError
from edgerig_controller.study.yaml_source import read

STUDY = """\
edgerig: 1
name: golden
protocol: quick
seeds: [1]
tasks: [{name: lamp-2, source: synthetic, users: 8, items_per_user: 2}]
factors:
  model: [starter/small]
  method: [{kind: none}]
  history: [4]
budgets: {attempt: {duration_s: 600}}
inference: {prompt_tokens: 64, new_tokens: 32, batch: 1, requests: 30}
"""


@dataclass(frozen=True)
class GoldenPlan:
    """Which study is golden, and how often; `every_s` None = only when somebody asks."""

    study: str = STUDY
    origin: str = "golden"
    folder: str = "/"
    every_s: float | None = None


def for_device(plan: GoldenPlan, device_id: str, now_unix_s: float) -> str:
    """Returns the study file of one golden trial: a name of its own, and this device alone.

    Raises:
        StudyProblems: the golden study is no YAML.
        UsageError: it is no mapping.
    """
    value: Any = read(plan.study, plan.origin).value
    if not isinstance(value, dict):
        raise UsageError(f"{plan.origin} is no study file.")
    stamp = datetime.fromtimestamp(now_unix_s, timezone.utc).strftime("%Y%m%dT%H%M%S")
    # Names of studies are bounded; the device's is, too.
    named = {**value, "name": f"golden-{device_id[:40]}-{stamp}", "devices": {"names": [device_id]}}
    return json.dumps(named)
