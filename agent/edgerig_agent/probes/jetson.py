"""Power rails of Jetson modules: INA3221 by the kernel's own drivers.

Reads the hwmon layout (JetPack 5 and later) and the iio layout of JetPack 4.
Current and voltage are kept apart: they come from different conversions, and
their product is taken when the trace is reduced.
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    CURRENT_A,
    UNREAD,
    VOLTAGE_V,
    Channel,
    KeptFiles,
    Places,
    Probe,
    Text,
    list_folder,
    numbers_of,
    read_number,
    read_text,
    why_unreadable,
)
from edgerig_agent.probes.rails import rail_boundary

# The mainline driver waits for a fresh conversion at every read, so voltage,
# which moves slowly, is read every tenth time only, or as often as the sampler
# finds affordable on this board.
VOLTAGE_EVERY = 10

_MILLI = 1e-3
_MICRO = 1e-6
_NOT_CONNECTED = "NC"
# Channel 7 is the sum of shunt voltages and no rail.
_CHANNELS = (1, 2, 3)


def discover(at: Places) -> list[Probe]:
    """Finds the INA3221 chips by walking the i2c devices; hwmon numbers are not stable."""
    devices = f"{at.sysfs}/bus/i2c/devices"
    rails: list[_Rail] = []
    for address in list_folder(devices):
        folder = f"{devices}/{address}"
        if read_text(f"{folder}/name") in ("ina3221", "ina3221x"):
            rails += _hwmon_rails(folder, address) + _iio_rails(folder, address)
    return [Ina3221(rails)] if rails else []


class Ina3221:
    """All INA3221 channels of one board."""

    name = "ina3221"
    interval_ns = 10_000_000
    text_bytes = 64

    def __init__(self, rails: list[_Rail]) -> None:
        self._rails = rails
        self._currents = KeptFiles([])
        self._voltages = KeptFiles([])
        self.fds = self._currents.fds
        # Each rail's current and voltage, in this order.
        self._values: list[int] = []
        self._is_missing = False
        self._tick = 0
        self.voltage_every = VOLTAGE_EVERY

    def describe(self) -> tuple[Channel, ...]:
        return tuple(channel for rail in self._rails for channel in rail.channels())

    def open(self) -> tuple[Channel, ...]:
        readable = [rail for rail in self._rails if not rail.reason]
        self._currents = KeptFiles([rail.current_path for rail in readable])
        self._voltages = KeptFiles([rail.voltage_path for rail in readable])
        self.fds = self._currents.fds
        self._values = [UNREAD] * (2 * len(readable))
        return tuple(channel for rail in readable for channel in rail.channels())

    def whole_in(self) -> int:
        """Voltages are due again in `voltage_every` readings, or in the next one where one was refused."""
        return 1 if self._is_missing else self.voltage_every

    def read_texts(self) -> list[Text]:
        """Reads every current, then every voltage; between two such readings `fds` are the currents."""
        texts = self._currents.read_texts() + self._voltages.read_texts()
        self._is_missing = self._voltages.refused
        return texts

    def numbers(self, texts: list[Text]) -> list[int]:
        """Returns current and voltage of every rail, a voltage that was not read as it last was.

        The list is the same one at every call.
        """
        values, count = self._values, len(self._values) // 2
        if len(texts) > count:
            values[0::2] = numbers_of(texts[:count])
            values[1::2] = numbers_of(texts[count:])
            self._is_missing = self._is_missing or UNREAD in values[1::2]
        else:
            values[0::2] = numbers_of(texts)
        return values

    def read_all(self) -> list[int]:
        """Reads every current, and the voltages in every `voltage_every`-th call."""
        is_whole = self._tick % self.voltage_every == 0 or self._is_missing
        self._tick += 1
        return self.numbers(self.read_texts() if is_whole else self._currents.read_texts())

    def close(self) -> None:
        self._currents.close()
        self._voltages.close()


class _Rail:
    """Files of one rail, whether they can be read, and what the driver says of the sensor."""

    def __init__(
        self,
        source: str,
        label: str,
        current_path: str,
        voltage_path: str,
        *,
        shunt_ohm: float = 0.0,
        update_interval_ns: int = 0,
        averaged_count: int = 0,
    ) -> None:
        self.source = source
        self.current_path = current_path
        self.voltage_path = voltage_path
        reason = why_unreadable(current_path) or why_unreadable(voltage_path)
        self.reason = reason
        self._current = Channel(
            source,
            CURRENT_A,
            rail_boundary(label),
            _MILLI,
            unavailable_reason=reason,
            shunt_ohm=shunt_ohm,
            update_interval_ns=update_interval_ns,
            averaged_count=averaged_count,
        )

    def channels(self) -> tuple[Channel, Channel]:
        return (self._current, self._current._replace(quantity=VOLTAGE_V))


def _hwmon_rails(folder: str, address: str) -> list[_Rail]:
    rails = []
    for name in list_folder(f"{folder}/hwmon"):
        base = f"{folder}/hwmon/{name}"
        update_interval_ns = read_number(f"{base}/update_interval") * 1_000_000
        averaged_count = read_number(f"{base}/samples")
        for channel in _CHANNELS:
            label = read_text(f"{base}/in{channel}_label")
            if label and label != _NOT_CONNECTED:
                rail = _Rail(
                    f"ina3221:{address}:{channel}:{label}",
                    label,
                    f"{base}/curr{channel}_input",
                    f"{base}/in{channel}_input",
                    shunt_ohm=read_number(f"{base}/shunt{channel}_resistor") * _MICRO,
                    update_interval_ns=update_interval_ns,
                    averaged_count=averaged_count,
                )
                rails.append(rail)
    return rails


def _iio_rails(folder: str, address: str) -> list[_Rail]:
    rails = []
    for name in list_folder(folder):
        if not name.startswith("iio:device"):
            continue
        base = f"{folder}/{name}"
        for index in range(len(_CHANNELS)):
            label = read_text(f"{base}/rail_name_{index}")
            if label and label != _NOT_CONNECTED:
                source = f"ina3221:{address}:{index + 1}:{label}"
                current = f"{base}/in_current{index}_input"
                rails.append(_Rail(source, label, current, f"{base}/in_voltage{index}_input"))
    return rails
