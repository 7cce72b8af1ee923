"""Meters over their real protocols, against small servers of them."""

import errno
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerig_agent.probes.base import LAST_UNREAD, UNREAD, places
from edgerig_agent.probes.meters import base
from edgerig_agent.probes.meters.address import parse_all
from edgerig_agent.probes.meters.base import MeterProbe
from tests.fakes import meters, sysfs_tree
from tests.fakes.meters import FakeMeter

SERVERS = {"shelly": meters.shelly, "tasmota": meters.tasmota, "scpi": meters.scpi}
OPTIONS = {"scpi": "?boundary=dc_in&profile=rs-ngx"}


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def meter(kind: str) -> Iterator[FakeMeter]:
    with SERVERS[kind](21.0) as server:
        yield server


@pytest.fixture
def probe(kind: str, meter: FakeMeter, monkeypatch: pytest.MonkeyPatch) -> Iterator[MeterProbe]:
    # Without a rest after a failure, and with a patience that a test can wait for.
    monkeypatch.setattr(base, "_REST_NS", 0)
    monkeypatch.setattr("edgerig_agent.probes.meters.address._LIMIT_S", 0.3)
    made = make(f"{kind}://127.0.0.1:{meter.port}{OPTIONS.get(kind, '')}")
    yield made
    made.close()


def make(address: str, root: Path = Path("/nowhere")) -> MeterProbe:
    (parsed,) = parse_all([address])
    return parsed.probe(places(str(root)))


def values(probe: MeterProbe) -> dict[str, float]:
    return {
        channel.quantity: raw * channel.scale
        for channel, raw in zip(probe.describe(), probe.read_all(), strict=True)
        if raw > LAST_UNREAD
    }


def error(probe: MeterProbe) -> int:
    """Returns the errno that every channel of one reading carries."""
    (code,) = {raw - UNREAD for raw in probe.read_all()}
    return code


def test_power_and_energy_are_read_with_half_of_the_round_trip(probe: MeterProbe, meter: FakeMeter) -> None:
    read = values(probe)
    assert read["power_w"] == pytest.approx(21.0)
    # The coarsest counts whole watt-hours, 3600 J.
    energy_j = read.get("energy_j", read.get("energy_coarse_j"))
    assert energy_j == pytest.approx(meter.energy_j(), abs=3600.0)
    assert 0 < read["stamp_uncertainty_s"] < 1.0


def test_the_stamp_is_inside_the_request_and_not_in_the_connecting(
    probe: MeterProbe, meter: FakeMeter
) -> None:
    before_ns = time.monotonic_ns()
    half_ns = probe.read_all()[-1]
    after_ns = time.monotonic_ns()
    assert before_ns + half_ns < probe.stamp_ns <= after_ns - half_ns


def test_the_meter_says_what_it_is(probe: MeterProbe, kind: str) -> None:
    probe.read_all()
    assert {"shelly": "SNPL-00112EU", "tasmota": "14.2.0", "scpi": "NGM202"}[kind] in probe.identity


def test_one_connection_serves_all_requests_and_identity_is_asked_once(
    probe: MeterProbe, meter: FakeMeter, kind: str
) -> None:
    for _ in range(3):
        probe.read_all()
    identity = {"shelly": "/shelly", "tasmota": "/cm?cmnd=Status%202", "scpi": "*IDN?"}[kind]
    assert meter.requests.count(identity) == 1


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (meters.GARBLED, errno.EPROTO),
        (meters.NO_VALUE, errno.ENODATA),
        (meters.ENDLESS, errno.EPROTO),
        (meters.DRIPPING, errno.ETIMEDOUT),
    ],
)
def test_a_meter_that_misbehaves_is_unread_with_the_error_and_read_again_when_it_is_well(
    probe: MeterProbe, meter: FakeMeter, how: str, code: int
) -> None:
    assert values(probe)
    meter.misbehave(how)
    assert error(probe) == code
    meter.misbehave(meters.FINE)
    assert values(probe)["power_w"] == pytest.approx(21.0)
    assert (probe.request_count, probe.failure_count) == (3, 1)


@pytest.mark.parametrize("power_w", [9.9e37, 1e30, float("inf"), float("nan")])
def test_a_value_that_no_meter_measures_is_unread(
    probe: MeterProbe, meter: FakeMeter, power_w: float
) -> None:
    """9.9E37 is how an instrument writes infinity; the trace holds 64 bits."""
    assert values(probe)
    meter.power_w = power_w
    assert error(probe) in (errno.EPROTO, errno.ENODATA)
    meter.power_w = 21.0
    assert values(probe)["power_w"] == pytest.approx(21.0)


def test_a_meter_that_hangs_up_is_connected_again(probe: MeterProbe, meter: FakeMeter) -> None:
    assert values(probe)
    meter.misbehave(meters.HANGS_UP)
    # The instrument answers once more before it goes, which the first of two queries takes.
    assert error(probe) == errno.ECONNRESET
    meter.misbehave(meters.FINE)
    assert values(probe)["power_w"] == pytest.approx(21.0)


def test_a_plug_that_asks_for_a_password_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with meters.shelly(5.0) as plug:
        plug.misbehave(meters.REFUSING)
        probe = make(f"shelly://127.0.0.1:{plug.port}")
        assert error(probe) == errno.EPROTO
        assert "401" in probe.last_error
        probe.close()


def test_a_meter_that_is_not_there_is_refused_and_then_let_rest() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    probe = make(f"scpi://127.0.0.1:{port}?boundary=dc_in")
    codes = {error(probe) for _ in range(50)}
    assert codes == {errno.ECONNREFUSED}
    assert probe.request_count == 1


def test_commands_of_ones_own_are_sent_as_they_stand() -> None:
    with meters.scpi(3.0) as instrument:
        query = (
            "?boundary=dc_in&setup=SYST:REM;ENER:STAT%20ON&power=FETC:POW?&energy=FETC:ENER?&energy_unit=J"
        )
        probe = make(f"scpi://127.0.0.1:{instrument.port}{query}")
        read = values(probe)
        probe.close()
    assert instrument.requests == ["*IDN?", "SYST:REM", "ENER:STAT ON", "FETC:POW?", "FETC:ENER?"]
    # The instrument answers in watt-hours and was said to answer in joules.
    assert read["energy_j"] == pytest.approx(instrument.energy_j() / 3600.0, abs=0.01)


def test_an_ina_on_the_bus_is_a_meter_where_a_person_says_what_it_covers(tmp_path: Path) -> None:
    base_folder = sysfs_tree.ina2xx_hwmon(tmp_path, "1-0044", "ina226", power_uw=7_250_000, voltage_mv=12_000)
    probe = make("hwmon://1-0044?boundary=dc_in", tmp_path)
    assert values(probe)["power_w"] == pytest.approx(7.25)
    assert probe.describe()[0].boundary == "dc_in"
    (base_folder / "power1_input").write_text("")
    assert error(probe) == errno.EIO
    probe.close()


def test_an_ina_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    probe = make("hwmon://1-0044?boundary=dc_in", tmp_path)
    assert error(probe) == errno.ENOENT
    assert "1-0044" in probe.last_error


def stat(busy_ticks: int, idle_ticks: int) -> str:
    line = f"{busy_ticks} 0 0 {idle_ticks} 50 0 0 0 0 0"
    return f"cpu  {line}\ncpu0 {line}\ncpu1 {line}\nintr 1"


def test_an_estimate_is_the_model_and_nothing_more(tmp_path: Path) -> None:
    """Two processors, one busy second of two, over ten seconds: 10 x 2 W + 8 W x 0.5."""
    from edgerig_agent.probes.meters.local import CpuShareEstimate

    now_ns = [5_000_000_000]
    sysfs_tree.write(tmp_path / "proc/stat", stat(1000, 9000))
    model = CpuShareEstimate(places(str(tmp_path)), 2.0, 10.0, clock=lambda: now_ns[0])
    model.connect()
    now_ns[0] += 10_000_000_000
    sysfs_tree.write(tmp_path / "proc/stat", stat(1100, 10900))
    assert model.read() == (24_000_000,)


def test_an_estimate_has_the_boundary_of_estimates(tmp_path: Path) -> None:
    sysfs_tree.write(tmp_path / "proc/stat", stat(1000, 9000))
    probe = make("estimate://cpu?idle_w=2&full_w=10", tmp_path)
    assert values(probe)["energy_j"] == pytest.approx(0.0, abs=1.0)
    channel = probe.describe()[0]
    assert (channel.boundary, channel.source) == ("estimate", "estimate:cpu-share:idle=2W,full=10W")


def test_the_probe_tells_of_every_channel_before_it_is_connected() -> None:
    described = make("tasmota://192.0.2.1").describe()
    assert [channel.quantity for channel in described] == [
        "power_w",
        "energy_coarse_j",
        "stamp_uncertainty_s",
    ]
