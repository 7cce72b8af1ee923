"""What prompts are made of: the texts that come out, and what is asked of a tokenizer. Holds data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# Ends the prompt of a causal model, which continues it with the answer.
CUE = "\nanswer:"
END = "\n"
# Families whose prompts are those that LaMP's authors publish.
PUBLISHED = "-published"
PUBLISHED_FAMILIES = tuple(f"lamp-{name}{PUBLISHED}" for name in ("1", "2", "2n", "3", "4", "5", "6", "7"))


@dataclass(frozen=True)
class Personal:
    """A personal prompt; `truncated` says that a retrieved text or the question was cut or left out."""

    text: str
    used_count: int
    truncated: bool


@dataclass(frozen=True)
class Pair:
    """One thing to learn: the model sees `prompt` and the loss is taken on `answer`."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Head:
    """The beginning of a text: what is left of it, and its tokens with those that the tokenizer adds."""

    text: str
    token_count: int
    cut: bool


class Tokens(Protocol):
    """A tokenizer as prompts need it."""

    def count(self, text: str) -> int:
        """Count the tokens of a text with those that the tokenizer adds."""
        ...

    def head(self, text: str, most: int) -> Head | None:
        """Return what fits into `most` tokens, added ones among them; None where not even those fit."""
        ...
