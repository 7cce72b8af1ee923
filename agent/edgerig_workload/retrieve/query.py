"""What is searched for and what is searched in, by LaMP's rules for each task.

Knows nothing of how a search ranks.
"""

from __future__ import annotations

import re

from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import TaskSpec

_QUOTED = re.compile(r'"([^"]*)"')
# The query of these tasks is the input's text after the first of these words.
_MARKERS = {"lamp-2": "description:", "lamp-2n": "article:", "lamp-3": "review:", "lamp-4": "article:"}


def query(spec: TaskSpec, item: Item) -> str:
    """Return the text that stands for a question in a search of the user's profile.

    Where an input lacks its task's marker, the whole input is the query.
    """
    if spec.family == "plain":
        return item.input
    if spec.family == "lamp-1":
        # First comes the author's own title, then the two candidates.
        candidates = _QUOTED.findall(item.input)[1:3]
        return " ".join(candidates) or item.input
    marker = _MARKERS.get(spec.family, ":")
    _, found, tail = item.input.partition(marker)
    return tail.strip() if found else item.input


def document(spec: TaskSpec, entry: ProfileItem) -> str:
    """Return the text of a profile item that is searched."""
    if spec.family in ("lamp-1", "lamp-4", "lamp-5"):
        return f"{entry.output} {entry.text}"
    return f"{entry.title} {entry.text}" if entry.title else entry.text
