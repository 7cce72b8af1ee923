"""LaMP-shaped tasks with a planted truth: whose answers depend on what, and how much.

Every text has a key word. What a key word means (a tag, a score, a word of a
headline) is partly the same for all users, the world's part, which can be
learnt from many users' histories; and partly a user's own, which only that
user's history tells. Knobs set the shares. The same arguments give the same
bytes on every Python. Knows nothing of prompts, tokenizers or models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import DataError, UsageError
from edgerig_controller.data import lexicon
from edgerig_controller.data.worlds import (
    FAMILIES,
    Draw,
    Knobs,
    User,
    World,
    codes_of,
    keys_of,
    one_user,
    shared_world,
    usual_meanings,
)

__all__ = ["TASKS", "Document", "Facts", "Knobs", "Row", "corpus", "facts", "generate", "write"]

Row = dict[str, Any]

TASKS = ("lamp-1", "lamp-2", "lamp-3", "lamp-4", "lamp-5", "lamp-7")
# Share of pre-training documents in which words have their usual meanings.
_USUAL_SHARE = {"lamp-2": 0.4}
_USUAL_SHARE_ELSE = 0.2
# How often a pre-training document is of which task; movie tags are the hardest to learn.
_CORPUS_TASKS = (*("lamp-2",) * 10, *("lamp-3",) * 3, *("lamp-4",) * 2, *("lamp-5",) * 2, "lamp-7", "lamp-1")
_KINDS = {"lamp-1": "classification", "lamp-2": "classification", "lamp-3": "rating"}
_METRICS = {"classification": "accuracy", "rating": "rating", "generation": "rouge1_f"}
_ANSWER_TOKENS = {"classification": 12, "rating": 4, "generation": 24}


@dataclass(frozen=True)
class Facts:
    """What the message Task says of a synthetic task; kind is a word of TaskKind."""

    kind: str
    metric: str
    prompt: str
    labels: tuple[str, ...]
    answer_tokens: int


@dataclass(frozen=True)
class Document:
    """One user with one question, to pre-train on.

    `usual`: words have their usual meanings, so that the question can be
    answered without the profile; else they mean something else in each document.
    """

    task: str
    labels: tuple[str, ...]
    row: Row
    usual: bool


def facts(task: str, knobs: Knobs | None = None) -> Facts:
    """Describe a synthetic task.

    Raises:
        UsageError: there is no such synthetic task.
    """
    _known(task)
    kind = _KINDS.get(task, "generation")
    labels: tuple[str, ...] = ()
    if task == "lamp-1":
        labels = ("[1]", "[2]")
    elif task == "lamp-2":
        labels = lexicon.LABELS[: (knobs or Knobs()).classes]
    return Facts(kind, _METRICS[kind], task, labels, _ANSWER_TOKENS[kind])


def generate(
    task: str, *, users: int, items_per_user: int, history: int, seed: int, knobs: Knobs | None = None
) -> list[Row]:
    """Make task data: rows with id, user, input, output and a profile of `history` items.

    A user's rows share the user's profile. More users or items leave the
    earlier ones as they are.

    Raises:
        UsageError: the task is not made synthetically, or a count is out of range.
    """
    _known(task)
    _counted("users", users, 1, 1_000_000)
    _counted("items_per_user", items_per_user, 1, 10_000)
    _counted("history", history, 0, 10_000)
    knobs = knobs or Knobs()
    labels = facts(task, knobs).labels
    world = shared_world(task, seed, knobs)
    rows: list[Row] = []
    for number in range(users):
        person = one_user(task, f"u{number:04d}", world, history, (seed, number), knobs)
        profile = _profile(person, labels, Draw(task, seed, number, "profile"), knobs)
        for place in range(items_per_user):
            draw = Draw(task, seed, number, "item", place)
            rows.append(_question(person, place, profile, labels, draw, knobs))
    return rows


def write(rows: Iterable[Row], path: Path) -> None:
    """Write rows as JSON lines, the same bytes for the same rows.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}", hint="Name a folder that exists and has room."
        ) from error


def corpus(seed: int, documents: int) -> Iterator[Document]:
    """Yield pre-training documents; document n is the same whatever their number.

    In most of them key words mean something else each time, so that a model
    learns to read meanings from examples. In the others they have their usual
    meaning, which a model knows by heart. The worlds of `generate` depart from it
    (but for the scores of lamp-3): what holds there must be shown or trained.
    """
    for number in range(documents):
        draw = Draw("corpus", seed, number)
        task = draw.pick(_CORPUS_TASKS)
        usual = draw.chance(_USUAL_SHARE.get(task, _USUAL_SHARE_ELSE))
        fewest = FAMILIES if usual else 4
        knobs = Knobs(
            label_noise=0.02,
            classes=fewest + draw.below(len(lexicon.LABELS) + 1 - fewest),
            output_words=2 + draw.below(4),
            personal_signal=0.0 if usual else 1.0,
            retrievability=0.98,
        )
        labels = facts(task, knobs).labels
        if task == "lamp-2" and not usual:
            labels = draw.sample(lexicon.LABELS, knobs.classes)
        meanings = usual_meanings(task) if usual else ()
        world = World(
            codes_of(task, knobs), lexicon.OPENERS[0] if usual else draw.pick(lexicon.OPENERS), meanings
        )
        person = one_user(task, f"d{number}", world, 4 + draw.below(9), ("corpus", seed, number), knobs)
        profile = _profile(person, labels, draw, knobs)
        row = _question(person, 0, profile, labels, draw, knobs)
        yield Document(task, labels, row, usual)


def _known(task: str) -> None:
    if task == "lamp-6":
        raise UsageError(
            "lamp-6 is made of licensed e-mails (LDC2015T03) and has no synthetic twin",
            hint="Use lamp-4 or lamp-5, which ask for the same kind of output.",
        )
    if task not in TASKS:
        raise UsageError(f"there is no synthetic task {task!r}", hint=f"Use one of {', '.join(TASKS)}.")


def _counted(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; {least} to {most} is possible")


def _profile(person: User, labels: Sequence[str], draw: Draw, knobs: Knobs) -> list[dict[str, str]]:
    # Every interest comes up before one comes up again, in random order.
    wanted = [person.interests[place % len(person.interests)] for place in range(person.history)]
    entries = []
    for place, key in enumerate(draw.sample(wanted, len(wanted))):
        word = keys_of(person.task)[key][person.name_of_key[key]]
        text, output = _case(person, key, word, labels, draw, knobs)
        if person.task == "lamp-7":
            text, output = output, ""
        entries.append(
            {
                "id": f"{person.name}-p{place}",
                "text": text,
                "output": output,
                "date": f"2024-{1 + place // 28 % 12:02d}-{1 + place % 28:02d}",
            }
        )
    return entries


def _question(
    person: User,
    place: int,
    profile: list[dict[str, str]],
    labels: Sequence[str],
    draw: Draw,
    knobs: Knobs,
) -> Row:
    key = draw.pick(person.interests[: person.history] or person.interests)
    used = person.name_of_key[key]
    name = used if draw.chance(knobs.retrievability) else 1 - used
    word = keys_of(person.task)[key][name]
    if person.task == "lamp-1":
        asked, output = _citation(person, key, word, draw, knobs)
    else:
        text, output = _case(person, key, word, labels, draw, knobs)
        asked = _asked(person.task, text, labels)
    return {
        "id": f"{person.name}-{place}",
        "user": person.name,
        "input": asked,
        "output": output,
        "profile": profile,
    }


def _case(
    person: User, key: int, word: str, labels: Sequence[str], draw: Draw, knobs: Knobs
) -> tuple[str, str]:
    """Draws a text about a key word and what the user makes of it."""
    noisy, random_code = draw.chance(knobs.label_noise), draw.below(person.codes)
    code = random_code if noisy else person.code_of_key[key]
    adjective, who, verb = draw.pick(lexicon.ADJECTIVES), draw.pick(lexicon.PERSONS), draw.pick(lexicon.VERBS)
    place, thing, method = draw.pick(lexicon.PLACES), draw.pick(lexicon.THINGS), draw.pick(lexicon.METHODS)
    if person.task == "lamp-2":
        start = draw.pick(
            (f"a {adjective} {who} {verb} the", f"in a {place} a {who} {verb}", f"the {who} {verb}")
        )
        return f"{start} {word}", labels[code]
    if person.task == "lamp-3":
        return f"the {draw.pick(lexicon.PARTS)} of this {thing} is {word}", str(code + 1)
    if person.task == "lamp-4":
        words = (person.opener, word, lexicon.EPITHETS[code], who, place, verb)
        return f"a {who} in the {place} {verb} {word}", " ".join(words[: knobs.output_words])
    if person.task == "lamp-7":
        styled = f"{person.opener} {who} {verb} {word} {lexicon.CLOSERS[code % len(lexicon.CLOSERS)]}"
        return f"the {adjective} {who} {verb} the {word}", styled
    if person.task == "lamp-1":
        return f"we study {word} with {method} for a {thing}", f"{method} for {word}"
    words = (lexicon.EPITHETS[code], word, method, thing, person.opener, "study")
    return f"we study {word} with {method} for a {thing}", " ".join(words[: knobs.output_words])


def _citation(person: User, key: int, word: str, draw: Draw, knobs: Knobs) -> tuple[str, str]:
    """Draws the question which of two papers an author cites.

    The user's part cites a paper on a key of the user's interests, found in the
    history; the world's part cites one on the key that goes with the title's.
    """
    count = len(lexicon.TOPICS)
    personal = draw.chance(knobs.personal_signal)
    cited = key if personal else person.code_of_key[key]
    others = [other for other in range(count) if other not in person.interests and other != cited]
    wrong = draw.pick(others)
    cited_word = word if cited == key else lexicon.TOPICS[cited][person.name_of_key[cited]]
    titles = [f"{draw.pick(lexicon.METHODS)} for {cited_word}"]
    titles.append(f"{draw.pick(lexicon.METHODS)} for {lexicon.TOPICS[wrong][draw.below(2)]}")
    own_key = draw.pick(person.interests) if personal else key
    own = f"{draw.pick(lexicon.METHODS)} for {lexicon.TOPICS[own_key][person.name_of_key[own_key]]}"
    swapped = draw.chance(0.5)
    if swapped:
        titles.reverse()
    right = swapped != draw.chance(knobs.label_noise / 2)
    return _asked_citation(own, titles[0], titles[1]), "[2]" if right else "[1]"


def _asked(task: str, text: str, labels: Sequence[str]) -> str:
    """Words a question as the workload's prompts do; a test compares the two."""
    return {
        "lamp-2": f"Which of these tags fits the movie? tags: [{', '.join(labels)}] description: {text}",
        "lamp-3": f"Which score from 1 to 5 fits the review? review: {text}",
        "lamp-4": f"Write a headline for this article: {text}",
        "lamp-5": f"Write a title for this abstract: {text}",
        "lamp-7": f"Paraphrase this tweet: {text}",
    }[task]


def _asked_citation(own: str, first: str, second: str) -> str:
    return (
        f'An author wrote a paper with the title "{own}". Which reference is related? '
        f'[1]: "{first}" [2]: "{second}"'
    )
