"""`edgerig simulate`: devices that speak the real protocol and pretend to work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig_controller.cli.options import Context, common_options

if TYPE_CHECKING:
    from edgerig_controller.simulator.fleet import Fleet
    from edgerig_controller.simulator.passports import Passport
    from edgerig_controller.simulator.script import Script

_REPORT_S = 1.0


@click.command()
@click.option(
    "--devices", "count", type=click.IntRange(1, 100_000), default=10, show_default=True, help="How many."
)
@click.option("--prefix", default="sim-", show_default=True, help="Ids are PREFIX and a number.")
@click.option("--label", "labels", multiple=True, help="Label that studies choose devices by; repeatable.")
@click.option("--trial-s", type=float, default=1.0, show_default=True, help="Mean length of a trial.")
@click.option("--spread", type=float, default=0.2, show_default=True, help="Share by which it varies.")
@click.option("--failures", type=float, default=0.0, show_default=True, help="Share of trials that fail.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same results.")
@click.option("--ramp-s", type=float, default=0.0, help="Let the devices connect within this time.")
@click.option("--for-s", type=float, help="End after this time; left out: at Ctrl-C.")
@click.option(
    "--home",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of their keys and certificates [default: simulated/ of the data folder].",
)
@click.option(
    "--tell", metavar="FILE", type=click.Path(path_type=Path), help="Write what they see there, every second."
)
@common_options
def simulate(
    context: Context,
    count: int,
    prefix: str,
    labels: tuple[str, ...],
    trial_s: float,
    spread: float,
    failures: float,
    seed: int,
    ramp_s: float,
    for_s: float | None,
    folder: Path | None,
    tell: Path | None,
) -> None:
    """Run simulated devices against the controller of the data folder.

    Each has its own certificate and connection. Their results are made up and
    say so: every figure has the source and the flag `simulated`.
    """
    from edgerig_controller.simulator.fleet import check_files
    from edgerig_controller.simulator.script import Script

    script = Script(trial_s, spread, failures, seed).check()
    check_files(count)
    ids = [f"{prefix}{number:05d}" for number in range(count)]
    place = folder or context.home.root / "simulated"
    document = asyncio.run(_simulate(context, ids, list(labels), script, place, ramp_s, for_s, tell))
    context.out.text(f"{document['devices']} devices committed {document['committed']} results.")
    context.out.document(document)


async def _simulate(
    context: Context,
    ids: list[str],
    labels: list[str],
    script: Script,
    place: Path,
    ramp_s: float,
    for_s: float | None,
    tell: Path | None,
) -> dict[str, Any]:
    from edgerig_controller.simulator.fleet import Fleet

    passports, address = await _passports(context, ids, labels, place)
    fleet = Fleet(passports, address, script)
    context.out.note(f"{len(ids)} devices connect to {address}; end with Ctrl-C.")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    running = asyncio.create_task(fleet.run(ramp_s=ramp_s))
    telling = asyncio.create_task(_tell(fleet, tell))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({running, waiting}, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
        # Read before the end: an ended connection is not a lost one.
        return fleet.report()
    finally:
        for task in (running, telling, waiting):
            task.cancel()
        await asyncio.gather(running, telling, waiting, return_exceptions=True)


async def _passports(
    context: Context, ids: list[str], labels: list[str], place: Path
) -> tuple[list[Passport], str]:
    """Returns the identities of the devices and where they connect to."""
    from edgerig_controller.cli import remote
    from edgerig_controller.cli.control import existing
    from edgerig_controller.embedded import find_controller
    from edgerig_controller.simulator.passports import ensure

    home = context.home
    folder = home.ca_dir if remote.load(home) is None else remote.folder(home)

    def done(number: int) -> None:
        if number % 100 == 0 or number == len(ids):
            context.out.note(f"{number} of {len(ids)} devices have a certificate")

    async with existing(home) as control:
        status = await control.status()
        ca_pem = (folder / "ca.pem").read_bytes()
        passports = await ensure(
            control, place, ids, fleet_id=status.fleet_id, labels=labels, ca_pem=ca_pem, done=done
        )
    endpoint = find_controller(home)
    return passports, passports[0].agents if endpoint is None else endpoint.agents


async def _tell(fleet: Fleet, path: Path | None) -> None:
    while path is not None:
        temporary = path.with_name(f".{path.name}.new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(fleet.report()))
            temporary.replace(path)
        await asyncio.sleep(_REPORT_S)
