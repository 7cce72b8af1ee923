"""What a trial says about its task, as one frozen value.

Does not know where the questions come from or how prompts are worded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from edgerig_workload.tasks.items import DataFault
from edgerig_workload.tasks.wording import CUE, END, PUBLISHED, PUBLISHED_FAMILIES

Kind = Literal["classification", "rating", "generation"]
KINDS = ("classification", "rating", "generation")
OWN_PROMPTS = ("lamp-1", "lamp-2", "lamp-3", "lamp-4", "lamp-5", "lamp-6", "lamp-7", "plain")
PROMPTS = (*OWN_PROMPTS, *PUBLISHED_FAMILIES)
METRICS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "rating": ("rating", "accuracy"),
    "generation": ("rouge1_f", "rougeL_f"),
}
ANSWER_TOKENS_OF_KIND: Mapping[str, int] = {"classification": 12, "rating": 4, "generation": 32}
ANSWER_TOKENS_MOST = 4096


@dataclass(frozen=True)
class TaskSpec:
    """One task: what is asked, in which words, and how an output is scored.

    `labels` is the closed set of outputs of a classification, in fixed order;
    empty means an open set. `answer_tokens` is the longest answer generated. `cue` ends a
    prompt; without one an answer is the output alone, as encoder-decoders learn it.
    """

    name: str
    kind: Kind
    metric: str
    prompt: str
    labels: tuple[str, ...] = ()
    answer_tokens: int = 32
    cue: str = CUE

    @property
    def published(self) -> bool:
        """Whether prompts are worded as LaMP's authors publish them."""
        return self.prompt.endswith(PUBLISHED)

    @property
    def family(self) -> str:
        """The task's family, whoever words its prompts."""
        return self.prompt.removesuffix(PUBLISHED)

    def for_model(self, *, encoder_decoder: bool) -> TaskSpec:
        """Return the task as it is put to a kind of model: published prompts have no cue of their own."""
        return replace(self, cue="") if self.published and encoder_decoder else self

    def answer(self, output: str) -> str:
        """Write an output as what follows a prompt; line breaks inside become blanks."""
        said = " ".join(output.split())
        return f" {said}{END}" if self.cue else said

    @classmethod
    def from_trial(cls, task: Mapping[str, Any]) -> TaskSpec:
        """Read the proto3 JSON form of the message Task.

        Raises:
            DataFault: the kind, the metric or the prompt family is unknown, or
                they do not go together.
        """
        name = str(task.get("name", ""))
        kind = str(task.get("kind", "")).removeprefix("TASK_KIND_").lower()
        if kind not in KINDS:
            raise DataFault(f"task {name!r}: kind {task.get('kind')!r} is none of {', '.join(KINDS)}")
        metric = str(task.get("metric") or METRICS_OF_KIND[kind][0])
        if metric not in METRICS_OF_KIND[kind]:
            fitting = ", ".join(METRICS_OF_KIND[kind])
            raise DataFault(f"task {name!r}: metric {metric!r} does not score a {kind}; {fitting} does")
        prompt = str(task.get("prompt") or "plain")
        if prompt not in PROMPTS:
            raise DataFault(f"task {name!r}: prompt family {prompt!r} is none of {', '.join(PROMPTS)}")
        return cls(
            name=name,
            kind=cast("Kind", kind),
            metric=metric,
            prompt=prompt,
            labels=tuple(str(label) for label in task.get("labels", ())),
            answer_tokens=_answer_tokens(name, kind, task),
        )


def _answer_tokens(name: str, kind: str, task: Mapping[str, Any]) -> int:
    value = int(task.get("answer_tokens", 0)) or ANSWER_TOKENS_OF_KIND[kind]
    if not 1 <= value <= ANSWER_TOKENS_MOST:
        raise DataFault(f"task {name!r}: answer_tokens is {value}; 1 to {ANSWER_TOKENS_MOST} is possible")
    return value
