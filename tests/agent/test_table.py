"""Results in words."""

import pytest

from edgerig.v1.attempt_pb2 import (
    BOUNDARY_MODULE_IN,
    FAILURE_CLASS_TIMEOUT,
    PHASE_INFERENCE,
    PHASE_LOAD,
    STATUS_FAILED,
    STATUS_OK,
    AppliedSetting,
    AttemptResult,
    DeviceConditions,
    Measurement,
    ProtocolRecord,
    TrainPoint,
    WorkerFacts,
    ZoneTemperature,
)
from edgerig_agent.table import format_value, protocol_lines, result_lines


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ttft_s", 0.0123, "12.3 ms"),
        ("duration_s", 0.0, "0 s"),
        ("rss_peak_bytes", 3 * 2.0**20, "3 MiB"),
        ("energy_j", 12.5, "12.5 J"),
        ("j_per_output_token", 0.004, "4 mJ"),
        ("power_mean_w", 7.25, "7.25 W"),
        ("decode_tokens_per_s", 123.44, "123.4 /s"),
        ("major_fault_count", 3.0, "3"),
    ],
)
def test_a_value_has_the_unit_of_its_name(name: str, value: float, text: str) -> None:
    assert format_value(name, value) == text


def test_a_table_reads_at_80_columns_and_names_the_boundary() -> None:
    result = AttemptResult(
        status=STATUS_OK,
        measurements=[
            Measurement(name="mem_available_min_bytes", phase=PHASE_LOAD, statistic="minimum", value=2.0**31),
            Measurement(
                name="energy_j",
                phase=PHASE_INFERENCE,
                statistic="sum",
                value=3.0,
                boundary=BOUNDARY_MODULE_IN,
            ),
            Measurement(
                name="e2e_s", phase=PHASE_INFERENCE, statistic="p99", unavailable_reason="too few " * 30
            ),
        ],
    )
    lines = result_lines(result)
    assert all(len(line) <= 80 for line in lines)
    assert any("energy_j" in line and line.endswith("module_in") for line in lines)
    assert "Not measured:" in lines


def test_figures_of_a_phase_stand_together() -> None:
    names = [("a_s", PHASE_LOAD), ("b_s", PHASE_INFERENCE), ("c_s", PHASE_LOAD)]
    result = AttemptResult(
        status=STATUS_OK,
        measurements=[Measurement(name=n, phase=p, statistic="sum", value=1.0) for n, p in names],
    )
    shown = [line.split()[0:2] for line in result_lines(result) if line.endswith("1 s") or "1 s" in line]
    assert [pair[0] if pair[0].endswith("_s") else pair[1] for pair in shown] == ["a_s", "c_s", "b_s"]


def test_a_failure_is_named_with_its_message() -> None:
    result = AttemptResult(
        status=STATUS_FAILED, failure_class=FAILURE_CLASS_TIMEOUT, failure_message="not finished"
    )
    text = "\n".join(result_lines(result))
    assert "timeout" in text and "not finished" in text


def test_figures_with_the_same_reason_share_it() -> None:
    result = AttemptResult(
        status=STATUS_OK,
        measurements=[
            Measurement(name="energy_j", phase=phase, statistic="sum", unavailable_reason="no sensor")
            for phase in (PHASE_LOAD, PHASE_INFERENCE)
        ],
    )
    assert "\n".join(result_lines(result)).count("no sensor") == 1


def test_a_result_says_what_the_device_was_like_and_what_broke() -> None:
    record = ProtocolRecord(
        before=DeviceConditions(
            t_mono_ns=1,
            power_mode="15W",
            cpu_governor="performance",
            clocks_pinned=True,
            load1=0.05,
            temperatures=[ZoneTemperature(source="thermal:0:cpu", temperature_c=41.0, base_c=40.0)],
        ),
        waited_s=61.0,
        cooldown_s=600.0,
        cooled=False,
        settings=[AppliedSetting(name="power_mode", before="MAXN", during="15W")],
        broken=["the GPU is also used by 12 game"],
    )
    assert protocol_lines(record) == [
        "device     15W, performance, clocks pinned, load 0.05, thermal:0:cpu 41.0 °C",
        "           (idle 40.0)",
        "set        power_mode MAXN -> 15W; put back",
        "waited     61 s for the start, 600 s to cool down, and it is not cool yet",
        "broken     the GPU is also used by 12 game",
    ]
    record.not_restored = "power_mode: nvpmodel ended with 1"
    assert "           could not be put back: power_mode: nvpmodel ended with 1" in protocol_lines(record)


def test_a_result_that_knows_nothing_of_its_device_says_nothing_of_it() -> None:
    assert protocol_lines(ProtocolRecord()) == []


def test_the_curve_of_a_training_is_a_line_a_point_and_names_what_was_kept() -> None:
    points = [
        TrainPoint(index=1, budget_share=0.5, steps=2, samples=8, tokens=90, duration_s=1.5, score=0.5),
        TrainPoint(index=2, budget_share=1.0, steps=4, samples=16, tokens=180, duration_s=3.0),
    ]
    points[0].energy.add(source="board", energy_j=7.5)
    points[0].held_out_loss = 1.25
    result = AttemptResult(status=STATUS_OK, points=points, worker=WorkerFacts(train_kept_point=1))

    text = "\n".join(result_lines(result))

    assert "  kept: 50%, 2 steps, 8 samples, 90 tokens, 1.50 s, 7.50 J (board)," in text
    assert "held-out loss 1.2500, score 0.5000" in " ".join(text.split())
    assert "  100%, 4 steps, 16 samples, 180 tokens, 3.00 s" in text


def test_a_training_that_was_only_looked_at_in_the_end_has_no_curve() -> None:
    assert "budget" not in "\n".join(result_lines(AttemptResult(points=[TrainPoint(index=1)])))


@pytest.mark.parametrize(("kind", "shown"), [("u95", "±2.50%"), ("u95_partial", "≥2.50%")])
def test_an_energy_shows_its_uncertainty_and_whether_it_is_whole(kind: str, shown: str) -> None:
    energy = Measurement(
        name="energy_j",
        phase=PHASE_LOAD,
        statistic="sum",
        value=40.0,
        low=39.0,
        high=41.0,
        interval_kind=kind,
        sample_count=300,
        boundary=BOUNDARY_MODULE_IN,
    )
    lines = result_lines(AttemptResult(status=STATUS_OK, measurements=[energy]))
    (line,) = [line for line in lines if "energy_j" in line]
    assert shown in line and len(line) <= 80
