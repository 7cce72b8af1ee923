"""How hard a task is, known before anything is trained on it: D1 to D5.

    D1  headroom that a reference model leaves, zero-shot
    D2  bits per label of a small fixed probe that learns as it goes
    D3  score of copying the output of the best matching profile item
    D4  entropy of the outputs, or how much of a long output is new
    D5  D3 minus the same with another user's profile: how personal the task is

D2 to D5 need no model. Difficulty must be computed on other users than the
contrasts that it explains (`development_half`): otherwise regression to the mean makes an
inverted U of nothing. Sources: prequential code length after Dawid (1984);
BM25 after Robertson and others (1994), k1 1.5 and b 0.75.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

Score = Callable[[str, str], float]
K1, B = 1.5, 0.75


@dataclass(frozen=True)
class ProfileItem:
    """One earlier item of a user."""

    text: str
    output: str


@dataclass(frozen=True)
class Question:
    """One question of a user with the expected output and the user's history."""

    user: str
    text: str
    output: str
    profile: tuple[ProfileItem, ...]


@dataclass(frozen=True)
class Difficulty:
    """D1 to D5 of one task; None where it cannot be computed. D2 is in bits, D4 in bits or in words."""

    d1: float | None
    d2: float | None
    d3: float | None
    d4: float
    d5: float | None

    def as_mapping(self) -> dict[str, float]:
        """Returns the measures that are known, by name."""
        named = zip(
            ("D1", "D2", "D3", "D4", "D5"), (self.d1, self.d2, self.d3, self.d4, self.d5), strict=True
        )
        return {name: value for name, value in named if value is not None}


def development_half(questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """Splits by user into development and test questions; no user is in both."""
    users = sorted({question.user for question in questions})
    development = set(users[1::2])
    return (
        [question for question in questions if question.user in development],
        [question for question in questions if question.user not in development],
    )


def measure(
    questions: Sequence[Question],
    score: Score,
    *,
    closed_set: bool,
    reference: tuple[float, float] | None = None,
) -> Difficulty:
    """Computes all measures of one task.

    Args:
        questions: development questions only.
        score: of an output against the expected one, from 0 to 1.
        closed_set: outputs are labels; else they are free text.
        reference: quality of the reference model and of chance, for D1.

    Raises:
        ValueError: there is no question.
    """
    if not questions:
        raise ValueError("difficulty needs at least one development question")
    own, other = None, None
    if not closed_set or histories_answer(questions):
        own, other = copying(questions, score), copying(_other_profiles(questions), score)
    return Difficulty(
        d1=None if reference is None else headroom(*reference),
        d2=code_length(questions) if closed_set else None,
        d3=own,
        d4=label_entropy(questions) if closed_set else novelty(questions),
        d5=None if own is None or other is None else own - other,
    )


def score_of(kind: str) -> Score:
    """Returns how copies are scored: labels exactly, ratings 1 - |error| / 4, text by unigram F1.

    The last is ROUGE-1 F (Lin 2004) without stemming; words are split at white space.

    Raises:
        ValueError: the kind is not classification, rating or generation.
    """
    scores: dict[str, Score] = {
        "classification": lambda output, expected: float(output.strip() == expected.strip()),
        "rating": _rating_score,
        "generation": _unigram_f1,
    }
    if kind not in scores:
        raise ValueError(f"kind is {kind!r}, expected classification, rating or generation")
    return scores[kind]


def chance(questions: Sequence[Question], score: Score, *, closed_set: bool) -> float:
    """Returns the mean score of the best answer that is the same for all; 0 for free text."""
    if not closed_set:
        return 0.0
    answers = {question.output for question in questions}
    return max(
        math.fsum(score(answer, question.output) for question in questions) / len(questions)
        for answer in sorted(answers)
    )


def _rating_score(output: str, expected: str) -> float:
    try:
        return max(0.0, 1.0 - abs(float(output) - float(expected)) / 4.0)
    except ValueError:
        return 0.0


def _unigram_f1(output: str, expected: str) -> float:
    made, wanted = Counter(_tokens(output)), Counter(_tokens(expected))
    common = (made & wanted).total()
    return 2.0 * common / (made.total() + wanted.total()) if common else 0.0


def histories_answer(questions: Sequence[Question]) -> bool:
    """Tells whether any history holds an output that answers some question; else none can be copied."""
    answers = {question.output for question in questions}
    return any(item.output in answers for question in questions for item in question.profile)


def headroom(reference: float, chance: float, ceiling: float = 1.0) -> float:
    """D1: 1 - (reference - chance) / (ceiling - chance); 0 = solved, 1 = no better than chance.

    Raises:
        ValueError: chance is not below the ceiling.
    """
    if not chance < ceiling:
        raise ValueError(f"chance {chance} is not below the ceiling {ceiling}")
    return 1.0 - (reference - chance) / (ceiling - chance)


def code_length(questions: Sequence[Question]) -> float:
    """D2: mean bits to tell each label before it is learned, by naive Bayes over the words met so far.

    Labels are those that occur; counts start at one (Laplace).
    """
    labels = sorted({question.output for question in questions})
    seen: Counter[str] = Counter()
    words: dict[str, Counter[str]] = {label: Counter() for label in labels}
    vocabulary = {word for question in questions for word in _tokens(question.text)}
    bits = 0.0
    for question in questions:
        tokens = _tokens(question.text)
        scores = [_log_joint(label, tokens, seen, words, len(labels), len(vocabulary)) for label in labels]
        told = scores[labels.index(question.output)]
        bits += (float(np.logaddexp.reduce(scores)) - told) / math.log(2)
        seen[question.output] += 1
        words[question.output].update(tokens)
    return bits / len(questions)


def _log_joint(
    label: str,
    tokens: Sequence[str],
    seen: Mapping[str, int],
    words: Mapping[str, Counter[str]],
    n_labels: int,
    n_words: int,
) -> float:
    counts = words[label]
    total = counts.total() + n_words
    prior = math.log((seen[label] + 1) / (sum(seen.values()) + n_labels))
    return prior + math.fsum(math.log((counts[token] + 1) / total) for token in tokens)


def copying(questions: Sequence[Question], score: Score) -> float | None:
    """D3: mean score of the output of the best profile item; None when nobody has a profile.

    A question without a profile scores 0: there is nothing to copy.
    """
    if not any(question.profile for question in questions):
        return None
    gained = [
        score(best_match(question.text, question.profile).output, question.output)
        for question in questions
        if question.profile
    ]
    return math.fsum(gained) / len(questions)


def best_match(query: str, profile: Sequence[ProfileItem]) -> ProfileItem:
    """Returns the item of highest BM25 score, the first of equals."""
    documents = [Counter(_tokens(item.text)) for item in profile]
    mean_length = max(sum(document.total() for document in documents) / len(documents), 1.0)

    def relevance(document: Counter[str]) -> float:
        norm = K1 * (1 - B + B * document.total() / mean_length)
        return math.fsum(
            _idf(term, documents) * document[term] * (K1 + 1) / (document[term] + norm)
            for term in _tokens(query)
            if document[term]
        )

    return profile[max(range(len(profile)), key=lambda at: (relevance(documents[at]), -at))]


def label_entropy(questions: Sequence[Question]) -> float:
    """D4 of labels: their entropy in bits."""
    counts = Counter(question.output for question in questions)
    shares = [count / len(questions) for count in counts.values()]
    return -math.fsum(share * math.log2(share) for share in shares)


def novelty(questions: Sequence[Question]) -> float:
    """D4 of free text: mean number of output words times the share of them that the input lacks."""
    found = []
    for question in questions:
        words, known = _tokens(question.output), set(_tokens(question.text))
        found.append(float(sum(word not in known for word in words)))
    return math.fsum(found) / len(found)


def rank_correlation(tasks: Sequence[Mapping[str, float]]) -> dict[tuple[str, str], float]:
    """Returns Spearman's correlation of every two measures over tasks; needs three tasks.

    A measure that is the same on all tasks has no rank and is left out.

    Raises:
        ValueError: fewer than three tasks.
    """
    if len(tasks) < 3:
        raise ValueError("a rank correlation needs at least three tasks")
    names = sorted(set.intersection(*(set(task) for task in tasks)))
    varying = [name for name in names if len({task[name] for task in tasks}) > 1]
    return {
        (a, b): float(spearmanr([task[a] for task in tasks], [task[b] for task in tasks]).statistic)
        for i, a in enumerate(varying)
        for b in varying[i + 1 :]
    }


def _other_profiles(questions: Sequence[Question]) -> list[Question]:
    """Gives every user the profile of the next user (the last that of the first)."""
    profiles = {question.user: question.profile for question in questions}
    users = sorted(profiles)
    if len(users) < 2:
        return []
    following = dict(zip(users, [*users[1:], users[0]], strict=True))
    return [Question(q.user, q.text, q.output, profiles[following[q.user]]) for q in questions]


def _idf(term: str, documents: Sequence[Counter[str]]) -> float:
    containing = sum(1 for document in documents if term in document)
    return math.log1p((len(documents) - containing + 0.5) / (containing + 0.5))


def _tokens(text: str) -> list[str]:
    return text.lower().split()
