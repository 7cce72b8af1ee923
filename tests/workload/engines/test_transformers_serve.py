"""A real server, `transformers serve`, beside the same model in the worker: one answer, token by token.

It needs what `pip install 'transformers[serving]'` brings; where that is missing it is skipped.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from transformers.utils.import_utils import is_serve_available  # noqa: E402 - after torch was looked for

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.engines import Setup, server, tree  # noqa: E402
from edgerig_workload.engines.in_process import InProcess  # noqa: E402
from edgerig_workload.faults import WorkerFault  # noqa: E402

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not is_serve_available(),
        reason="transformers serve needs fastapi, uvicorn and openai: transformers[serving]",
    ),
]

STARTER = Path(__file__).parents[3] / "controller" / "edgerig_controller" / "data" / "starter" / "small"
_SERVE = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
_FORCED = '{"max_new_tokens": {new_tokens}, "min_new_tokens": {new_tokens}, "do_sample": false}'
PROMPT = "Which tag does this movie relate to?"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    command = ["python", "-c", _SERVE, "serve", "{model}", "--port", "{port}"]
    command += ["--device", "cpu", "--dtype", "float32"]
    document = {
        "protocol": "PROTOCOL_QUICK",
        "inference": {"prompt_tokens": 8, "new_tokens": 6, "requests": 1},
        "engine": {
            "kind": "server",
            "name": "serve",
            "command": command,
            "forced": {"generation_config": _FORCED},
        },
    }
    before = tree.descendants()
    text = models.reader(STARTER)
    out = tmp_path_factory.mktemp("out")
    engine = server.open_engine(Setup(trial.parse(document), STARTER, out, Path(sys.executable), text))
    yield engine
    engine.close()
    assert tree.descendants() == before


def test_its_greedy_answer_is_that_of_the_model_in_the_worker(running: Any) -> None:
    loaded = models.load(STARTER, "float32", torch.device("cpu"))
    text = models.reader(STARTER)

    own = InProcess(loaded).answer([PROMPT], 6, lambda ids: False)[0]
    served = running.answer([PROMPT], 6, lambda ids: False)[0]

    assert text.decode(served).strip() == text.decode(own).strip()


def test_forced_answers_have_their_length_and_their_times_ascend(running: Any) -> None:
    stamps = running.request(PROMPT, trial.Inference(8, 12, 1, 1), time.monotonic_ns)

    assert stamps.told == 12
    assert not stamps.is_short
    assert stamps.accept_mono_ns < stamps.token_mono_ns[0]
    assert stamps.token_mono_ns == sorted(stamps.token_mono_ns)
    # Tokens come one after the other and not all at the end.
    assert len(set(stamps.token_mono_ns)) > len(stamps.token_mono_ns) // 2


def test_a_field_that_it_does_not_know_is_its_refusal(running: Any) -> None:
    from dataclasses import replace

    strange = server.Server(
        replace(running._choice, request={"seed": 1, "temprature": 0}), running._process, running._text
    )
    with pytest.raises(WorkerFault, match=r"status 422.*temprature"):
        strange.request(PROMPT, trial.Inference(8, 4, 1, 1), time.monotonic_ns)
