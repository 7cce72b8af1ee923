"""llama.cpp in the worker's process, through llama-cpp-python, which is imported here alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgerig_workload.engines import Ends, Setup
from edgerig_workload.engines.stamps import Stamps
from edgerig_workload.faults import WorkerFault
from edgerig_workload.phases import Marks
from edgerig_workload.trial import Inference


class Llama:
    """One loaded GGUF file. Greedy; prompts are cut into tokens by the file's own vocabulary.

    Memory for the keys and values of the whole context is taken with the model, so that the
    context is as long as the trial needs. A prompt that is longer after all, because the file
    cuts it into other tokens than the tokenizer, has the model opened again for `most_tokens`.
    """

    def __init__(self, load: Callable[[int], Any], tokens: int, most_tokens: int, version: str) -> None:
        self._load = load
        self._tokens_held = tokens
        self._most_tokens = most_tokens
        self._model = load(tokens)
        self._version = version

    def request(self, text: str, shape: Inference, clock: Callable[[], int]) -> Stamps:
        """Answer one prompt, cut to `shape.prompt_tokens`, and stamp each token when its id is known."""
        stamps = Stamps(clock())
        ids = self._tokens(text)[: shape.prompt_tokens]
        stamps.tokens_in = len(ids)
        self._model.reset()
        stamps.model_mono_ns = clock()
        token = self._next(ids)
        stamps.token_mono_ns.append(clock())
        for _ in range(shape.new_tokens - 1):
            token = self._next([token])
            stamps.token_mono_ns.append(clock())
        return stamps

    def instrumented(self, text: str, shape: Inference, marks: Marks) -> None:
        """Run one request with its prefill and its decode marked as phases."""
        ids = self._tokens(text)[: shape.prompt_tokens]
        self._model.reset()
        with marks.phase("prefill"):
            token = self._next(ids)
        if shape.new_tokens > 1:
            with marks.phase("decode"):
                for _ in range(shape.new_tokens - 1):
                    token = self._next([token])

    def answer(self, prompts: Sequence[str], most_tokens: int, ends: Ends) -> list[list[int]]:
        """Answer one prompt after the other; the ids of the file are those of the tokenizer."""
        rows = []
        for prompt in prompts:
            ids = self._tokens(prompt)
            self._hold(len(ids) + most_tokens)
            self._model.reset()
            row = [self._next(ids)]
            while len(row) < most_tokens and not ends(row):
                row.append(self._next(row[-1:]))
            rows.append(row)
        return rows

    def facts(self) -> dict[str, Any]:
        """Return the engine and the version of llama-cpp-python."""
        return {"engine": "llama-cpp", "engine_version": self._version}

    def close(self) -> None:
        """Give the model's memory back."""
        self._model.close()

    def _hold(self, tokens: int) -> None:
        """Opens the model again for its whole context, where so many tokens do not fit."""
        if tokens <= self._tokens_held or self._tokens_held >= self._most_tokens:
            return
        self._model.close()
        self._model = self._load(self._most_tokens)
        self._tokens_held = self._most_tokens

    def _tokens(self, text: str) -> list[int]:
        return [int(token) for token in self._model.tokenize(text.encode(), add_bos=True, special=False)]

    def _next(self, tokens: Sequence[int]) -> int:
        self._model.eval(tokens)
        return int(self._model.sample(temp=0.0))


def watch(_marks: Marks) -> None:
    """Nothing: it runs in the worker, which is measured anyway."""


def open_engine(setup: Setup) -> Llama:
    """Load the one GGUF file of the model's folder.

    Raises:
        WorkerFault: there is none or more than one (bad_model), llama-cpp-python is missing
            (not_installed), or it refuses the file (bad_model).
    """
    file = _file(setup.folder)
    try:
        import llama_cpp
    except ImportError as error:
        raise WorkerFault(
            "not_installed", f"engine llama-cpp needs llama_cpp ({error}): pip install llama-cpp-python"
        ) from error
    shape = setup.trial.inference
    if shape.batch > 1:
        raise WorkerFault("precondition", "llama-cpp is asked one request at a time here: use batch 1")

    def load(tokens: int) -> Any:
        try:
            return llama_cpp.Llama(
                str(file), n_ctx=tokens, n_threads=setup.trial.threads or None, verbose=False
            )
        except ValueError as error:
            raise WorkerFault("bad_model", f"llama.cpp refuses {file.name}: {error}") from error

    asked = shape.prompt_tokens + shape.new_tokens
    most = max(setup.text.max_tokens, asked)
    return Llama(load, min(max(1, asked, setup.longest_tokens), most), most, str(llama_cpp.__version__))


def _file(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise WorkerFault(
            "bad_model",
            f"engine llama-cpp needs exactly one *.gguf file beside the tokenizer; {folder.name} has "
            f"{len(files)}",
        )
    return files[0]
