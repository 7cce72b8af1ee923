"""Prompts of LaMP as its authors publish them, for data in their format (arXiv 2304.11406).

The questions stand in the data. Here are the prefixes of retrieved items, the division of
the context between them, and the per-user training pairs of arXiv 2409.09510. Two things
are ours: a causal model gets a cue behind the question, and a prompt that is too long
loses the end of its question and keeps the cue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import TaskSpec
from edgerig_workload.tasks.wording import Pair, Personal, Tokens

# The question counts for at most this many tenths of the context against its prefix; the
# share falls by one until every item has room.
_QUESTION_TENTHS = 6
_PATTERNS = "Following the given patterns"
# What of a tweet is given, its rest to be completed.
_OPENING_LEAST, _OPENING_MOST = 0.10, 0.25


@dataclass(frozen=True)
class _Frame:
    """The words around the text of one item.

    `counted` are those that the item's share is charged for, as the authors write them; None =
    two tokens.
    """

    before: str
    after: str
    counted: str | None


def personal(
    spec: TaskSpec, item: Item, retrieved: Sequence[ProfileItem], tokens: Tokens, max_tokens: int
) -> Personal:
    """Put the retrieved items before the question, in at most `max_tokens`.

    The prefix gets what the question leaves, where the question counts for at most 0.6 of
    `max_tokens`. It is split evenly over the items; what one does not use rolls over to the
    next. Where an item gets no room, 0.6 falls by 0.1 at a time, and in the end the question
    stands alone.

    Raises:
        ValueError: `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; at least 1 is needed")
    asked_tokens = tokens.count(item.input + spec.cue)
    for tenths in range(_QUESTION_TENTHS, -1, -1) if retrieved else ():
        room = max_tokens - min(asked_tokens, max_tokens * tenths // 10)
        parts = _parts(spec, retrieved, tokens, room)
        if parts is not None:
            texts, cut = parts
            body = _joined(spec, texts, item.input)
            if body == item.input:
                break
            text, shortened = _fitted(body, spec.cue, tokens, max_tokens)
            return Personal(text, len(texts), cut or shortened)
    text, shortened = _fitted(item.input, spec.cue, tokens, max_tokens)
    return Personal(text, 0, shortened or bool(retrieved))


def pair(spec: TaskSpec, entry: ProfileItem) -> Pair | None:
    """Make what is learnt of one profile item; None where there is nothing to learn.

    lamp-1 learns title to abstract, which is another function than the one it is asked for.
    """
    family, text, output = spec.family, entry.text, entry.output
    if family == "lamp-1":
        text, output = output, text
    elif family == "lamp-7":
        text, output = _opened(entry)
    if not text.strip() or not output.strip():
        return None
    return Pair(_asked(spec, text) + spec.cue, spec.answer(output))


def _asked(spec: TaskSpec, text: str) -> str:
    labels = ", ".join(spec.labels)
    return {
        "lamp-1": f"Write an abstract for this title: {text}",
        "lamp-2": "Which tag does this movie relate to among the following tags? Just answer with the tag "
        f"name without further explanation. tags: [{labels}] description: {text}",
        "lamp-2n": "Which category does this article relate to among the following categories? Just answer "
        f"with the category name without further explanation. categories: [{labels}] article: {text}",
        "lamp-3": "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, "
        f"4, or 5 without further explanation. review: {text}",
        "lamp-4": f"Generate a headline for the following article: {text}",
        "lamp-5": f"Generate a title for the following abstract of a paper: {text}",
        "lamp-6": f"Generate a subject for the following email: {text}",
        "lamp-7": f"Complete the following tweet: {text}",
    }[spec.family]


def _opened(entry: ProfileItem) -> tuple[str, str]:
    """Cuts a tweet in two. The share is drawn by the item's id, the same in every trial."""
    words = entry.text.split()
    drawn = int.from_bytes(hashlib.sha256(entry.id.encode()).digest()[:8], "big") / 2**64
    opening = max(1, int(len(words) * (_OPENING_LEAST + drawn * (_OPENING_MOST - _OPENING_LEAST))))
    return " ".join(words[:opening]), " ".join(words[opening:])


def _frame(spec: TaskSpec, entry: ProfileItem) -> _Frame:
    output = entry.output
    return {
        "lamp-1": _Frame('"', '"', None),
        "lamp-2": _around('the tag for the movie: "', f'" is "{output}" '),
        "lamp-2n": _around('the category for the article: "', f'" is "{output}" '),
        "lamp-3": _around(f'{output} is the score for "', '" '),
        "lamp-4": _around(f'"{output}" is the title for "', '" '),
        "lamp-5": _Frame(f'"{output}" is a title for "', '" ', f'"{output}" is a title " " '),
        "lamp-6": _around(f'"{output}" is the title for "', '" '),
        "lamp-7": _Frame('"', '" ', '"" '),
    }[spec.family]


def _around(before: str, after: str) -> _Frame:
    return _Frame(before, after, f"{before} {after}")


def _fixed_tokens(spec: TaskSpec, count: int, tokens: Tokens) -> int:
    """Counts what the prefix takes besides its items: the `and`s between them, a stop, its words."""
    between = 2 * (count - 1)
    family = spec.family
    if family == "lamp-1":
        return between
    if family == "lamp-5":
        return between + 1 + tokens.count(_PATTERNS)
    if family == "lamp-7":
        return between + 1 + tokens.count(f"are written by user. {_PATTERNS}")
    return between + 1


def _parts(
    spec: TaskSpec, retrieved: Sequence[ProfileItem], tokens: Tokens, room: int
) -> tuple[list[str], bool] | None:
    """Fits every item into its even share and what was left over; None where one gets no room."""
    share = (room - _fixed_tokens(spec, len(retrieved), tokens)) // len(retrieved)
    saved, cut = 0, False
    texts: list[str] = []
    for entry in retrieved:
        frame = _frame(spec, entry)
        needed = 2 if frame.counted is None else tokens.count(frame.counted)
        shown = entry.output if spec.family == "lamp-1" else entry.text
        head = tokens.head(shown, share + saved - needed)
        if head is None:
            return None
        saved += share - head.token_count - needed
        cut = cut or head.cut
        texts.append(f"{frame.before}{head.text}{frame.after}")
    return texts, cut


def _joined(spec: TaskSpec, texts: Sequence[str], asked: str) -> str:
    listed = ", and ".join(texts)
    family = spec.family
    if family == "lamp-1":
        before, found, after = asked.partition("title")
        # As published, a question without the word gets no titles.
        return f"{before}{found}, and {listed}{after}" if found else asked
    if family == "lamp-5":
        return f"{listed}. {_PATTERNS} {asked}"
    if family == "lamp-7":
        return f"{listed} are written by a person. {_PATTERNS} {asked}"
    return f"{listed}. {asked}"


def _fitted(body: str, cue: str, tokens: Tokens, max_tokens: int) -> tuple[str, bool]:
    """Takes tokens from the end of a prompt until it fits with its cue."""
    if tokens.count(body + cue) <= max_tokens:
        return body + cue, False
    # Text and cue may share tokens at their seam, so that the room is found by trying.
    for room in range(max_tokens, -1, -1):
        head = tokens.head(body, room)
        if head is None:
            break
        if tokens.count(head.text + cue) <= max_tokens:
            return head.text + cue, True
    return cue.lstrip() or body[:1], True
