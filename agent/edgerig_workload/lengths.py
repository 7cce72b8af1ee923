"""How long the prompts of an evaluation will be, before anything is retrieved for them.

For engines that set aside memory for a context when they load a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgerig_workload.catalog import METHODS
from edgerig_workload.learn.context import Questions, offered
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import ProfileItem
from edgerig_workload.tasks.prompts import bare, worded
from edgerig_workload.trial import Trial

# Entries are told apart by their characters; their tokens may be so many more, in percent and in tokens.
_MARGIN_PERCENT, _MARGIN_TOKENS = 25, 64


def longest_tokens(trial: Trial, text: Loaded, questions: Questions | None) -> int:
    """Return what the longest prompt and its answer will take at most, in tokens; 0 without questions.

    A retrieving method is taken to find the longest entries of every history.
    """
    if questions is None or not questions.items:
        return 0
    spec = questions.spec
    room = max(1, text.max_tokens - spec.answer_tokens)
    longest = max(text.count(bare(spec, item)) for item in questions.items)
    if METHODS[trial.method.kind]["retrieves"]:
        count = trial.method.integer("k")
        for item in questions.items:
            for entries in _longest_entries(offered(item.profile, trial.history), count):
                longest = max(longest, text.count(worded(spec, item, entries, text, room).text))
    guessed = longest + longest * _MARGIN_PERCENT // 100 + _MARGIN_TOKENS
    return min(guessed + spec.answer_tokens, text.max_tokens)


def _longest_entries(entries: Sequence[ProfileItem], count: int) -> list[list[ProfileItem]]:
    """Returns the longest entries by their texts, by their outputs, and by both: prompts show either."""
    sizes: list[Callable[[ProfileItem], int]] = [
        lambda entry: len(entry.text),
        lambda entry: len(entry.output),
        lambda entry: len(entry.text) + len(entry.output),
    ]
    return [sorted(entries, key=size, reverse=True)[:count] for size in sizes]
