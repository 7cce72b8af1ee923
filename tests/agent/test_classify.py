"""Classes of endings, each from the least evidence that gives it."""

import signal

import pytest

from edgerig.v1.attempt_pb2 import (
    FAILURE_CLASS_OOM_CUDA,
    FailureClass,
    Status,
    WorkerFailure,
)
from edgerig.words import word
from edgerig_agent.classify import Evidence, classify

KILLED = -int(signal.SIGKILL)


def judged(evidence: Evidence) -> tuple[str, str]:
    ending = classify(evidence)
    return word(Status, ending.status), word(FailureClass, ending.failure_class)


def test_done_and_exit_0_is_ok() -> None:
    assert judged(Evidence(exit_code=0, is_done=True)) == ("ok", "")


@pytest.mark.parametrize(
    ("evidence", "failure_class"),
    [
        (Evidence(start_error="no such file"), "not_installed"),
        (Evidence(exit_code=0), "worker_error"),
        (Evidence(exit_code=1), "worker_error"),
        (Evidence(exit_code=1, is_done=True), "worker_error"),
        (Evidence(exit_code=-11), "worker_error"),
        (Evidence(exit_code=0, is_done=True, violation="line 3"), "worker_error"),
        (Evidence(exit_code=KILLED), "killed"),
        (Evidence(exit_code=-int(signal.SIGTERM)), "killed"),
        (Evidence(exit_code=KILLED, oom_kill_count=1), "oom_host"),
        (Evidence(exit_code=KILLED, oom_kill_count=1, cgroup_oom_kill_count=1), "oom_cgroup"),
        (Evidence(exit_code=1, failure=WorkerFailure(message="x")), "worker_error"),
        (Evidence(exit_code=1, failure=WorkerFailure(failure_class=FAILURE_CLASS_OOM_CUDA)), "oom_cuda"),
        (Evidence(exit_code=KILLED, timed_out_after_s=5.0, oom_kill_count=1), "timeout"),
        (Evidence(exit_code=-15, was_cancelled=True), "killed"),
        (Evidence(exit_code=1, log_tail="MemoryError\n"), "oom_host"),
        (Evidence(exit_code=-6, log_tail="what():  std::bad_alloc\n"), "oom_host"),
        (Evidence(exit_code=1, log_tail="python3: No module named edgerig_workload\n"), "not_installed"),
        (Evidence(exit_code=1, log_tail="ModuleNotFoundError: No module named 'torch'\n"), "not_installed"),
    ],
)
def test_each_ending_has_its_class(evidence: Evidence, failure_class: str) -> None:
    assert judged(evidence) == ("failed", failure_class)


def test_a_worker_that_finished_before_the_signal_took_effect_is_ok() -> None:
    assert judged(Evidence(exit_code=0, is_done=True, was_cancelled=True)) == ("ok", "")
    assert judged(Evidence(exit_code=0, is_done=True, timed_out_after_s=1.0)) == ("ok", "")


def test_a_timeout_while_pages_come_back_from_swap_is_a_swap_storm() -> None:
    storm = Evidence(exit_code=-15, timed_out_after_s=10.0, swapped_in_pages=50_000, duration_s=10.0)
    calm = Evidence(exit_code=-15, timed_out_after_s=10.0, swapped_in_pages=10_000, duration_s=10.0)
    assert judged(storm) == ("failed", "swap_storm")
    assert judged(calm) == ("failed", "timeout")


def test_an_out_of_memory_message_has_the_last_figures() -> None:
    ending = classify(
        Evidence(
            exit_code=KILLED,
            oom_kill_count=1,
            last_rss_bytes=700 * 2**20,
            last_available_bytes=12 * 2**20,
            memory_limit_bytes=1024 * 2**20,
        )
    )
    assert "700 MiB" in ending.message and "12 MiB" in ending.message and "1024 MiB" in ending.message


def test_a_message_from_outside_is_bounded() -> None:
    failure = WorkerFailure(message="x" * 100_000)
    assert len(classify(Evidence(exit_code=1, failure=failure)).message) <= 4000
