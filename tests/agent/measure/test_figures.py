"""Measurement messages: what they hold, and that no figure is a number that is none."""

import math

import pytest

from edgerig.v1.attempt_pb2 import PHASE_TRAIN
from edgerig_agent.measure.figures import Origin, figure, with_uncertainty
from edgerig_agent.measure.uncertainty import Part

ORIGIN = Origin("nvml:0:power", "trapezoid", "gpu_board")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_unavailable_with_the_reason(value: float) -> None:
    measured = figure("energy_j", PHASE_TRAIN, "sum", value, ORIGIN)
    assert "not_finite" in measured.unavailable_reason
    assert not measured.HasField("value")
    assert with_uncertainty(measured, [Part("gain", 1.0)]).interval_kind == ""


def test_an_uncertainty_without_end_gives_no_interval() -> None:
    measured = with_uncertainty(figure("energy_j", PHASE_TRAIN, "sum", 5.0, ORIGIN), [Part("gain", math.inf)])
    assert (measured.value, measured.interval_kind) == (5.0, "")


def test_an_interval_is_the_value_and_its_reach() -> None:
    measured = with_uncertainty(figure("energy_j", PHASE_TRAIN, "sum", 5.0, ORIGIN), [Part("gain", 0.5)])
    assert (measured.low, measured.high, measured.interval_kind) == (4.0, 6.0, "u95")
