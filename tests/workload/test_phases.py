"""Phase marks: what is announced, when intervals go out, and how peaks of nested phases add up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.phases import EXACT, UPPER_BOUND, Marks, ProcResidentSet, no_collection

MIB = 1024**2


class Residence:
    """A resident set that a test moves by hand, with a kernel's high-water mark."""

    method = EXACT

    def __init__(self) -> None:
        self._now = self._peak = 10

    def grow_to(self, size: int) -> None:
        self._now = size
        self._peak = max(self._peak, size)

    def reset(self) -> None:
        self._peak = self._now

    def peak_bytes(self) -> int | None:
        return self._peak


class Card:
    """An accelerator whose peaks a test sets; counts how often it was waited for."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1

    def reset_peaks(self) -> None:
        self.peak = self.now

    def peaks_bytes(self) -> tuple[int, int]:
        return self.peak, 2 * self.peak


def ticks() -> Iterator[int]:
    yield from range(1000, 100_000, 10)


@pytest.fixture
def residence() -> Residence:
    return Residence()


@pytest.fixture
def marks(recorder: Any, residence: Residence) -> Marks:
    clock = ticks()
    return Marks(recorder, residence, clock=lambda: next(clock))


def intervals(recorder: Any) -> dict[str, dict[str, Any]]:
    return {event["phase"]: event for event in recorder.of("phase")}


def test_begin_is_announced_before_the_block_runs(marks: Marks, recorder: Any) -> None:
    with marks.phase("train_step"):
        assert recorder.events == [("phase_begin", {"phase": "PHASE_TRAIN_STEP", "t_mono_ns": 1000})]


def test_interval_has_both_ends_and_its_index(marks: Marks, recorder: Any) -> None:
    for _ in range(2):
        with marks.phase("load"):
            pass

    second = recorder.of("phase")[1]
    assert (second["index"], second["begin_mono_ns"], second["end_mono_ns"]) == (1, 1020, 1030)


def test_beginning_can_lie_before_the_call(marks: Marks, recorder: Any) -> None:
    with marks.phase("import", began_mono_ns=5):
        pass

    assert intervals(recorder)["PHASE_IMPORT"]["begin_mono_ns"] == 5


def test_inner_interval_waits_for_the_outer_phase(marks: Marks, recorder: Any) -> None:
    with marks.phase("evaluate"):
        with marks.phase("retrieve"):
            pass
        assert recorder.of("phase") == []

    assert list(intervals(recorder)) == ["PHASE_RETRIEVE", "PHASE_EVALUATE"]


def test_peak_of_an_earlier_phase_is_not_carried_on(
    marks: Marks, recorder: Any, residence: Residence
) -> None:
    with marks.phase("load"):
        residence.grow_to(500)
        residence.grow_to(100)
    with marks.phase("warmup"):
        residence.grow_to(120)

    assert intervals(recorder)["PHASE_WARMUP"]["rss_peak_bytes"] == 120


def test_peak_before_an_inner_reset_counts_for_the_outer_phase(
    marks: Marks, recorder: Any, residence: Residence
) -> None:
    with marks.phase("evaluate"):
        residence.grow_to(500)
        residence.grow_to(100)
        with marks.phase("retrieve"):
            residence.grow_to(110)

    peaks = {phase: event["rss_peak_bytes"] for phase, event in intervals(recorder).items()}
    assert peaks == {"PHASE_RETRIEVE": 110, "PHASE_EVALUATE": 500}


def test_peak_of_an_inner_phase_counts_for_the_outer_phase(
    marks: Marks, recorder: Any, residence: Residence
) -> None:
    with marks.phase("evaluate"):
        with marks.phase("retrieve"):
            residence.grow_to(900)
            residence.grow_to(100)
        with marks.phase("retrieve"):
            pass

    assert intervals(recorder)["PHASE_EVALUATE"]["rss_peak_bytes"] == 900


def test_accelerator_peaks_are_folded_like_the_resident_set(marks: Marks, recorder: Any) -> None:
    card = Card()
    marks.watch(card)
    with marks.phase("evaluate"):
        card.now = card.peak = 70
        card.now = 5
        with marks.phase("retrieve"):
            card.peak = 20

    found = intervals(recorder)
    assert found["PHASE_RETRIEVE"]["cuda_allocated_peak_bytes"] == 20
    assert found["PHASE_EVALUATE"]["cuda_allocated_peak_bytes"] == 70
    assert found["PHASE_EVALUATE"]["cuda_reserved_peak_bytes"] == 140


def test_phase_ends_only_when_the_accelerator_has_finished(marks: Marks) -> None:
    card = Card()
    marks.watch(card)
    with marks.phase("load"):
        pass

    assert card.waits == 1


def test_broken_phase_is_named_and_has_no_interval(marks: Marks, recorder: Any) -> None:
    with pytest.raises(ZeroDivisionError), marks.phase("evaluate"):
        with marks.phase("retrieve"):
            pass
        with marks.phase("prefill"):
            raise ZeroDivisionError

    assert marks.failed_phase == "prefill"
    assert list(intervals(recorder)) == ["PHASE_RETRIEVE"]


def test_kernel_gives_the_peak_of_memory_freed_meanwhile(recorder: Any) -> None:
    """Real memory: 64 MiB are touched and freed inside the phase, and none after it."""
    marks = Marks(recorder, ProcResidentSet())
    with marks.phase("load"):
        block = bytearray(64 * MIB)
        block[::4096] = b"x" * len(block[::4096])
        del block
    with marks.phase("warmup"):
        pass

    found = intervals(recorder)
    if found["PHASE_LOAD"]["rss_peak_method"] != EXACT:
        pytest.skip("this kernel does not let a process reset its high-water mark")
    rise = found["PHASE_LOAD"]["rss_peak_bytes"] - found["PHASE_WARMUP"]["rss_peak_bytes"]
    assert rise > 56 * MIB


def test_fallback_is_labelled_where_the_mark_cannot_be_reset(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2048 kB\n")
    (tmp_path / "clear_refs").mkdir()

    memory = ProcResidentSet(tmp_path)

    assert (memory.peak_bytes(), memory.method) == (2 * MIB, UPPER_BOUND)


def test_unreadable_peak_is_left_out(tmp_path: Path, recorder: Any) -> None:
    with Marks(recorder, ProcResidentSet(tmp_path / "absent")).phase("load"):
        pass

    assert "rss_peak_bytes" not in intervals(recorder)["PHASE_LOAD"]


def test_collector_is_off_inside_and_on_after_a_timed_block() -> None:
    with no_collection():
        inside = gc.isenabled()

    assert (inside, gc.isenabled()) == (False, True)


def test_shares_are_read_once_after_the_end_of_an_outer_phase(recorder: Any, residence: Residence) -> None:
    clock = ticks()
    read_at: list[int] = []

    def shares() -> dict[str, int]:
        read_at.append(next(clock))
        return {"pss_end_bytes": 7}

    marks = Marks(recorder, residence, clock=lambda: next(clock), shares=shares)
    with marks.phase("train"), marks.phase("train_step"):
        pass
    step, train = (intervals(recorder)[f"PHASE_{word}"] for word in ("TRAIN_STEP", "TRAIN"))
    assert "pss_end_bytes" not in step and train["pss_end_bytes"] == 7
    assert [train["end_mono_ns"] < at for at in read_at] == [True]


def test_an_outer_phase_counts_the_major_faults_of_its_inner_ones(
    recorder: Any, residence: Residence
) -> None:
    faults = iter([3, 5, 6, 10])
    marks = Marks(recorder, residence, major_faults=lambda: next(faults))
    with marks.phase("train"), marks.phase("train_step"):
        pass
    step, train = (intervals(recorder)[f"PHASE_{word}"] for word in ("TRAIN_STEP", "TRAIN"))
    assert (step["major_fault_count"], train["major_fault_count"]) == (1, 7)
