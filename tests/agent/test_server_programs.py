"""A trial starts a program only where the device's own file allows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgerig.errors import UsageError
from edgerig.v1.trial_pb2 import Engine, Trial
from edgerig_agent.daemon import read_settings
from edgerig_agent.server_programs import permitted_program

LLAMA = "/opt/llama.cpp/llama-server"


def home(tmp_path: Path, **content: Any) -> Path:
    (tmp_path / "agent.json").write_text(json.dumps(content))
    return tmp_path


def trial(*command: str, **environment: str) -> Trial:
    engine = Engine(kind="server", name="llama", command=list(command), environment=environment)
    return Trial(engine=engine)


@pytest.mark.parametrize("word", [LLAMA, "llama-server"])
def test_an_allowed_program_is_known_by_its_path_or_its_name(tmp_path: Path, word: str) -> None:
    where = home(tmp_path, server_programs=["/usr/bin/vllm", LLAMA])
    assert permitted_program(trial(word, "--port", "{port}"), where) == Path(LLAMA)


@pytest.mark.parametrize("engine", [None, "transformers", "llama-cpp"])
def test_other_engines_start_nothing(tmp_path: Path, engine: str | None) -> None:
    plain = Trial() if engine is None else Trial(engine=Engine(kind=engine, command=["/bin/sh"]))
    assert permitted_program(plain, tmp_path) is None


@pytest.mark.parametrize(
    ("content", "asked", "words"),
    [
        ({}, trial("/bin/sh", "-c", "true"), "'/bin/sh' on this device, which is not among"),
        ({"server_programs": [LLAMA]}, trial("/tmp/llama-server"), "'/tmp/llama-server'"),
        ({"server_programs": [LLAMA]}, trial("../llama-server"), "'../llama-server'"),
        ({"server_programs": [LLAMA]}, trial("llama"), "'llama'"),
        ({"server_programs": [LLAMA, "/x/llama-server"]}, trial("llama-server"), "of several programs"),
        ({"server_programs": [LLAMA]}, trial(), "no command"),
        ({"server_programs": [LLAMA]}, trial(LLAMA, LD_PRELOAD="/tmp/x.so"), "LD_PRELOAD"),
        ({"server_programs": ["llama-server"]}, trial("llama-server"), "no absolute path"),
        ({"server_programs": LLAMA}, trial(LLAMA), "no list of texts"),
    ],
)
def test_everything_else_is_refused_with_what_to_write(
    tmp_path: Path, content: dict[str, Any], asked: Trial, words: str
) -> None:
    with pytest.raises(UsageError, match=r"\w") as caught:
        permitted_program(asked, home(tmp_path, **content))

    assert words in caught.value.message
    assert caught.value.hint


def test_a_variable_that_the_device_allows_is_allowed(tmp_path: Path) -> None:
    where = home(tmp_path, server_programs=["/usr/bin/ollama"], server_environment=["OLLAMA_HOST"])
    assert permitted_program(trial("ollama", OLLAMA_HOST="127.0.0.1:{port}"), where)


def test_the_daemon_reads_the_same_file(tmp_path: Path) -> None:
    assert read_settings(home(tmp_path, server_programs=[LLAMA])).server_programs == [LLAMA]
    with pytest.raises(UsageError, match="absolute"):
        read_settings(home(tmp_path, server_programs=["llama-server"]))
