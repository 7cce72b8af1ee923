"""Prompts in words: the bare question, the personal one, and pairs to train on.

One prompt family a LaMP task and `plain` for a user's own questions. A prompt
ends with a cue that a causal model continues with the answer; an answer ends
with a line break. The families here are short, for small models; those of `published`
are the benchmark's own. Knows nothing of tokenizers but a function that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgerig_workload.tasks import published
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import TaskSpec
from edgerig_workload.tasks.wording import CUE, Personal, Tokens
from edgerig_workload.tasks.wording import Pair as Pair

# Largest share of the tokens that the question may claim against its prefix,
# in tenths. LaMP lowers it by 0.1 until the prefix fits.
QUESTION_TENTHS = 6
# A tweet is trained by completing it from this share of its words (LaMP: 10-25 %).
TWEET_OPENING = 0.25

CountTokens = Callable[[str], int]


def question(spec: TaskSpec, text: str) -> str:
    """Word the non-personal question about one text, the way LaMP's inputs are built.

    For lamp-1 the text is the title; its candidates stand only in a question's input.
    """
    labels = ", ".join(spec.labels)
    if spec.prompt == "plain":
        return f"{text}\none of: {labels}" if labels else text
    return {
        "lamp-1": f'Write an abstract for the paper with the title "{text}"',
        "lamp-2": f"Which of these tags fits the movie? tags: [{labels}] description: {text}",
        "lamp-3": f"Which score from 1 to 5 fits the review? review: {text}",
        "lamp-4": f"Write a headline for this article: {text}",
        "lamp-5": f"Write a title for this abstract: {text}",
        "lamp-6": f"Write a subject for this e-mail: {text}",
        "lamp-7": f"Paraphrase this tweet: {text}",
    }[spec.prompt]


def bare(spec: TaskSpec, item: Item) -> str:
    """Word the prompt that knows nothing of the user."""
    return _input(spec, item) + spec.cue


def answer_text(spec: TaskSpec, output: str) -> str:
    """Write an output as the text that follows a prompt; line breaks inside become blanks."""
    return spec.answer(output)


def read_answer(spec: TaskSpec, generated: str) -> str:
    """Read the output out of generated text: its first line, stripped."""
    del spec
    return generated.lstrip().split("\n", 1)[0].strip()


def training_pairs(spec: TaskSpec, profile: Sequence[ProfileItem]) -> list[Pair]:
    """Make what a method may train on out of a profile; items with nothing to learn are left out.

    As in LaMP the pairs come from the profile and never from the questions:
    text to output, for lamp-1 title to abstract, for lamp-7 the rest of a tweet.
    """
    pair = published.pair if spec.published else _pair
    pairs = (pair(spec, entry) for entry in profile)
    return [pair for pair in pairs if pair is not None]


def worded(
    spec: TaskSpec, item: Item, retrieved: Sequence[ProfileItem], tokens: Tokens, max_tokens: int
) -> Personal:
    """Word the prompt with the retrieved items, in the words of the task's family.

    Raises:
        ValueError: `max_tokens` is below 1.
    """
    if spec.published:
        return published.personal(spec, item, retrieved, tokens, max_tokens)
    return personal(spec, item, retrieved, tokens.count, max_tokens)


def personal(
    spec: TaskSpec,
    item: Item,
    retrieved: Sequence[ProfileItem],
    count_tokens: CountTokens,
    max_tokens: int,
) -> Personal:
    """Word the prompt with the retrieved items before the question, in at most `max_tokens`.

    LaMP's budget: the prefix gets what the question leaves, where the question
    counts for at most 0.6 of `max_tokens`; it is split evenly over the items,
    and what one leaves rolls over to the next. Where an item gets no room at
    all, 0.6 falls by 0.1, and in the end the question stands alone. Unlike LaMP,
    a prompt that is still too long loses words of the question's end and keeps
    its cue.

    Raises:
        ValueError: `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; at least 1 is needed")
    body = _input(spec, item)
    body_tokens = count_tokens(body + CUE)
    for tenths in range(QUESTION_TENTHS, -1, -1) if retrieved else ():
        budget = max_tokens - min(body_tokens, max_tokens * tenths // 10)
        parts = _parts(spec, retrieved, count_tokens, budget)
        if parts is None:
            continue
        text, cut = _fitted(spec, body, [part.text for part in parts], count_tokens, max_tokens)
        if not text:
            break
        return Personal(text, len(parts), cut or any(part.cut for part in parts))
    text, cut = _fitted(spec, body, [], count_tokens, max_tokens)
    return Personal(text or CUE.lstrip(), 0, cut or bool(retrieved))


def _input(spec: TaskSpec, item: Item) -> str:
    return question(spec, item.input) if spec.prompt == "plain" else item.input


def _pair(spec: TaskSpec, entry: ProfileItem) -> Pair | None:
    text, output = entry.text, entry.output
    if spec.prompt == "lamp-1":
        text, output = output, text
    elif spec.prompt == "lamp-7":
        words = text.split()
        opening = max(1, round(len(words) * TWEET_OPENING))
        text, output = " ".join(words[:opening]), " ".join(words[opening:])
        if output:
            return Pair(f"Complete this tweet: {text}{CUE}", answer_text(spec, output))
    if not text.strip() or not output.strip():
        return None
    return Pair(question(spec, text) + CUE, answer_text(spec, output))


@dataclass(frozen=True)
class _Part:
    text: str
    cut: bool


def _shown(spec: TaskSpec, entry: ProfileItem) -> str:
    """Returns the text of a profile item that may be cut; its output never is."""
    return entry.output if spec.prompt == "lamp-1" else entry.text


def _example(spec: TaskSpec, text: str, output: str) -> str:
    if spec.prompt == "lamp-1":
        return f'"{text}"'
    if spec.prompt == "lamp-2":
        return f"the tag for the movie: {text} is {output}"
    if spec.prompt == "lamp-3":
        return f"{output} is the score for {text}"
    if spec.prompt == "lamp-7":
        return f'"{text}"'
    if spec.prompt == "plain":
        return f"{text}{CUE} {output}"
    return f"{output} is the title for {text}"


def _joined(spec: TaskSpec, body: str, examples: Sequence[str]) -> str:
    if not examples:
        return body
    if spec.prompt == "plain":
        return "\n\n".join([*examples, body])
    listed = ", and ".join(examples)
    if spec.prompt == "lamp-1":
        # The user's own titles stand with the title in question, as in LaMP.
        head, found, tail = body.partition("title")
        return f"{head}{found} {listed}, and{tail}" if found else f"{listed}. {body}"
    if spec.prompt == "lamp-7":
        return f"{listed} are written by a person. Following the given patterns. {body}"
    if spec.prompt == "lamp-5":
        return f"{listed}. Following the given patterns. {body}"
    return f"{listed}. {body}"


def _parts(
    spec: TaskSpec, retrieved: Sequence[ProfileItem], count_tokens: CountTokens, budget: int
) -> list[_Part] | None:
    """Fits every item into its even share and what was left over; None where one gets no word."""
    # One token for each comma and `and` between items, and one for the full stop.
    share = (budget - 1 - 2 * (len(retrieved) - 1)) // len(retrieved)
    saved, parts = 0, []
    for entry in retrieved:
        room = share + saved
        words = _shown(spec, entry).split(" ")
        kept = _fitting(spec, words, entry.output, count_tokens, room)
        if kept == 0:
            return None
        text = _example(spec, " ".join(words[:kept]), entry.output)
        saved = room - count_tokens(text)
        parts.append(_Part(text, kept < len(words)))
    return parts


def _fitting(spec: TaskSpec, words: list[str], output: str, count_tokens: CountTokens, room: int) -> int:
    def fits(kept: int) -> bool:
        return count_tokens(_example(spec, " ".join(words[:kept]), output)) <= room

    return _most(len(words), fits)


def _fitted(
    spec: TaskSpec, body: str, examples: Sequence[str], count_tokens: CountTokens, max_tokens: int
) -> tuple[str, bool]:
    """Joins the prompt with as many words of the question as fit; '' where none does."""
    words = body.split(" ")

    def prompt(kept: int) -> str:
        return _joined(spec, " ".join(words[:kept]), examples) + CUE

    kept = _most(len(words), lambda count: count_tokens(prompt(count)) <= max_tokens)
    return (prompt(kept) if kept else ""), kept < len(words)


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """Returns the largest number in 0..count that fits; zero is never asked."""
    if fits(count):
        return count
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
