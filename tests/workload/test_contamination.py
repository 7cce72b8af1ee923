"""The contamination probe: pairs, options in another order, and a model that was shown the answers."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.contamination import answer, main, probes, reordered
from edgerig_workload.tasks.items import Item, load
from edgerig_workload.tasks.spec import TaskSpec

LABELS = ("comedy", "action", "romance", "fantasy")
TASK: dict[str, Any] = {
    "name": "t", "kind": "TASK_KIND_CLASSIFICATION", "metric": "accuracy", "prompt": "plain", "labels": LABELS
}  # fmt: skip


def rows(users: int = 8) -> list[dict[str, Any]]:
    draw = random.Random(3)
    return [
        {
            "id": f"u{user}-{n}",
            "user": f"u{user}",
            "input": "".join(draw.choice("abcdefgh ") for _ in range(24)).strip() or "a",
            "output": LABELS[(user + n) % len(LABELS)],
            "profile": [],
        }
        for user in range(users)
        for n in range(3)
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def test_items_meet_other_answers_of_their_user_only() -> None:
    items = [Item(r["id"], r["user"], r["input"], r["output"], ()) for r in rows()]
    lonely = [Item("x-0", "x", "q", "comedy", ()), Item("x-1", "x", "p", "comedy", ())]
    found = probes(TaskSpec.from_trial(TASK), [*items, *lonely], 100, 1)
    assert len(found) == len(items)
    answers = {item.user: {other.output for other in items if other.user == item.user} for item in items}
    for probe in found:
        assert set(probe.others) == answers[probe.item.user] - {probe.item.output}
    few = probes(TaskSpec.from_trial(TASK), [*items, *lonely], 7, 1)
    assert len(few) == 7 and few == found[:7]


def test_options_are_reordered_where_the_prompt_lists_them() -> None:
    spec = TaskSpec.from_trial(TASK)
    listed = f"which?\none of: {', '.join(LABELS)}\nanswer:"
    again = reordered(spec, listed, random.Random(1))
    assert again != listed and sorted(again) == sorted(listed)
    assert reordered(spec, "which?", random.Random(1)) == ""
    open_set = TaskSpec.from_trial(
        {**TASK, "kind": "TASK_KIND_GENERATION", "metric": "rouge1_f", "labels": []}
    )
    assert reordered(open_set, "which?", random.Random(1)) == ""


def gap(document: dict[str, Any]) -> float:
    return float(sum(row["other"] - row["own"] for row in document["losses"]) / len(document["losses"]))


def test_a_model_that_was_trained_on_the_answers_prefers_them(
    llama_folder: Path, data: Path, tmp_path: Path
) -> None:
    import torch

    from edgerig_workload.learn.examples import collate, tokenise
    from edgerig_workload.models import load as load_model
    from edgerig_workload.tasks.prompts import Pair, answer_text, bare

    request = {"task": TASK, "items": 100, "threads": 1}
    before = answer(request, llama_folder, data)
    assert before["item_count"] == 24 and len(before["losses"]) == 24
    assert abs(gap(before)) < 0.3
    assert all(row["own_reordered"] is not None for row in before["losses"])

    loaded = load_model(llama_folder, "float32", torch.device("cpu"))
    spec = TaskSpec.from_trial(TASK)
    pairs = [Pair(bare(spec, item), answer_text(spec, item.output)) for item in load(data)]
    batch = collate(loaded, tokenise(loaded, pairs, loaded.max_tokens))
    optimiser = torch.optim.AdamW(loaded.model.parameters(), lr=1e-2)
    torch.manual_seed(1)
    for _ in range(60):
        loss = loaded.model(**batch.inputs, use_cache=False).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    folder = tmp_path / "seen"
    loaded.model.save_pretrained(folder, safe_serialization=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((llama_folder / name).read_bytes())
    after = answer(request, folder, data)
    assert gap(after) > 1.0
    # What is known by heart in one order of the options is known worse in another.
    known_k = sum(row["other_k"] - row["own_k"] for row in after["losses"]) / 24
    assert known_k > gap(before)


def test_the_losses_are_those_of_the_model_itself(llama_folder: Path, data: Path) -> None:
    import torch

    from edgerig_workload.models import load as load_model
    from edgerig_workload.tasks.prompts import answer_text, bare

    document = answer({"task": TASK, "items": 1, "threads": 1}, llama_folder, data)
    (row,) = document["losses"]
    loaded = load_model(llama_folder, "float32", torch.device("cpu"))
    spec = TaskSpec.from_trial(TASK)
    item = next(item for item in load(data) if item.id == row["item_id"])
    prompt = loaded.encode(bare(spec, item))
    whole = loaded.encode(bare(spec, item) + answer_text(spec, item.output))
    labels = [-100] * len(prompt) + whole[len(prompt) :]
    with torch.inference_mode():
        own = loaded.model(input_ids=torch.tensor([whole]), labels=torch.tensor([labels])).loss
    assert row["own"] == pytest.approx(float(own), rel=1e-4)


def test_the_command_answers_with_one_document_or_one_line(
    llama_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"task": TASK, "items": 3, "threads": 1})))
    assert main([str(llama_folder), str(data)]) == 0
    assert len(json.loads(capsys.readouterr().out)["losses"]) == 3
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"task": TASK, "items": 3})))
    assert main([str(data.parent), str(data)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("bad_model: ") and captured.err.count("\n") == 1
