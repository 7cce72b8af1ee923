"""`edgerig run` and `edgerig watch`: from a study file to its report, and back to a running study."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig.errors import EXIT_INTERRUPTED, EXIT_OK
from edgerig.words import RESULT_FAILURES
from edgerig_controller.cli import remote, remote_run
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.reference import find, open_store, prepare_file, read_file, study_argument

if TYPE_CHECKING:
    from edgerig.v1 import control_service_pb2 as pb
    from edgerig_controller.cli.control import Control
    from edgerig_controller.home import Home
    from edgerig_controller.study.prepared import DeviceSelector, Prediction, PreparedStudy

INVITE_TTL_S = 300.0


@dataclass(frozen=True)
class Wishes:
    """What the options of `run` ask for."""

    resume: bool
    reuse: bool
    detach: bool
    priority: int = 0


@click.command()
@click.argument("file", metavar="STUDY.yaml", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Show cells, trials and predictions; run nothing.")
@click.option("--resume", is_flag=True, help="Run trials again that died; implied for a study that exists.")
@click.option("--no-reuse", is_flag=True, help="Measure again what an identical trial has answered before.")
@click.option("--detach", is_flag=True, help="Return once the study is registered.")
@click.option(
    "--priority",
    type=click.IntRange(-10, 10),
    default=0,
    help="Studies of a larger priority are served first; of equal ones, people share the devices.",
)
@common_options
def run(
    context: Context, file: Path, dry_run: bool, resume: bool, no_reuse: bool, detach: bool, priority: int
) -> int:
    """Run a study and write its report.

    Starts a controller and an agent on this machine when none runs. Ctrl-C
    leaves the study running; pressed twice it cancels the study. Exit code 0:
    every trial has a result; 1: a trial died.
    """
    prepared = prepare_file(file)
    if dry_run:
        _show_plan(context, prepared, file)
        return EXIT_OK
    if remote.load(context.home) is not None:
        return asyncio.run(
            remote_run.run(context, file, reuse=not no_reuse, detach=detach, priority=priority)
        )
    answered = _answered(context, prepared.digest)
    if answered is not None:
        context.out.note(f"Study {prepared.name} ({answered}) is finished; nothing has to run.")
        return _finish(context, answered, {"attached": True, "reused_count": 0})
    wishes = Wishes(resume=resume, reuse=not no_reuse, detach=detach, priority=priority)
    return asyncio.run(_run(context, file, prepared, wishes))


@click.command()
@study_argument
@common_options
def watch(context: Context, study: str) -> int:
    """Follow STUDY until it has ended, then show its results."""
    if remote.load(context.home) is not None:
        return asyncio.run(remote_run.watch(context, study))
    with open_store(context.home) as repository:
        found = find(repository, study)
    if found.state != "active":
        return _finish(context, found.study_id, {})
    return asyncio.run(_watch(context, found.study_id, found.name))


def wants_local(devices: DeviceSelector) -> bool:
    """Says whether the agent of this machine may run trials of a study."""
    from edgerig_controller.embedded import LOCAL_DEVICE
    from edgerig_controller.fleet.schedule import matches

    if devices.names:
        return LOCAL_DEVICE in devices.names
    return matches((), devices.labels, LOCAL_DEVICE, ())


def _show_plan(context: Context, prepared: PreparedStudy, file: Path) -> None:
    from edgerig_controller.cli.output import Column
    from edgerig_controller.study.plan import dry_run

    if wants_local(prepared.devices):
        # Only now it is known which device is meant; its memory decides what fits.
        import psutil

        prepared = prepare_file(file, device_memory_bytes=psutil.virtual_memory().total)
    out = context.out
    out.text(f"{prepared.name}: {len(prepared.cells)} cells, {len(prepared.trials)} trials. Nothing was run.")
    counts: dict[int, int] = {}
    for trial in prepared.trials:
        counts[trial.cell_index] = counts.get(trial.cell_index, 0) + 1
    out.table(
        [
            Column("cell"),
            Column("trials", right=True),
            Column("peak RAM"),
            Column("time per trial"),
            Column("note"),
        ],
        [
            (
                cell.label,
                str(counts.get(cell.index, 0)),
                _predicted(cell.ram_peak_bytes, "B"),
                _predicted(cell.duration_s, "s"),
                cell.does_not_fit or "–",
            )
            for cell in prepared.cells
        ],
    )
    reasons = Counter((exclusion.source, exclusion.reason) for exclusion in prepared.exclusions)
    for (source, reason), count in reasons.items():
        out.text(f"{count} left out by the {source}: {reason}")
    out.document({"dry_run": dry_run(prepared)})


def _predicted(prediction: Prediction, unit: str) -> str:
    from edgerig_controller.report.numbers import quantity

    if prediction.value is None:
        return prediction.basis
    return f"{quantity(prediction.value, unit)} ({prediction.basis})"


async def _run(context: Context, file: Path, prepared: PreparedStudy, wishes: Wishes) -> int:
    from edgerig_controller.cli.control import session

    home, out = context.home, context.out
    async with session(home) as (control, running):
        if running.started:
            out.note(f"Started a controller for {home.root}.")
        fleet_id = running.endpoint.fleet_id
        keep_agent = None
        if wants_local(prepared.devices):
            # An agent that ends while the study waits for it is started again.
            keep_agent = functools.partial(_ensure_agent, context, home, control, fleet_id)
            await keep_agent()
        out.progress("preparing the study")
        answer = await control.submit(read_file(file), file, reuse=wishes.reuse, priority=wishes.priority)
        _say_registered(context, prepared.name, answer, wishes)
        facts = {
            "study_id": answer.study_id,
            "name": prepared.name,
            "attached": answer.attached,
            "reused_count": answer.reused_count,
        }
        if wishes.detach:
            out.text(answer.study_id)
            out.note(f"Next: {context.again(f'edgerig watch {prepared.name}')}")
            out.document({**facts, "trial_count": answer.trial_count})
            return EXIT_OK
        left = await _follow(context, control, answer.study_id, prepared.name, keep_agent)
    return EXIT_INTERRUPTED if left else _finish(context, answer.study_id, facts)


async def _watch(context: Context, study_id: str, name: str) -> int:
    from edgerig_controller.cli.control import existing

    async with existing(context.home) as control:
        left = await _follow(context, control, study_id, name)
    return EXIT_INTERRUPTED if left else _finish(context, study_id, {})


async def _ensure_agent(context: Context, home: Home, control: Control, fleet_id: str) -> None:
    from edgerig_controller import embedded

    loop = asyncio.get_running_loop()

    def invite() -> embedded.Invitation:
        # The local agent's home may be gone while the controller still knows its certificate.
        call = control.add_device(embedded.LOCAL_DEVICE, [embedded.LOCAL_DEVICE], INVITE_TTL_S, replace=True)
        return asyncio.run_coroutine_threadsafe(call, loop).result()

    start = functools.partial(embedded.ensure_agent, home, fleet_id, invite)
    if await loop.run_in_executor(None, start) is not None:
        context.out.note("Started the agent of this machine.")


def _say_registered(context: Context, name: str, answer: pb.SubmitStudyResponse, wishes: Wishes) -> None:
    text = f"Study {name} ({answer.study_id}): {answer.trial_count} trials"
    if answer.attached:
        text += "; it exists already, so this command attaches to it"
        if not wishes.reuse:
            text += " (--no-reuse is for new studies)"
    elif answer.reused_count:
        text += f", {answer.reused_count} of them answered by earlier identical ones"
    if wishes.resume and not answer.attached:
        text += "; it is new, so there is nothing to resume"
    context.out.note(text + ".")


async def _follow(
    context: Context,
    control: Control,
    study_id: str,
    name: str,
    on_blocked: Callable[[], Awaitable[None]] | None = None,
) -> bool:
    """Follows a study; True when the person left or cancelled instead of seeing its end."""
    from edgerig_controller.cli import progress
    from edgerig_controller.viewers import viewing

    with viewing(context.home):
        pressed = await progress.follow_or_leave(control, context.out, study_id, name, on_blocked)
    if pressed == 0:
        return False
    if pressed == 2:
        if await progress.cancel_and_wait(control, context.out, study_id, name):
            await progress.end_embedded(control, context.out, context.home)
    else:
        context.out.note(f"The study goes on. Come back with: {context.again(f'edgerig watch {name}')}")
    context.out.document(
        {"study_id": study_id, "name": name, "cancelled": pressed == 2, "detached": pressed == 1}
    )
    return True


def _answered(context: Context, digest: str) -> str | None:
    """Returns the id of the study with this digest if every trial of it has a result or is settled."""
    if not context.home.has_store:
        return None
    with open_store(context.home) as repository:
        for study in repository.studies():
            if study.digest == digest and study.state == "finished":
                results = [row for row in repository.attempts(study.study_id) if row.canonical]
                died = any(row.status != "ok" and row.failure_class not in RESULT_FAILURES for row in results)
                settled = sum(trial.state == "settled" for trial in repository.trials(study.study_id))
                whole = len(results) + settled == study.trial_count
                return study.study_id if whole and not died else None
    return None


def _finish(context: Context, study_id: str, facts: dict[str, Any]) -> int:
    """Writes the report, shows the summary, and returns the exit code of the study."""
    from edgerig_controller.cli import summary
    from edgerig_controller.report import render
    from edgerig_controller.report.build import build
    from edgerig_controller.report.data import StudyData

    with open_store(context.home) as repository:
        data = StudyData.load(repository, repository.find_study(study_id))
    report = build(data, now_unix_s=time.time())
    files = render.write(report, context.home.report_dir(study_id))
    summary.show(context.out, report)
    context.out.text()
    context.out.text(f"Report: {files.html}")
    if report.claims:
        context.out.note(f"Next: {context.again(f'edgerig guide {report.name}')}, for verdicts on its claims")
    code = summary.exit_code(report)
    context.out.document(
        {
            "study_id": study_id,
            "name": report.name,
            "digest": report.digest,
            "state": report.state,
            **facts,
            "trial_count": report.trial_count,
            "ok_count": report.ok_count,
            "failed_count": report.failed_count,
            "records": summary.records(data),
            "failures": summary.failures(report),
            "report": files.document(),
            "exit_code": code,
        }
    )
    return code
