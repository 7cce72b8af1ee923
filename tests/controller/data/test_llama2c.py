"""Import of llama2.c checkpoints: a real one with its known answer, and broken ones."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerig.errors import DataError
from edgerig_controller.data.llama2c import convert, read_checkpoint, read_tokenizer

# What llama2.c itself prints for this checkpoint: greedy from BOS, 200 steps.
KNOWN_SHA256 = "beeb5cb46785efee81a8545300b31e396b595e5ce6f3b77db201545501981d14"

DIMENSIONS = (8, 12, 2, 2, 1, 300, 16)


@pytest.fixture(scope="module")
def stories() -> Path:
    root = os.environ.get("EDGERIG_TEST_DATA", "")
    folder = Path(root) / "models" / "stories260k"
    if not root or not folder.is_dir():
        pytest.skip("EDGERIG_TEST_DATA is not set, or holds no models/stories260k")
    return folder


@pytest.fixture(scope="module")
def imported(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported") / "stories"
    convert(stories / "stories260K.bin", stories / "tok512.bin", out)
    return out


@pytest.fixture(scope="module")
def tokenizer(imported: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(imported)


def float_count(dimensions: tuple[int, ...]) -> int:
    dim, hidden, layers, heads, kv_heads, vocabulary, context = dimensions
    kv_dim = dim // heads * kv_heads
    layer = 2 * dim + 2 * dim * dim + 2 * kv_dim * dim + 3 * dim * hidden
    own_head = -vocabulary * dim if vocabulary < 0 else 0
    return abs(vocabulary) * dim + layers * layer + dim + context * (dim // heads) + own_head


def write_checkpoint(path: Path, dimensions: tuple[int, ...] = DIMENSIONS) -> Path:
    weights = np.random.default_rng(1).standard_normal(float_count(dimensions)).astype("<f4")
    path.write_bytes(struct.pack("<7i", *dimensions) + weights.tobytes())
    return path


def write_tokenizer(path: Path, count: int = 300) -> Path:
    texts = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]
    texts += [b"piece%d" % number for number in range(count - len(texts))]
    entries = [struct.pack("<fi", -float(index), len(text)) + text for index, text in enumerate(texts)]
    path.write_bytes(struct.pack("<i", 10) + b"".join(entries))
    return path


def test_real_checkpoint_gives_its_known_answer(imported: Path, tokenizer: Any) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(imported, use_safetensors=True)

    with torch.inference_mode():
        ids = model.generate(
            torch.tensor([[1]]), do_sample=False, max_new_tokens=200, min_new_tokens=200, pad_token_id=0
        )
    text = tokenizer.decode(ids[0], skip_special_tokens=True)

    assert hashlib.sha256(text.encode()).hexdigest() == KNOWN_SHA256


@pytest.mark.parametrize(
    "text", ["Once upon a time, there was a little girl.", "Tom  saw\ta cat!", "naïve café ☕ 1024", "a"]
)
def test_tokenizer_encodes_as_greedy_merging_by_score_does(stories: Path, tokenizer: Any, text: str) -> None:
    assert tokenizer(text)["input_ids"] == [1, *merged_by_score(stories, text)]


@pytest.mark.parametrize("text", ["Lily and Tom went home.\nThe end.", "naïve ☕"])
def test_tokenizer_decodes_what_it_encoded(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def merged_by_score(stories: Path, text: str) -> list[int]:
    """llama2.c's own way to encode: always merge the neighbours whose result scores best."""
    pieces = read_tokenizer(stories / "tok512.bin", 512)
    known = {piece.text: index for index, piece in enumerate(pieces)}
    ids: list[int] = []
    for character in f" {text}":
        ids += [known[character]] if character in known else [byte + 3 for byte in character.encode()]
    while True:
        pairs = [
            (-pieces[known[joined]].score, place, known[joined])
            for place in range(len(ids) - 1)
            if (joined := pieces[ids[place]].text + pieces[ids[place + 1]].text) in known
        ]
        if not pairs:
            return ids
        _, place, merged = min(pairs)
        ids[place : place + 2] = [merged]


def test_head_of_its_own_is_kept(tmp_path: Path) -> None:
    _, weights = read_checkpoint(write_checkpoint(tmp_path / "m.bin", (8, 12, 2, 2, 1, -300, 16)))

    assert weights["lm_head.weight"].shape == (300, 8)


def test_shared_head_is_not_stored_twice(tmp_path: Path) -> None:
    _, weights = read_checkpoint(write_checkpoint(tmp_path / "m.bin"))

    assert "lm_head.weight" not in weights


def test_shortened_checkpoint_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "m.bin")
    path.write_bytes(path.read_bytes()[:-4])

    with pytest.raises(DataError, match="its head means"):
        read_checkpoint(path)


@pytest.mark.parametrize("place", range(7))
def test_absurd_dimension_is_refused(tmp_path: Path, place: int) -> None:
    path = write_checkpoint(tmp_path / "m.bin")
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 4 * place, 2**31 - 1)
    path.write_bytes(data)

    with pytest.raises(DataError, match=r"no llama2\.c checkpoint"):
        read_checkpoint(path)


def test_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "m.bin")
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 28, float("nan"))
    path.write_bytes(data)

    with pytest.raises(DataError, match="finite"):
        read_checkpoint(path)


def test_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="belongs to another model"):
        read_tokenizer(write_tokenizer(tmp_path / "t.bin"), 290)


def test_shortened_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ends at piece 300"):
        read_tokenizer(write_tokenizer(tmp_path / "t.bin"), 301)


def test_piece_of_absurd_length_is_refused(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path / "t.bin")
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 8, 2**30)
    path.write_bytes(data)

    with pytest.raises(DataError, match="piece 0 says"):
        read_tokenizer(path, 300)


def test_filled_folder_is_not_written_over(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m.bin")
    write_tokenizer(tmp_path / "t.bin")

    with pytest.raises(DataError, match="not an empty folder"):
        convert(tmp_path / "m.bin", tmp_path / "t.bin", tmp_path)


def test_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        convert(tmp_path / "m.bin", tmp_path / "t.bin", tmp_path / "out")
