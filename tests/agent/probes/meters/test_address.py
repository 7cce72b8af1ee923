"""What a person writes to name a meter."""

import pytest

from edgerig.errors import UsageError
from edgerig_agent.probes.meters.address import MAX_METERS, parse_all


def problems(*texts: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_all(texts)
    return str(caught.value)


def test_a_plug_measures_at_the_wall_unless_told_otherwise() -> None:
    plug, behind = parse_all(["shelly://10.0.0.7", "shelly://10.0.0.8:8080?boundary=dc_in&name=jack&id=2"])
    assert (plug.boundary, plug.port, plug.name, plug.interval_s) == ("wall_ac", 80, "shelly-10.0.0.7", 1.0)
    assert (behind.boundary, behind.port, behind.name, behind.options) == ("dc_in", 8080, "jack", {"id": "2"})


def test_an_instrument_does_not_say_what_it_is_connected_to() -> None:
    assert "boundary=" in problems("scpi://10.0.0.9")
    assert "boundary=" in problems("hwmon://1-0044?boundary=gpu_board")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("modbus://10.0.0.7", "the kind is one of shelly"),
        ("10.0.0.7", "the kind is one of"),
        ("shelly://", "lacks a host"),
        ("shelly://10.0.0.7:99999", "is no address"),
        ("shelly://user:secret@10.0.0.7", "passwords are not supported"),
        ("shelly://10.0.0.7/rpc", "has nothing but a host"),
        ("shelly://10.0.0.7?ids=3", "unknown option ids"),
        ("shelly://10.0.0.7?component=light", "component is one of"),
        ("shelly://10.0.0.7?id=-1", "id is a number"),
        ("shelly://10.0.0.7?interval_s=0", "interval_s is from"),
        ("shelly://10.0.0.7?interval_s=nan", "interval_s is from"),
        ("shelly://10.0.0.7?name=../../etc", "name is at most"),
        ("scpi://a?boundary=dc_in&profile=fluke", "profile is one of"),
        ("scpi://a?boundary=dc_in&energy=X?&energy_unit=BTU", "energy_unit is one of"),
        ("scpi://a?boundary=dc_in&power=A%0AB", "printable"),
        ("hwmon://../../etc?boundary=dc_in", "has nothing but a host"),
        ("hwmon://hwmon3?boundary=dc_in", "i2c address"),
        ("estimate://cpu", "idle_w and full_w"),
        ("estimate://cpu?idle_w=9&full_w=2", "full_w the larger"),
        ("estimate://cpu?idle_w=1&full_w=2&boundary=wall_ac", "of no other"),
        ("estimate://gpu?idle_w=1&full_w=2", "the only model"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_every_problem_of_every_address_is_said_at_once() -> None:
    said = problems("shelly://?id=x", "estimate://cpu", "tasmota://h?what=1")
    assert all(part in said for part in ("lacks a host", "id is a number", "idle_w", "unknown option what"))


def test_two_meters_of_one_name_would_write_one_trace() -> None:
    assert "two meters are called shelly-h" in problems("shelly://h?id=0", "shelly://h?id=1")


def test_the_number_of_meters_is_bounded() -> None:
    assert "more than" in problems(*(f"shelly://h{number}" for number in range(MAX_METERS + 1)))
