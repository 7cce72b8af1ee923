"""What key words mean in a synthetic world, to all users and to each.

A key is a word's number; a code is what it means (a tag, a score, a word of a
title). All numbers are drawn by integers and `random.random` alone, whose
sequence Python promises to keep. Knows nothing of texts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgerig.errors import UsageError
from edgerig_controller.data import lexicon

T = TypeVar("T")

SCORES = 5
# Topics whose numbers differ by a multiple of this are of one family: the world takes them alike.
FAMILIES = 8
# Which families share a meaning in a world: three have the most frequent, two the next.
FAMILY_RANKS = (0, 0, 0, 1, 1, 2, 3, 4)


@dataclass(frozen=True)
class Knobs:
    """What is planted.

    label_noise: share of answers drawn at random (difficulty).
    classes: number of tags of lamp-2, 2 to 15 (difficulty).
    output_words: words of a generated title, 2 to 6 (difficulty).
    personal_signal: share of a user's key words whose meaning is the user's own.
    retrievability: share of questions that use the key word as the history does,
        and not its other name.
    """

    label_noise: float = 0.05
    classes: int = 8
    output_words: int = 3
    personal_signal: float = 0.4
    retrievability: float = 0.9

    def __post_init__(self) -> None:
        for name in ("label_noise", "personal_signal", "retrievability"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")
        if not 2 <= self.classes <= len(lexicon.LABELS):
            raise UsageError(f"classes is {self.classes}; 2 to {len(lexicon.LABELS)} is possible")
        if not 2 <= self.output_words <= 6:
            raise UsageError(f"output_words is {self.output_words}; 2 to 6 is possible")


class Draw:
    """Draws that depend on a key alone, and on nothing of Python's that may change."""

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big")).random

    def chance(self, share: float) -> bool:
        """Return True in this share of the calls."""
        return self._random() < share

    def below(self, count: int) -> int:
        """Return a number from 0 to count - 1."""
        return int(self._random() * count)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def sample(self, options: Iterable[T], count: int) -> tuple[T, ...]:
        """Return `count` of the options in random order, each at most once."""
        left = list(options)
        return tuple(left.pop(self.below(len(left))) for _ in range(count))


@dataclass(frozen=True)
class World:
    """Meanings that all users share: a code for each key, none where each draws its own."""

    codes: int
    opener: str
    code_of_key: tuple[int, ...] = ()


@dataclass(frozen=True)
class User:
    """A user: keys of interest, the name the user has for each key, and what each means."""

    task: str
    name: str
    history: int
    interests: tuple[int, ...]
    name_of_key: tuple[int, ...]
    code_of_key: tuple[int, ...]
    opener: str
    codes: int


def keys_of(task: str) -> tuple[tuple[str, str], ...]:
    """Return the two names of each key of a task."""
    return lexicon.QUALITIES if task == "lamp-3" else lexicon.TOPICS


def codes_of(task: str, knobs: Knobs) -> int:
    """Return how many different things a key of a task can mean."""
    counts = {"lamp-1": len(lexicon.TOPICS), "lamp-2": knobs.classes, "lamp-3": SCORES}
    return counts.get(task, len(lexicon.EPITHETS))


def shared_world(task: str, seed: int, knobs: Knobs) -> World:
    """Draw what keys mean to all users of one data set."""
    draw = Draw("world", task, seed)
    count, codes = len(keys_of(task)), codes_of(task, knobs)
    if task == "lamp-3":
        meanings = usual_meanings(task)
    elif task == "lamp-1":
        meanings = draw.sample(range(count), count)
    else:
        # Families share a meaning, so that a few hundred examples can teach them. Some
        # meanings are frequent and some rare, as LaMP's tags are.
        ranked = draw.sample(range(codes), codes)
        of_family = draw.sample([ranked[rank % codes] for rank in FAMILY_RANKS], FAMILIES)
        meanings = tuple(of_family[key % FAMILIES] for key in range(count))
    return World(codes, draw.pick(lexicon.OPENERS), meanings)


def usual_meanings(task: str) -> tuple[int, ...]:
    """Return the code that each key has by custom; a family of topics has its own."""
    count = len(keys_of(task))
    if task == "lamp-3":
        return tuple(key * SCORES // count for key in range(count))
    if task == "lamp-1":
        return tuple((key + FAMILIES) % count for key in range(count))
    return tuple(key % FAMILIES for key in range(count))


def one_user(task: str, name: str, world: World, history: int, key: tuple[object, ...], knobs: Knobs) -> User:
    """Draw a user whose keys mean what they mean to all, but for the user's own share.

    `key` tells this user's draws from all others'.
    """
    draw = Draw("user", task, *key)
    count = len(keys_of(task))
    shift = draw.pick((-2, -1, 1, 2))
    meanings = []
    for place in range(count):
        own, random_code = draw.chance(knobs.personal_signal), draw.below(world.codes)
        if not world.code_of_key:
            meanings.append(random_code)
        elif not own:
            meanings.append(world.code_of_key[place])
        elif task == "lamp-3":
            # A strict or a generous user moves scores; one does not draw them anew.
            meanings.append(min(SCORES - 1, max(0, world.code_of_key[place] + shift)))
        else:
            meanings.append(random_code)
    interests = draw.sample(range(count), min(count // 2, max(2, history // 2)))
    own_opener = draw.pick(lexicon.OPENERS)
    return User(
        task=task,
        name=name,
        history=history,
        interests=interests,
        name_of_key=tuple(draw.below(2) for _ in range(count)),
        code_of_key=tuple(meanings),
        opener=own_opener if draw.chance(knobs.personal_signal) else world.opener,
        codes=world.codes,
    )
