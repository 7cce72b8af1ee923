"""Whether two models read the same token ids, found out without loading a tokenizer.

Reads `tokenizer.json` of the tokenizers library: the table of its model and the added
tokens. Knows nothing of how text is cut into tokens.
"""

from __future__ import annotations

import json
from typing import Any

from edgerig import documents
from edgerig_controller.data.models import FoundModel

FILE = "tokenizer.json"


def digest(found: FoundModel) -> str:
    """Return the sha256 of a model's tokens with their ids, '' where they cannot be known here.

    Not known are models on a device, and tokenizers kept in another file or form.
    """
    path = dict(found.files).get(FILE)
    if path is None:
        return ""
    try:
        document = json.loads(path.read_bytes())
        tokens = {**_table(document["model"]["vocab"]), **_added(document.get("added_tokens") or [])}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        # The worker reads the file with the library itself, and says what is wrong with it.
        return ""
    return documents.digest(sorted(tokens.items()))


def _table(vocabulary: Any) -> dict[str, int]:
    """Reads a mapping of tokens to ids, or Unigram's list of tokens and scores in the order of the ids."""
    if isinstance(vocabulary, dict):
        return {str(token): int(place) for token, place in vocabulary.items()}
    return {str(entry[0]): place for place, entry in enumerate(vocabulary)}


def _added(entries: Any) -> dict[str, int]:
    return {str(entry["content"]): int(entry["id"]) for entry in entries}
