"""Logs of PTDaemon."""

import pytest

from edgerig_agent.probes.meters.spl import parse

LINE = "Time,07-15-2021 13:36:{second},Watts,{watts},Volts,229.970000,Amps,0.153500,PF,0.397800,Mark,run_1"
# 2021-07-15 13:36:23.936 UTC
UNIX_NS = 1_626_356_183_936_000_000


def test_a_line_is_an_instant_and_a_power() -> None:
    (sample,) = parse([LINE.format(second="23.936", watts="14.040000") + "\n"]).samples
    assert (sample.unix_ns, sample.power_w) == (UNIX_NS, 14.04)


def test_the_clock_of_the_director_has_a_zone_of_its_own() -> None:
    (sample,) = parse([LINE.format(second="23.936", watts="14")], utc_offset_s=7200.0).samples
    assert sample.unix_ns == UNIX_NS - 7_200_000_000_000


@pytest.mark.parametrize("watts", ["-1.000000", "NaN", "Overflow", "inf", ""])
def test_what_is_no_power_is_no_value_and_keeps_its_place(watts: str) -> None:
    (sample,) = parse([LINE.format(second="23.936", watts=watts)]).samples
    assert sample.power_w is None


@pytest.mark.parametrize(
    "line",
    [
        "PTDaemon version 1.9.2",
        "Time,15-07-2021 13:36:23.936,Watts,14",
        "Time,07-15-2021 13:36:23.936,Volts,230",
        LINE.format(second="23.936", watts="14") + ",x" * 5000,
    ],
)
def test_lines_that_are_no_sample_are_named_by_their_number(line: str) -> None:
    log = parse(["\n", line, LINE.format(second="24.936", watts="15")])
    assert (log.bad_lines, len(log.samples)) == ((2,), 1)


def test_lines_out_of_order_are_put_in_order() -> None:
    log = parse([LINE.format(second=second, watts=watts) for second, watts in (("30.0", "3"), ("29.0", "2"))])
    assert [sample.power_w for sample in log.samples] == [2.0, 3.0]
