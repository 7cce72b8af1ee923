"""The statements of arXiv 2406.03777 beside our verdicts.

The paper's body was not at hand; the statements are what its abstract,
summaries and public reviews let recover, in our own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_controller.guidelines.guideline import Guideline
from edgerig_controller.report.guide.model import PublishedRow


@dataclass(frozen=True)
class Statement:
    """A published statement, the claims that test it, and what must be said beside them."""

    statement_id: str
    text: str
    claims: tuple[str, ...]
    comment: str


STATEMENTS = (
    Statement(
        "G1",
        "The difficulty of the task decides which model and which learning method are best.",
        ("H1",),
        "Given without numbers; tested as far as H1 does.",
    ),
    Statement(
        "G2",
        "Easy classification: learn parameters. Harder tasks: move to RAG with the strongest model. "
        "Hardest tasks: learn parameters again.",
        ("H1",),
        "No numbers given; a summary of the paper states the opposite direction, reviewers saw hardly a "
        "difference. Independent work (2409.09510) found RAG ahead at small data.",
    ),
    Statement(
        "G3",
        "The strongest model is a quantised one that is good on general benchmarks and still fits the RAM.",
        ("H3c",),
        "Tested at equal RAM: larger and quantised against smaller and full.",
    ),
    Statement(
        "G4",
        "Prompt tuning, prefix tuning and IA3 are weaker than LoRA and RAG.",
        ("H4",),
        "The paper's numbers are not known to us. Learning rates must be tuned per method, else this "
        "compares learning rates.",
    ),
    Statement(
        "G5",
        "Small LoRA rank and alpha suit constrained devices.",
        ("H5",),
        "The paper's ranks are not known to us. Equivalence of rank 64 and rank 8 is what would support it.",
    ),
    Statement(
        "G6",
        "Longer fine-tuning does not necessarily help; 3 to 4 hours are usually enough.",
        ("H2",),
        "The hours are samples per hour of an NVIDIA A10 and no time of an edge box: compare samples. "
        "Equivalence is what would support it.",
    ),
    Statement(
        "G7",
        "RAG should use only a limited amount of the user's history.",
        ("H6",),
        "The paper's sizes are not known to us. Equivalence of all history and the sufficient part is what "
        "would support it.",
    ),
    Statement(
        "G8",
        "A compressed model can beat its uncompressed self when personal data are scarce.",
        ("H3a", "H3b"),
        "Where single runs are compared, noise alone makes the compressed one win in many cells; we pool.",
    ),
    Statement(
        "G9",
        "Within the RAM, a smaller model can beat a larger one on some personalisation tasks.",
        ("H7",),
        "Tested with simultaneous bounds over all pairs of sizes.",
    ),
    Statement(
        "G10",
        "Cause of G8: fine-tuning is mostly forgetting pre-training, and dropped bits make that faster.",
        (),
        "A cause, untested in the paper; no claim of ours tests it.",
    ),
)


def published(guidelines: Sequence[Guideline]) -> tuple[PublishedRow, ...]:
    """Puts our verdicts on H1 to H10 beside the statements."""
    by_id = {found.claim_id: found for found in guidelines}
    return tuple(
        PublishedRow(
            row.statement_id,
            row.text,
            tuple(by_id[name] for name in row.claims if name in by_id),
            row.comment,
        )
        for row in STATEMENTS
    )
