"""No learning: every item is asked with its bare question."""

from __future__ import annotations

from edgerig_workload.learn.context import Context, Learned, Prompt, Worder
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import Item
from edgerig_workload.tasks.prompts import bare, worded
from edgerig_workload.tasks.spec import TaskSpec


def learn(context: Context) -> Learned:
    """Return the wording of bare questions."""
    return Learned(bare_worder(context))


def bare_worder(context: Context) -> Worder:
    """Word items without their history; a question that is too long loses words of its end."""

    def word(item: Item, most_tokens: int) -> Prompt:
        assert context.questions is not None, "items come from the task"
        return _bare(context.questions.spec, context.loaded, item, most_tokens)

    return word


def _bare(spec: TaskSpec, loaded: Loaded, item: Item, most_tokens: int) -> Prompt:
    text = bare(spec, item)
    if len(loaded.encode(text)) <= most_tokens:
        return Prompt(text, 0, truncated=False)
    cut = worded(spec, item, (), loaded, most_tokens)
    return Prompt(cut.text, 0, truncated=True)
