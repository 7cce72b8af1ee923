"""What speaks against the findings: found in the records, and true of any report of ours."""

from __future__ import annotations

from collections.abc import Sequence

from edgerig_controller.evidence.build import Evidence
from edgerig_controller.evidence.judge import Guide
from edgerig_controller.guidelines.contamination import Contamination
from edgerig_controller.guidelines.guideline import INSTRUMENT_CHECK

LIMITS = (
    "The body of arXiv 2406.03777 was not at hand: H1 to H8 follow statements that could be recovered from "
    "its abstract, summaries and reviews, not its exact settings.",
    "Tiny models and synthetic tasks validate the instrument, not the guidelines; a verdict from them is "
    "labelled instrument check.",
    "Hours of an NVIDIA A10 cannot be compared with hours of an edge box: map through samples.",
    "A few tasks support statements about these tasks; the prediction interval says how far beyond.",
)


def threats(guide: Guide, contamination: Sequence[Contamination] = ()) -> tuple[str, ...]:
    """Lists what in these records weakens what they seem to say.

    Args:
        guide: the judged claims with their evidence.
        contamination: results of the probe; none = it was not run.
    """
    evidence = guide.evidence
    ok = evidence.usable()
    found = [notice.text for notice in evidence.notices]
    if any(run.protocol == "quick" for run in ok):
        found.append(
            "the protocol quick was used: short idles and no minimum window; latency and energy show orders "
            "of magnitude"
        )
    if any(entry.label == INSTRUMENT_CHECK for entry in guide.guidelines):
        found.append("starter models were used: verdicts on them are an instrument check")
    if any(run.emulated_bytes for run in ok):
        found.append("memory limits emulate smaller boxes: speed and energy are those of the larger one")
    late = [entry.claim_id for entry in guide.guidelines if not entry.preregistered and entry.origin.run_ids]
    if late:
        found.append(
            f"results older than the registration of the study entered {', '.join(late)}: not pre-registered"
        )
    found += _settings(evidence)
    found += _contaminated(contamination)
    return tuple(dict.fromkeys(found))


def _contaminated(rows: Sequence[Contamination]) -> list[str]:
    """Says what the probe found, or that nobody asked it."""
    if not rows:
        return [
            "contamination was not probed: whether a model saw the test answers in pre-training is unknown "
            "(edgerig task contamination STUDY)"
        ]
    found = []
    for state, text in (
        ("sign", "the probe found a sign of contamination"),
        ("not excluded", "contamination cannot be excluded, for the right answers are preferred"),
        ("unknown", "contamination could not be probed"),
    ):
        mine = [f"{row.model} on {row.task}" for row in rows if row.state == state]
        if mine:
            found.append(f"{text}: {', '.join(mine)}")
    return found


def _settings(evidence: Evidence) -> list[str]:
    """Says which settings differ between studies, since they split what could be pooled."""
    if len(evidence.studies) < 2:
        return []
    usual = {"model", "method", "compression", "history"}
    names = sorted({name for config in evidence.records.configs for name in config.factors} - usual)
    if not names:
        return []
    return [f"the studies differ in {', '.join(names)}: these count as factors, so only like is compared"]
