"""What a person writes to name a meter, and the meter that it names.

    shelly://192.168.1.20?component=switch&id=0
    tasmota://192.168.1.21
    scpi://192.168.1.22:5025?boundary=dc_in&profile=rs-ngx
    hwmon://1-0044?boundary=dc_in
    estimate://cpu?idle_w=2.1&full_w=9.5

Every problem of all addresses is reported at once. Opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from edgerig.errors import UsageError
from edgerig_agent.probes.base import METER_TRACE, Places
from edgerig_agent.probes.meters.base import Meter, MeterProbe
from edgerig_agent.probes.meters.local import CpuShareEstimate, HwmonMeter
from edgerig_agent.probes.meters.scpi import ENERGY_UNITS_J, PROFILES, Commands, Scpi
from edgerig_agent.probes.meters.smart_plug import COMPONENTS, Shelly, Tasmota

# What a meter beside the device can cover; the module's own rails are no meter's.
BOUNDARIES = ("wall_ac", "dc_in", "carrier_in", "module_in")
MAX_METERS = 8

_TIMEOUT_S = 1.0
# One reading may need a connection, an identity and two queries.
_LIMIT_S = 3.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")
_I2C = re.compile(r"\d{1,3}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Kind:
    """How one kind of meter is addressed. `boundary` empty = the person must say what it measures."""

    port: int
    interval_s: float
    boundary: str
    options: frozenset[str]


KINDS = {
    "shelly": Kind(80, 1.0, "wall_ac", frozenset({"component", "id"})),
    "tasmota": Kind(80, 1.0, "wall_ac", frozenset()),
    "scpi": Kind(5025, 0.1, "", frozenset({"profile", "setup", "power", "energy", "energy_unit"})),
    "hwmon": Kind(0, 0.02, "", frozenset()),
    "estimate": Kind(0, 0.1, "estimate", frozenset({"idle_w", "full_w"})),
}
_COMMON = frozenset({"boundary", "name", "interval_s"})


@dataclass(frozen=True)
class Address:
    """A checked address."""

    text: str
    kind: str
    host: str
    port: int
    boundary: str
    name: str
    interval_s: float
    options: dict[str, str] = field(default_factory=dict)

    def probe(self, at: Places) -> MeterProbe:
        """Returns the meter as a probe that is not connected yet."""
        meter = _MAKE[self.kind](self, at)
        interval_ns = round(self.interval_s * 1e9)
        return MeterProbe(f"{METER_TRACE}{self.name}", meter, interval_ns=interval_ns, limit_s=_LIMIT_S)


def parse_all(texts: Sequence[str]) -> list[Address]:
    """Returns the addresses of all meters of an attempt.

    Raises:
        UsageError: one of them cannot be understood, or two have one name; all problems are named.
    """
    problems: list[str] = []
    addresses: list[Address] = []
    for text in texts:
        address, own = _parse(text)
        problems += [f"{text}: {problem}" for problem in own]
        if not own:
            addresses.append(address)
    names = [address.name for address in addresses]
    problems += [
        f"two meters are called {name}; add name=..." for name in {n for n in names if names.count(n) > 1}
    ]
    if len(texts) > MAX_METERS:
        problems.append(f"{len(texts)} meters are more than {MAX_METERS}")
    if problems:
        raise UsageError(
            "; ".join(problems), hint="see docs/how-to/external-meter.md for the form of each kind"
        )
    return addresses


def _parse(text: str) -> tuple[Address, list[str]]:
    nothing = Address(text, "", "", 0, "", "", 0.0)
    try:
        parts = urlsplit(text)
        kind, port = KINDS.get(parts.scheme), parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        return nothing, [f"is no address ({error})"]
    if kind is None:
        return nothing, [f"the kind is one of {', '.join(KINDS)}"]
    options = dict(pairs)
    address = Address(
        text=text,
        kind=parts.scheme,
        host=(parts.hostname or ""),
        port=port or kind.port,
        boundary=options.get("boundary", kind.boundary),
        name=options.get("name") or re.sub(r"[^a-z0-9.-]+", "-", f"{parts.scheme}-{parts.hostname or ''}"),
        interval_s=_positive(options.get("interval_s", str(kind.interval_s))),
        options={key: value for key, value in pairs if key not in _COMMON},
    )
    problems = _common_problems(address, kind)
    if parts.path.strip("/") or parts.fragment or parts.username or parts.password:
        problems.append("has nothing but a host, a port and options; passwords are not supported")
    unknown = sorted(options.keys() - _COMMON - kind.options)
    if unknown:
        allowed = ", ".join(sorted(_COMMON | kind.options))
        problems.append(f"unknown option {', '.join(unknown)}; there are {allowed}")
    return address, problems + _CHECK[address.kind](address)


def _common_problems(address: Address, kind: Kind) -> list[str]:
    problems = []
    if not address.host:
        problems.append("lacks a host")
    if kind.boundary == "estimate":
        if address.boundary != "estimate":
            problems.append("an estimate is of the boundary `estimate` and of no other")
    elif address.boundary not in BOUNDARIES:
        problems.append(f"boundary=... says what the meter covers: one of {', '.join(BOUNDARIES)}")
    if not _NAME.fullmatch(address.name):
        problems.append("name is at most 41 of a-z, 0-9, dot, dash, underscore")
    if not 0.005 <= address.interval_s <= 60.0:
        problems.append("interval_s is from 0.005 to 60")
    return problems


def _check_shelly(address: Address) -> list[str]:
    problems = []
    if address.options.get("component", COMPONENTS[0]) not in COMPONENTS:
        problems.append(f"component is one of {', '.join(COMPONENTS)}")
    number = address.options.get("id", "0")
    if not (number.isdigit() and len(number) < 4):
        problems.append("id is a number from 0 to 999")
    return problems


def _check_scpi(address: Address) -> list[str]:
    problems = []
    if address.options.get("profile", "generic") not in PROFILES:
        problems.append(f"profile is one of {', '.join(PROFILES)}")
    if address.options.get("energy_unit", "Wh") not in ENERGY_UNITS_J:
        problems.append(f"energy_unit is one of {', '.join(ENERGY_UNITS_J)}")
    for key in ("power", "energy", "setup"):
        command = address.options.get(key, "x")
        if not command.isascii() or not command.isprintable() or len(command) > 500:
            problems.append(f"{key} is at most 500 printable characters")
    if "power" in address.options and not address.options["power"].strip():
        problems.append("power is a query such as MEASure:POWer?")
    return problems


def _check_hwmon(address: Address) -> list[str]:
    return [] if _I2C.fullmatch(address.host) else ["the host is an i2c address such as 1-0044"]


def _check_estimate(address: Address) -> list[str]:
    if address.host != "cpu":
        return ["the only model is estimate://cpu"]
    idle_w, full_w = (_positive(address.options.get(key, "")) for key in ("idle_w", "full_w"))
    return (
        [] if 0 < idle_w < full_w else ["needs idle_w and full_w in watts, both above 0, full_w the larger"]
    )


def _positive(text: str) -> float:
    """Returns a finite positive number, -1 for anything else."""
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if 0 < value < 1e6 else -1.0


def _scpi(address: Address, _at: Places) -> Meter:
    options = address.options
    profile = PROFILES[options.get("profile", "generic")]
    # `;` joins commands in SCPI itself, so it separates them here too.
    setup = tuple(part.strip() for part in options.get("setup", "").split(";") if part.strip())
    commands = Commands(
        setup=setup or profile.setup,
        power=options.get("power", profile.power),
        energy=options.get("energy", profile.energy),
        energy_unit=options.get("energy_unit", profile.energy_unit),
    )
    return Scpi(address.host, address.port, _TIMEOUT_S, address.boundary, commands)


def _shelly(address: Address, _at: Places) -> Meter:
    return Shelly(
        address.host,
        address.port,
        _TIMEOUT_S,
        address.boundary,
        component=address.options.get("component", COMPONENTS[0]),
        number_of=int(address.options.get("id", "0")),
    )


_CHECK: dict[str, Callable[[Address], list[str]]] = {
    "shelly": _check_shelly,
    "tasmota": lambda _: [],
    "scpi": _check_scpi,
    "hwmon": _check_hwmon,
    "estimate": _check_estimate,
}
_MAKE: dict[str, Callable[[Address, Places], Meter]] = {
    "shelly": _shelly,
    "tasmota": lambda address, _: Tasmota(address.host, address.port, _TIMEOUT_S, address.boundary),
    "scpi": _scpi,
    "hwmon": lambda address, at: HwmonMeter(at, address.host, address.boundary),
    "estimate": lambda address, at: CpuShareEstimate(
        at, float(address.options["idle_w"]), float(address.options["full_w"])
    ),
}
