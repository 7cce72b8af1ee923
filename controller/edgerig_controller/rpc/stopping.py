"""Asks after each block of an adaptive study whether the rest need run, and leaves out what need not.

On the thread of the store, before the reply to the commit that ended the
block: the device that asks next gets what is left. What takes time to import is
imported only for studies that ask for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgerig_controller.store.repository import Repository


def stop_early(store: Repository, study_id: str, attempt_id: str, *, now_unix_s: float) -> int:
    """Leaves out trials that need not run any more; returns how many.

    Args:
        store: where the study is.
        study_id: the study whose trial has just got its result.
        attempt_id: that result's attempt.
        now_unix_s: the time.

    Raises:
        DataError: a registered claim cannot be read.
    """
    if not store.block_ended(study_id, attempt_id):
        return 0
    study = store.find_study(study_id)
    resolved = study.resolved
    if resolved.get("stop", "never") == "never" and not resolved.get("precision"):
        return 0
    from edgerig_controller.evidence.judge import claim_of
    from edgerig_controller.evidence.stopping import left_out
    from edgerig_controller.report.data import StudyData

    data = StudyData.load(store, study)
    found = left_out(data, [claim_of(entry) for entry in study.claims])
    if not found:
        return 0
    reasons = {entry.trial_id: entry.reason for entry in found}
    return store.leave_out(study_id, reasons, now_unix_s=now_unix_s)
