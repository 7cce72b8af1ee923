"""`edgerig serve`, `stop` and `controllers`: the controller as a process, and those that share its store."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgerig.errors import EXIT_OK, TimeoutExceededError, UsageError
from edgerig_controller.cli.options import Context, common_options, yes_option

if TYPE_CHECKING:
    from edgerig_controller.fleet.golden import GoldenPlan


@click.command()
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--advertise", multiple=True, help="Name by which devices reach this machine; repeatable.")
@click.option("--control-port", type=click.IntRange(0, 65535), default=0, help="Port for operators; 0: any.")
@click.option("--agents-port", type=click.IntRange(0, 65535), default=0, help="Port for agents; 0: any.")
@click.option("--enroll-port", type=click.IntRange(0, 65535), default=0, help="Port for enrolment; 0: any.")
@click.option("--insecure-loopback", is_flag=True, help="Also open a port without TLS, on loopback only.")
@click.option("--golden-every", metavar="DURATION", help="Run a golden trial on every device so often (24h).")
@click.option(
    "--golden",
    "golden_file",
    metavar="STUDY.yaml",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The golden study instead of the built-in one; its name and devices are replaced.",
)
@click.option(
    "--store",
    default="",
    envvar="EDGERIG_STORE",
    metavar="postgresql://USER@HOST/DATABASE",
    help="Keep the store in this database, which several controllers may share, and not in a file. "
    "The data folder remembers it. The password comes from PGPASSFILE, PGSERVICE or PGPASSWORD.",
)
@click.option(
    "--shared",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of blobs, traces and the certificate authority, the same for all controllers of a store.",
)
@common_options
def serve(
    context: Context,
    listen: str,
    advertise: tuple[str, ...],
    control_port: int,
    agents_port: int,
    enroll_port: int,
    insecure_loopback: bool,
    golden_every: str | None,
    golden_file: Path | None,
    store: str,
    shared: Path | None,
) -> int:
    """Run the controller in the foreground until Ctrl-C or `edgerig stop`."""
    from edgerig_controller.rpc.listeners import Ports
    from edgerig_controller.serve import run

    context.out.note(f"Data folder: {context.home.root}")
    code = run(
        context.home,
        listen=listen,
        advertise=advertise,
        ports=Ports(control_port, agents_port, enroll_port),
        insecure_loopback=insecure_loopback,
        golden=_golden_plan(golden_file, golden_every),
        store=store,
        shared=shared,
    )
    context.out.document({"ended": True})
    return code


def _golden_plan(file: Path | None, every: str | None) -> GoldenPlan:
    """Reads the golden study and checks it before the controller starts.

    Raises:
        StudyProblems: it is no study.
    """
    from edgerig_controller.cli.fleet import duration_s
    from edgerig_controller.cli.reference import prepare_file, read_file
    from edgerig_controller.fleet.golden import GoldenPlan

    every_s = None if every is None else duration_s(every)
    if file is None:
        return GoldenPlan(every_s=every_s)
    prepare_file(file)
    return GoldenPlan(read_file(file), file.name, str(file.parent.absolute()), every_s)


@click.command()
@common_options
def controllers(context: Context) -> None:
    """List the controllers of the store, the one that leads first."""
    import time
    from datetime import datetime, timezone

    from edgerig_controller.cli.output import Column
    from edgerig_controller.cli.reference import open_store

    rows = []
    if context.home.database:
        with open_store(context.home) as repository:
            rows = repository.controllers.members(now_unix_s=time.time())
    if not rows:
        context.out.note("The store is a file, which one controller uses: edgerig serve --store ...")
    context.out.table(
        [Column("id"), Column("leads"), Column("people"), Column("agents"), Column("seen (UTC)")],
        [
            (
                row.member.controller_id,
                "yes" if row.leads else "",
                row.member.control,
                row.member.agents,
                datetime.fromtimestamp(row.seen_unix_s, tz=timezone.utc).strftime("%Y-%m-%d %H:%M"),
            )
            for row in rows
        ],
    )
    context.out.document(
        {
            "controllers": [
                {**asdict(row.member), "leads": row.leads, "seen_unix_s": row.seen_unix_s} for row in rows
            ]
        }
    )


@click.command()
@yes_option
@common_options
def stop(context: Context, yes: bool) -> int:
    """Stop the controller of the data folder; an embedded one takes its agent along."""
    from edgerig_controller.embedded import find_controller

    if find_controller(context.home) is None:
        context.out.text(f"No controller runs for {context.home.root}.")
        context.out.document({"stopped": False})
        return EXIT_OK
    asyncio.run(_stop(context, yes))
    context.out.text("Stopped.")
    context.out.document({"stopped": True})
    return EXIT_OK


async def _stop(context: Context, yes: bool) -> None:
    from edgerig_controller import embedded
    from edgerig_controller.cli.control import existing

    home = context.home
    endpoint = embedded.find_controller(home)
    async with existing(home) as control:
        open_count = (await control.status()).open_trial_count
        question = f"{open_count} trials are open; they go on with the next run. Stop the controller?"
        if open_count and not context.out.confirm(question, yes=yes):
            raise UsageError(
                f"{open_count} trials are open; stopping was not confirmed",
                hint="edgerig cancel STUDY, or edgerig stop --yes: they go on with the next run",
            )
        processes = embedded.pids(home)
        await control.shutdown()
    if endpoint is None or not endpoint.embedded:
        return
    loop = asyncio.get_running_loop()
    if not await loop.run_in_executor(None, embedded.wait_until_gone, home, processes):
        raise TimeoutExceededError(
            "controller or local agent did not end in time",
            hint=f"look at {home.logs_dir} and {home.agent_dir}",
        )
