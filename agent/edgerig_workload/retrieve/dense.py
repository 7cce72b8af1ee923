"""Search by meaning: texts as vectors of a sentence encoder out of a local folder.

The vector of a text is the mean over its tokens of the encoder's last layer, as
Contriever (arXiv 2112.09118) and the MiniLM encoders take it; `cosine` compares vectors
of length one, `dot` those of any length. Histories are short, so that every query is
compared with every text. Knows nothing of tasks and prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from edgerig_workload import models
from edgerig_workload.faults import WorkerFault

# Longest text; encoders are trained on no longer ones, whatever their positions allow.
TOKENS_MOST = 512
_ROWS = 32


class Vectors:
    """The vectors of one history, with the encoder that they came from."""

    def __init__(self, encoder: Encoder, vectors: torch.Tensor) -> None:
        self._encoder, self._vectors = encoder, vectors

    def top(self, query: str, k: int) -> list[int]:
        """Return the places of the `k` texts nearest to a query, equal ones in their own order."""
        if not len(self._vectors):
            return []
        scores: list[float] = (self._vectors @ self._encoder.vectors([query])[0]).tolist()
        return sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:k]


class Encoder:
    """A sentence encoder on the worker's device, in float32.

    A text is encoded once, however many histories hold it.
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, *, unit_length: bool) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self._unit_length = unit_length
        self._most = min(TOKENS_MOST, int(tokenizer.model_max_length), _positions(model))
        self._known: dict[str, torch.Tensor] = {}

    @classmethod
    def load(cls, folder: Path, device: torch.device, similarity: str) -> Encoder:
        """Load an encoder from a folder with config, tokenizer and safetensors.

        Raises:
            WorkerFault: of class bad_model; the message says what the folder lacks.
        """
        config = models.read_config(folder)
        if getattr(config, "is_encoder_decoder", False):
            raise WorkerFault(
                "bad_model",
                f"{folder.name} is an encoder with a decoder; a sentence encoder is wanted, such as MiniLM",
            )
        tokenizer = models.read_tokenizer(folder)
        if tokenizer.pad_token_id is None:
            raise WorkerFault(
                "bad_model",
                f"the tokenizer of {folder.name} has no padding token, which texts of unlike length need: "
                "set one with tokenizer.add_special_tokens and save it again",
            )
        # What some encoders have behind their last layer is not used here.
        model = models.read_weights(folder, AutoModel, torch.float32, unused=("pooler.",))
        model.eval()
        model.to(device)
        return cls(model, tokenizer, device, unit_length=similarity == "cosine")

    def index(self, texts: Sequence[str]) -> Vectors:
        """Encode the texts of one history."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        # Texts of like length go together, which keeps padding small.
        new.sort(key=len)
        for first in range(0, len(new), _ROWS):
            part = new[first : first + _ROWS]
            self._known.update(zip(part, self.vectors(part), strict=True))
        if not texts:
            return Vectors(self, torch.empty(0, 0))
        return Vectors(self, torch.stack([self._known[text] for text in texts]))

    def vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode texts as rows of shape (texts, hidden)."""
        given = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._most, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            states = self._model(**given).last_hidden_state
            mask = given["attention_mask"].unsqueeze(-1).to(states.dtype)
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            return torch.nn.functional.normalize(means, dim=-1) if self._unit_length else means


def _positions(model: Any) -> int:
    value = getattr(model.config, "max_position_embeddings", None)
    return int(value) if value else TOKENS_MOST
