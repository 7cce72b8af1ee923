"""The engine of a trial in JSON: what is read, what is filled in, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from edgerig_workload.engines.choice import TRANSFORMERS, filled, read

SERVER: dict[str, Any] = {"kind": "server", "name": "llama", "command": ["llama-server", "--port", "{port}"]}


def test_no_engine_is_the_usual_one() -> None:
    problems: list[str] = []
    assert read(None, problems) == TRANSFORMERS
    assert read({"kind": "llama-cpp"}, problems).name == "llama-cpp"
    assert problems == []


def test_a_server_has_its_defaults() -> None:
    problems: list[str] = []
    found = read({**SERVER, "ready_s": 30}, problems)
    assert (found.ready_path, found.completion_path, found.ready_s) == ("/health", "/v1/completions", 30.0)
    assert problems == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "must be an object"),
        ({"kind": "warp"}, "'warp' is none of"),
        ({**SERVER, "command": []}, "command must be a list"),
        ({**SERVER, "command": "llama-server"}, "command must be a list"),
        ({**SERVER, "command": ["x" * 5000]}, "up to 4096 characters"),
        ({**SERVER, "command": ["a\0b"]}, "command must be a list"),
        ({**SERVER, "environment": {"A": 1}}, "object of texts"),
        ({**SERVER, "ready_path": "health"}, "must be a path"),
        ({**SERVER, "completion_path": "/a b"}, "must be a path"),
        ({**SERVER, "ready_s": -1}, "ready_s"),
        ({**SERVER, "ready_s": float("nan")}, "ready_s"),
        ({**SERVER, "forced": [1]}, "forced must be an object"),
    ],
)
def test_everything_else_is_a_problem(given: Any, words: str) -> None:
    problems: list[str] = []
    read(given, problems)
    assert any(words in problem for problem in problems), problems


def test_placeholders_are_filled_at_every_depth_and_others_stay() -> None:
    given = {"n": "{new_tokens}", "deep": [{"text": "at {port}: {new_tokens} {else}"}], "seed": 3.0, "t": 0.5}
    assert filled(given, {"new_tokens": 8, "port": 80}) == {
        "n": 8,
        "deep": [{"text": "at 80: 8 {else}"}],
        "seed": 3,
        "t": 0.5,
    }
