"""Renewing a certificate: when it is due, never while measuring, and a crash at any point harms nothing."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from edgerig.errors import DeviceError
from edgerig.version import CLOCK_FLOOR_UNIX_S
from edgerig_agent import identity as identities
from edgerig_agent import renewal
from edgerig_agent.identity import Enrollment, Identity

DAY_S = 86400.0
T0 = CLOCK_FLOOR_UNIX_S + 1000 * DAY_S


def identity_of(name: str, *, begin: float = T0, end: float = T0 + 90 * DAY_S) -> Identity:
    enrollment = Enrollment("orin-07", "f" * 16, "h:1", "h:2", begin, end)
    return Identity(enrollment, f"key {name}".encode(), f"certificate {name}".encode(), b"ca")


def test_a_certificate_is_due_at_two_thirds_of_its_life_or_a_little_later() -> None:
    enrollment = identity_of("a").enrollment
    assert renewal.due_unix_s(enrollment, 0.0) == pytest.approx(T0 + 60 * DAY_S)
    latest = renewal.due_unix_s(enrollment, 0.999)
    assert latest is not None
    assert T0 + 60 * DAY_S < latest < T0 + 62 * DAY_S


def test_without_a_recorded_validity_nothing_is_due() -> None:
    assert renewal.due_unix_s(identity_of("a", begin=0.0).enrollment, 0.5) is None


def test_the_wall_clock_is_looked_at_every_hour_however_far_the_time_is() -> None:
    assert renewal.pause_s(T0 + 1e6, T0) == 3600.0
    assert renewal.pause_s(T0 + 5, T0) == 5.0
    assert renewal.pause_s(T0, T0 + 9) == 0.0


class Run:
    """Drives `keep_renewed` with a clock of the test's own; `command` is a real process."""

    def __init__(self, home: Path, *, program: str, busy: int = 0) -> None:
        self.home, self.now, self.busy = home, T0, busy
        self.pauses: list[float] = []
        self.used: list[Identity] = []
        self.done = asyncio.Event()
        self.command = (sys.executable, "-c", program)

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.now += pause_s
        if self.used or len(self.pauses) > 3000:
            self.done.set()
            await asyncio.Event().wait()

    def is_measuring(self) -> bool:
        self.busy -= 1
        return self.busy >= 0

    async def use(self, renewed: Identity) -> None:
        self.used.append(renewed)

    async def until_done(self) -> None:
        task = asyncio.create_task(
            renewal.keep_renewed(
                self.home,
                self.command,
                address=lambda: "host:1",
                use=self.use,
                is_measuring=self.is_measuring,
                clock=lambda: self.now,
                sleep=self.sleep,
                rng=random.Random(1),
            )
        )
        await asyncio.wait_for(self.done.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


WRITES_A_NEW_ONE = """
import sys
from pathlib import Path
from dataclasses import replace
from edgerig_agent import identity
home = Path(sys.argv[1])
assert sys.argv[2] == "host:1"
old = identity.load(home)
e = old.enrollment
new = replace(e, not_before_unix_s=e.not_before_unix_s + 6e6, not_after_unix_s=e.not_after_unix_s + 6e6)
identity.save(home, identity.Identity(new, b"key b", b"certificate b", old.ca_pem))
"""


async def test_the_new_identity_is_used_once_it_is_written(tmp_path: Path) -> None:
    identities.save(tmp_path, identity_of("a"))
    run = Run(tmp_path, program=WRITES_A_NEW_ONE)
    await run.until_done()
    assert [item.key_pem for item in run.used] == [b"key b"]
    first_due = sum(run.pauses[:-1])
    assert 60 * DAY_S <= first_due <= 62 * DAY_S


async def test_nothing_is_renewed_while_something_is_measured(tmp_path: Path) -> None:
    identities.save(tmp_path, identity_of("a"))
    run = Run(tmp_path, program=WRITES_A_NEW_ONE, busy=3)
    await run.until_done()
    assert run.pauses.count(60.0) == 3
    assert len(run.used) == 1


async def test_a_failed_renewal_is_tried_again_an_hour_later_with_the_old_identity(tmp_path: Path) -> None:
    identities.save(tmp_path, identity_of("a"))
    flag = tmp_path / "flag"
    program = f"""
import sys
from pathlib import Path
if not Path({str(flag)!r}).exists():
    Path({str(flag)!r}).touch()
    sys.exit("the controller does not answer")
{WRITES_A_NEW_ONE}"""
    run = Run(tmp_path, program=program)
    await run.until_done()
    assert len(run.used) == 1
    assert run.pauses[-2] == 3600.0


@pytest.mark.parametrize("step", ["nothing written", "half written", "whole", "old aside"])
def test_whenever_a_replacement_is_cut_off_one_identity_is_whole(tmp_path: Path, step: str) -> None:
    identities.save(tmp_path, identity_of("a"))
    fresh = tmp_path / "identity.new"
    if step != "nothing written":
        other = tmp_path / "other"
        identities.save(other, identity_of("b"))
        (other / "identity").rename(fresh)
    if step == "half written":
        (fresh / "enrollment.json").unlink()
    if step == "old aside":
        (tmp_path / "identity").rename(tmp_path / "identity.old")
    assert identities.is_enrolled(tmp_path)
    loaded = identities.load(tmp_path)
    expected = b"b" if step == "old aside" else b"a"
    assert loaded.key_pem == b"key " + expected
    assert loaded.certificate_pem == b"certificate " + expected
    identities.save(tmp_path, identity_of("c"))
    assert identities.load(tmp_path).key_pem == b"key c"


def test_with_only_the_old_one_left_it_is_taken_back(tmp_path: Path) -> None:
    identities.save(tmp_path, identity_of("a"))
    (tmp_path / "identity").rename(tmp_path / "identity.old")
    assert identities.load(tmp_path).key_pem == b"key a"


def test_a_clock_from_before_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="before this program was made"):
        identities.check_clock(identity_of("a").enrollment, CLOCK_FLOOR_UNIX_S - 1)
