"""Judges the claims of studies on their evidence, and says of each guideline where it comes from.

Two families, each with Holm of its own: the claims that the study files
registered, and H1 to H10. Pure but for reading the source of the engine, whose
digest names the code that judged.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgerig.errors import DataError
from edgerig.version import VERSION
from edgerig_controller import guidelines as engine
from edgerig_controller.evidence.build import Evidence, only
from edgerig_controller.evidence.runs import Notice, Run
from edgerig_controller.evidence.stopping import decision, is_adaptive
from edgerig_controller.guidelines.claims import SESOI_POINTS, Claim, contradictions, of_study, registered
from edgerig_controller.guidelines.document import SCHEMA_VERSION
from edgerig_controller.guidelines.guideline import Guideline, Origin, judge_family
from edgerig_controller.guidelines.hypotheses import Finding
from edgerig_controller.guidelines.matching import StudyRecords
from edgerig_controller.guidelines.verdict import Verdict
from edgerig_controller.guidelines.wording import few

STUDY_FILE, REGISTERED = "study file", "registered"


@dataclass(frozen=True)
class Guide:
    """Everything that `edgerig guide` found; the claims of study files come first."""

    evidence: Evidence
    guidelines: tuple[Guideline, ...]
    notices: tuple[Notice, ...]

    def family(self, name: str) -> tuple[Guideline, ...]:
        """Returns the guidelines of one family."""
        return tuple(found for found in self.guidelines if found.origin.family == name)

    @property
    def has_errors(self) -> bool:
        """Tells whether something is wrong that no reader may overlook."""
        return any(notice.level == "error" for notice in self.notices)

    def document(self, *, now_unix_s: float) -> dict[str, Any]:
        """Returns the document guidelines.json (`document.DOCUMENT_SCHEMA`)."""
        return {
            "edgerig_guidelines": SCHEMA_VERSION,
            "written_unix_s": now_unix_s,
            "notices": [vars(notice) for notice in self.notices],
            "guidelines": [as_document(found) for found in self.guidelines],
        }


def judge(evidence: Evidence) -> Guide:
    """Judges both families.

    Raises:
        DataError: a registered claim cannot be read (a damaged export).
    """
    entries = _entries(evidence)
    own = _own(evidence, [_covered(claim_of(entry)) for entry in entries])
    fixed = judge_family(
        evidence.records, [_cross_fitted(_covered(claim), evidence) for claim in registered()]
    )
    guidelines = [
        _with_origin(found, family, evidence)
        for family, mine in ((STUDY_FILE, own), (REGISTERED, fixed))
        for found in mine
    ]
    return Guide(evidence, tuple(guidelines), (*evidence.notices, *_notices(entries, own)))


def _own(evidence: Evidence, claims: Sequence[Claim]) -> tuple[Guideline, ...]:
    """Judges the claims of study files; those of an adaptive study as of the looks that settled them."""
    if len(evidence.studies) == 1 and is_adaptive(evidence.studies[0]):
        found = decision(evidence.studies[0], claims)
        if found is not None:
            return found.guidelines
    return judge_family(evidence.records, claims)


def as_document(found: Guideline) -> dict[str, Any]:
    """Returns a guideline as plain JSON values: what is written, and what a replay compares."""
    plain: dict[str, Any] = json.loads(json.dumps(_plain(found.as_json()), allow_nan=False))
    return plain


def _plain(value: Any) -> Any:
    """Turns numpy numbers into Python's, and what is no finite number into null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _entries(evidence: Evidence) -> list[dict[str, Any]]:
    """Brings the registered claims of all studies together; the same one in two studies is one."""
    found: dict[str, dict[str, Any]] = {}
    for data in evidence.studies:
        for given in data.study.claims:
            entry = dict(given)
            name = str(entry.get("id", ""))
            same = found.get(name)
            if same is not None and same != entry:
                name = f"{data.study.name}/{name}"
                entry["id"] = name
            found[name] = entry
    return list(found.values())


def claim_of(entry: Mapping[str, Any]) -> Claim:
    """Makes a claim that is tested on the tasks which its metric scores."""
    try:
        claim = of_study(entry)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"the claim {entry.get('id', '')!r} cannot be read: {error}") from error
    metric = str(entry["metric"])
    scored_by = {"rmse": "rating"}.get(metric, metric)
    if scored_by not in SESOI_POINTS:
        return claim
    inner = claim.measure

    def measure(records: StudyRecords, delta: float) -> Finding:
        kept = only(records, scored_by)
        if records.tasks and not kept.tasks:
            return Finding(None, (f"no task is scored by {scored_by}",))
        return inner(kept, delta)

    return replace(claim, measure=measure)


def _covered(claim: Claim) -> Claim:
    """Tests a claim on the configurations that were planned on all tasks, where these are enough.

    Studies that are pooled plan different cells. A cell that failed is required
    all the same; one that nobody planned is not.
    """
    inner = claim.measure

    def measure(records: StudyRecords, delta: float) -> Finding:
        planned = [set(task.table.configs) for task in records.tasks]
        common = set.intersection(*planned) if planned else set()
        kept = tuple(config for config in records.configs if config.config_id in common)
        if len(kept) == len(records.configs):
            return inner(records, delta)
        found = inner(replace(records, configs=kept), delta)
        if found.effect is None and not found.cells:
            return inner(records, delta)
        left = len(records.configs) - len(kept)
        return replace(found, facts={**found.facts, "left_out_not_planned_on_all_tasks": left})

    return replace(claim, measure=measure)


def _cross_fitted(claim: Claim, evidence: Evidence) -> Claim:
    """Tests a claim on difficulty on users that difficulty was not measured on, where these are known."""
    if not claim.needs_second_definition or not evidence.difficulty:
        return claim
    inner = claim.measure

    def measure(records: StudyRecords, delta: float) -> Finding:
        tasks, fitted = [], True
        for task in records.tasks:
            known = evidence.difficulty.get(task.table.task)
            seen = set(known.development_users) if known is not None else set()
            fitted &= bool(seen)
            kept = [at for at, user in enumerate(evidence.users(task.table.task)) if user not in seen]
            tasks.append(replace(task, table=task.table.users(np.array(kept, dtype=np.int64))))
        found = inner(replace(records, tasks=tuple(tasks)), delta)
        return replace(found, facts={**found.facts, "cross_fitted": fitted})

    return replace(claim, measure=measure)


def _notices(entries: Sequence[Mapping[str, Any]], own: Sequence[Guideline]) -> list[Notice]:
    found = [
        Notice("error", "contradictory_claims", f"the claims {a} and {b} cannot both hold")
        for a, b in contradictions(entries)
    ]
    if not entries:
        text = "the study files register no claim: only H1 to H10 are judged"
        found.append(Notice("notice", "no_claims", text))
    found += [
        Notice("error", "claim_not_tested", f"{entry.claim_id} is not tested: {few(entry.reasons)}")
        for entry in own
        if entry.verdict == Verdict.NOT_TESTED.value
    ]
    return found


def _with_origin(found: Guideline, family: str, evidence: Evidence) -> Guideline:
    runs = entered(found, evidence)
    first = min((run.started_unix_s for run in runs if run.started_unix_s is not None), default=None)
    studies = {run.study_id for run in runs} or {data.study.study_id for data in evidence.studies}
    created = max(data.study.created_unix_s for data in evidence.studies if data.study.study_id in studies)
    origin = Origin(
        family=family,
        studies=tuple(
            {"study_id": data.study.study_id, "name": data.study.name, "digest": data.study.digest}
            for data in evidence.studies
        ),
        run_ids=tuple(sorted(run.attempt_id for run in runs)),
        data_sha256=evidence.data_sha256,
        config_sha256=evidence.config_sha256,
        code=code(),
        registered_unix_s=created,
        first_run_unix_s=first,
        difficulty={task: asdict(entry) for task, entry in evidence.difficulty.items()},
    )
    # Results that are older than the registration may have been looked at before it.
    before = first is None or created <= first
    devices = tuple(sorted({run.device_id for run in runs}))
    scope = found.scope if found.scope.devices else replace(found.scope, devices=devices)
    emulated = sum(bool(run.emulated_bytes) for run in runs)
    if emulated:
        note = f"{emulated} of {len(runs)} runs were made under a memory limit that emulates a smaller box"
        found = replace(found, notes=(*found.notes, note))
    hardware = "emulated" if runs and emulated == len(runs) else found.hardware
    return replace(found, origin=origin, preregistered=before, scope=scope, hardware=hardware)


def entered(found: Guideline, evidence: Evidence) -> list[Run]:
    """Lists the runs whose results entered a guideline."""
    places = {(place.task.removesuffix(f" on {place.device}"), place.device) for place in found.places}
    return [
        run
        for run in evidence.usable()
        if evidence.config_of[run.trial_id] in found.contrast
        and ((run.task, "") in places or (run.task, run.device_id) in places)
    ]


@cache
def code() -> Mapping[str, str]:
    """Names the code that judges: versions, and the digest of the engine's source."""
    total = hashlib.sha256()
    folder = Path(str(engine.__file__)).parent
    for path in sorted(folder.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "edgerig": VERSION,
        "engine_sha256": total.hexdigest(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
    }
