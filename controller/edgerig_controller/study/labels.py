"""Label expressions: `orin and not (nx or lab-b)`, as pure functions of a device's labels.

    expression = term {"or" term}
    term       = factor {"and" factor}
    factor     = "not" factor | "(" expression ")" | label

A single label is an expression. Text of people: length, depth and words are
bounded, and a fault is reported with its column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache

MAX_CHARS = 500
_MAX_DEPTH = 32
_TOKEN = re.compile(r"\s*(?:(?P<mark>[()])|(?P<word>[A-Za-z0-9][A-Za-z0-9._:=-]*))")
# Joins, and no labels.
WORDS = frozenset({"and", "or", "not"})

Test = Callable[[Collection[str]], bool]


class ExpressionError(ValueError):
    """An expression cannot be read; the message says where and what was expected."""


def holds(expression: str, labels: Collection[str]) -> bool:
    """Tells whether a device with these labels meets the expression.

    Raises:
        ExpressionError: it is not one.
    """
    return compiled(expression)(labels)


def check(expression: str) -> str:
    """Returns the expression when it is one.

    Raises:
        ExpressionError: it is not.
    """
    compiled(expression)
    return expression


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Test:
    """Returns the test that an expression stands for.

    Raises:
        ExpressionError: it is not one.
    """
    if len(expression) > MAX_CHARS:
        raise ExpressionError(f"the expression has more than {MAX_CHARS} characters")
    parser = _Parser(_tokens(expression))
    test = parser.expression(0)
    parser.end()
    return test


def _tokens(text: str) -> list[tuple[str, int]]:
    tokens: list[tuple[str, int]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            place = len(text) - len(text[position:].lstrip()) + 1
            raise ExpressionError(f"column {place}: {text[place - 1]!r} is no part of a label")
        group = "mark" if match["mark"] else "word"
        tokens.append((match[group], match.start(group) + 1))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens; the depth is bounded."""

    def __init__(self, tokens: list[tuple[str, int]]) -> None:
        self._tokens = tokens
        self._next = 0

    def expression(self, depth: int) -> Test:
        tests = [self._term(depth)]
        while self._take("or"):
            tests.append(self._term(depth))
        return tests[0] if len(tests) == 1 else lambda labels: any(test(labels) for test in tests)

    def end(self) -> None:
        if self._next < len(self._tokens):
            word, column = self._tokens[self._next]
            raise ExpressionError(f"column {column}: {word!r} follows a complete expression; join by and, or")

    def _term(self, depth: int) -> Test:
        tests = [self._factor(depth)]
        while self._take("and"):
            tests.append(self._factor(depth))
        return tests[0] if len(tests) == 1 else lambda labels: all(test(labels) for test in tests)

    def _factor(self, depth: int) -> Test:
        if depth > _MAX_DEPTH:
            raise ExpressionError(f"the expression is nested more than {_MAX_DEPTH} deep")
        if self._take("not"):
            test = self._factor(depth + 1)
            return lambda labels: not test(labels)
        if self._take("("):
            test = self.expression(depth + 1)
            if not self._take(")"):
                raise ExpressionError("a closing bracket is missing at the end")
            return test
        if self._next >= len(self._tokens):
            raise ExpressionError("a label is missing at the end")
        word, column = self._tokens[self._next]
        if word in WORDS or word in "()":
            raise ExpressionError(f"column {column}: a label is expected, not {word!r}")
        self._next += 1
        return lambda labels: word in labels

    def _take(self, word: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == word:
            self._next += 1
            return True
        return False
