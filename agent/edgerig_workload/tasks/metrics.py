"""Scores of one output against the expected one, each in [0, 1] and better when larger;
and figures of all outputs together, which are no means of such scores.

ROUGE follows the rouge-score package without stemming, and is written out here
so that a board needs no further package. Knows nothing of prompts or models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from edgerig_workload.tasks.spec import TaskSpec

RATING_LEAST = 1.0
RATING_MOST = 5.0
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def score(spec: TaskSpec, output: str, expected: str) -> float:
    """Score an output by the task's metric; 1 is a perfect output.

    Raises:
        ValueError: the metric is unknown, or the expected rating is no number.
    """
    if spec.metric == "accuracy":
        return accuracy(output, expected, spec.labels)
    if spec.metric == "rating":
        return rating(output, expected)
    if spec.metric == "rouge1_f":
        return rouge1_f(output, expected)
    if spec.metric == "rougeL_f":
        return rougel_f(output, expected)
    raise ValueError(f"unknown metric {spec.metric!r}")


def accuracy(output: str, expected: str, labels: Sequence[str] = ()) -> float:
    """Return 1 for the expected label after stripping; an output outside `labels` is wrong."""
    said = output.strip()
    if labels and said not in labels:
        return 0.0
    return 1.0 if said == expected.strip() else 0.0


def rating(output: str, expected: str) -> float:
    """Return 1 - |error| / 4 on the scale 1 to 5.

    An output that is no number counts as the end of the scale farther from the
    expected rating, so that silence is never better than a wrong guess.

    Raises:
        ValueError: `expected` is no number from 1 to 5.
    """
    return max(0.0, 1.0 - _rating_error(output, expected) / (RATING_MOST - RATING_LEAST))


def rouge1_f(output: str, expected: str) -> float:
    """Return the F measure of shared words, each counted at most as often as it is expected."""
    said, gold = _words(output), _words(expected)
    shared = sum((Counter(said) & Counter(gold)).values())
    return _f_measure(shared, len(said), len(gold))


def rougel_f(output: str, expected: str) -> float:
    """Return the F measure of the longest common subsequence of words."""
    said, gold = _words(output), _words(expected)
    return _f_measure(_common_subsequence(said, gold), len(said), len(gold))


def corpus(spec: TaskSpec, outputs: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """Return what LaMP's own evaluation reports for a kind of task, over all items together.

    accuracy and macro_f1 of a classification, mae and rmse of ratings, the means of
    rouge1_f and rougeL_f of generated texts. Errors of ratings are not bounded here, as an
    output may be any number.

    Raises:
        ValueError: there are no items, or an expected rating is no number from 1 to 5.
    """
    if not outputs:
        raise ValueError("there are no items to score")
    pairs = list(zip(outputs, expected, strict=True))
    if spec.kind == "classification":
        hits = sum(accuracy(said, gold, spec.labels) for said, gold in pairs)
        return {"accuracy": hits / len(pairs), "macro_f1": macro_f1(outputs, expected, spec.labels)}
    if spec.kind == "rating":
        errors = [_rating_error(said, gold) for said, gold in pairs]
        return {
            "mae": sum(errors) / len(errors),
            "rmse": math.sqrt(sum(error * error for error in errors) / len(errors)),
        }
    return {
        "rouge1_f": sum(rouge1_f(said, gold) for said, gold in pairs) / len(pairs),
        "rougeL_f": sum(rougel_f(said, gold) for said, gold in pairs) / len(pairs),
    }


def macro_f1(outputs: Sequence[str], expected: Sequence[str], labels: Sequence[str] = ()) -> float:
    """Return the mean over all labels of the F measure of each; outputs outside of them count against recall.

    A label that neither is expected nor was said has 0, as in scikit-learn. Without labels
    those that are expected are meant.
    """
    said = [text.strip() for text in outputs]
    golds = [text.strip() for text in expected]
    measured = list(labels) or sorted(set(golds))
    total = 0.0
    for label in measured:
        hits = sum(one == other == label for one, other in zip(said, golds, strict=True))
        total += _f_measure(hits, said.count(label), golds.count(label))
    return total / len(measured)


def _rating_error(output: str, expected: str) -> float:
    gold = _number(expected)
    if gold is None or not RATING_LEAST <= gold <= RATING_MOST:
        raise ValueError(f"the expected rating {expected!r} is no number from 1 to 5")
    worst = max((RATING_LEAST, RATING_MOST), key=lambda end: abs(end - gold))
    said = _number(output)
    return abs((worst if said is None else said) - gold)


def _number(text: str) -> float | None:
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _words(text: str) -> list[str]:
    return _NOT_A_WORD.sub(" ", text.lower()).split()


def _f_measure(shared: int, said: int, gold: int) -> float:
    if not shared:
        return 0.0
    precision, recall = shared / said, shared / gold
    return 2 * precision * recall / (precision + recall)


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        diagonal = 0
        for place, other in enumerate(right, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
