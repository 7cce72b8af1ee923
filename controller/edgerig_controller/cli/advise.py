"""`edgerig advise`: which measured configuration to deploy on a device, under a person's limits."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerig.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_OK, NotFoundError, UsageError
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.output import Column
from edgerig_controller.cli.reference import complete_studies

if TYPE_CHECKING:
    from edgerig_controller.cli.output import Output
    from edgerig_controller.evidence.build import Evidence
    from edgerig_controller.guidelines.advise import Advice, Amount, Limits, Option
    from edgerig_controller.report.data import StudyData

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})\s*")
_POSITIVE = click.FloatRange(min=0, min_open=True)


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes: `8GiB`, `4GB`, `512MiB` or a number."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads a size."""
        match = _SIZE.fullmatch(str(value))
        if match is None or match[2].lower() not in _UNITS or not float(match[1]) > 0:
            self.fail(f"{value!r} is no size such as 8GiB or 512MiB", param, ctx)
        return float(match[1]) * _UNITS[match[2].lower()]


@click.command()
@click.option("--device", "device_id", metavar="NAME", help="The device, as it was measured.")
@click.option("--ram", type=Size(), metavar="SIZE", help="Memory of the box: 8GiB. Default: the device's.")
@click.option("--task", "task_name", required=True, metavar="TASK", help="A measured task, or its data file.")
@click.option("--max-latency-ms", type=_POSITIVE, help="Of one request, to its last token.")
@click.option("--max-j-per-request", type=_POSITIVE, help="Energy of one request.")
@click.option("--requests-per-day", type=_POSITIVE, help="For energy per day and days to break-even.")
@click.option(
    "--ram-margin", type=click.FloatRange(0, 1), default=0.10, show_default=True, help="On the peak."
)
@click.option(
    "--study", "studies", multiple=True, shell_complete=complete_studies, help="Only these studies."
)
@click.option(
    "--from",
    "exports",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of an export; may be repeated.",
)
@common_options
def advise(
    context: Context,
    device_id: str | None,
    ram: float | None,
    task_name: str,
    max_latency_ms: float | None,
    max_j_per_request: float | None,
    requests_per_day: float | None,
    ram_margin: float,
    studies: tuple[str, ...],
    exports: tuple[Path, ...],
) -> int:
    """List what to deploy: measured configurations that keep the limits, the best first."""
    from edgerig_controller.evidence.build import build
    from edgerig_controller.guidelines.advise import Limits

    if device_id is None and ram is None:
        raise UsageError("which box? give --device NAME or --ram SIZE", hint="edgerig device list")
    evidence = build(_load(context, studies, exports))
    if ram is None and device_id is not None:
        ram = _memory_of(evidence, device_id)
    limits = Limits(
        ram_bytes=ram,
        latency_s=None if max_latency_ms is None else max_latency_ms / 1e3,
        energy_j=max_j_per_request,
        ram_margin=ram_margin,
    )
    found, nothing = find(evidence, task_name, device_id, limits, requests_per_day)
    code = exit_code(found)
    if found is not None:
        show(context.out, found, limits)
    if nothing:
        context.out.text(f"No evidence: {nothing}")
    context.out.document(
        {
            "advice": None if found is None else asdict(found),
            "limits": asdict(limits),
            "no_evidence": nothing,
            "notices": [vars(notice) for notice in evidence.notices],
            "exit_code": code,
        }
    )
    return code


def exit_code(found: Advice | None) -> int:
    """Returns 0 when something fits or may fit, 1 when all breaks a limit, 5 without evidence."""
    if found is None or not (found.options or found.excluded):
        return EXIT_NOT_FOUND
    return EXIT_OK if found.options else EXIT_FAILED


def find(
    evidence: Evidence,
    task_name: str,
    device_id: str | None,
    limits: Limits,
    requests_per_day: float | None,
) -> tuple[Advice | None, str]:
    """Finds the records that count and what they advise; else says which evidence is missing."""
    from edgerig_controller.guidelines import advise as engine

    name = _task_of(evidence, task_name)
    task = next((entry for entry in evidence.records.tasks if entry.table.task == name), None)
    if task is None or not task.table.scores.size:
        known = ", ".join(entry.table.task for entry in evidence.records.tasks) or "none"
        return None, f"{task_name} was not measured; measured tasks: {known}"
    tables = evidence.tables.get(name, ())
    mine = tuple(table for table in tables if device_id is None or table.device == device_id)
    if not mine:
        others = sorted({table.device for table in tables})
        elsewhere = (
            f"; it was measured on {', '.join(others)}, whose time and energy are not yours" if others else ""
        )
        return None, f"{name} was not measured on {device_id}{elsewhere}"
    found = engine.advise(
        task,
        evidence.records.configs,
        mine,
        limits,
        boundary=evidence.boundary,
        new_tokens=_new_tokens(evidence),
        requests_per_day=requests_per_day,
    )
    if not (found.options or found.excluded):
        return found, f"no configuration has both scores and figures on {name}"
    return found, ""


def _load(context: Context, references: tuple[str, ...], exports: tuple[Path, ...]) -> list[StudyData]:
    from edgerig_controller.cli.guide import load
    from edgerig_controller.cli.reference import open_store

    if references or exports:
        return load(context, references, exports)
    with open_store(context.home) as repository:
        names = tuple(study.study_id for study in repository.studies())
    if not names:
        raise NotFoundError("no study was run yet: there is no evidence", hint="edgerig run STUDY.yaml")
    return load(context, names, ())


def _memory_of(evidence: Evidence, device_id: str) -> float | None:
    devices = {device.device_id: device for data in evidence.studies for device in data.devices}
    device = devices.get(device_id)
    if device is None:
        known = ", ".join(sorted(devices)) or "none"
        raise NotFoundError(
            f"no study ran on a device {device_id!r}; devices with results: {known}",
            hint="edgerig advise --ram SIZE, for a box that was not measured",
        )
    return float(device.memory_bytes) or None


def _task_of(evidence: Evidence, given: str) -> str:
    """Returns the name of a task, found by the content of its data file if a file is given."""
    path = Path(given)
    if not path.is_file():
        return given
    import hashlib

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    for data in evidence.studies:
        for name, facts in (data.study.resolved.get("resolved_tasks") or {}).items():
            if digest in json.dumps(facts):
                return str(name)
    return given


def _new_tokens(evidence: Evidence) -> int:
    lengths = [
        int((data.study.resolved.get("inference") or {}).get("new_tokens") or 32) for data in evidence.studies
    ]
    return max(lengths, default=32)


_COLUMNS = (
    Column("configuration"),
    Column("state"),
    Column("quality", right=True),
    Column("P(best)", right=True),
    Column("RAM", right=True),
    Column("latency", right=True),
    Column("J/request", right=True),
    Column("train J", right=True),
)


def show(out: Output, found: Advice, limits: Limits) -> None:
    """Prints advice for a person; narrow terminals get one block per configuration."""
    out.heading(
        f"{found.task}: {len(found.options)} configurations, power at {found.boundary or 'no boundary'}"
    )
    several = len({option.device for option in found.options}) > 1
    out.table(_COLUMNS, [_row(option, several) for option in found.options])
    if not found.options:
        out.text("Nothing that was measured keeps the limits.")
    for option in found.options:
        for reason in option.reasons:
            out.text(f"unsure: {option.config_id}: {reason}")
        _show_break_even(out, option)
    if found.excluded:
        out.heading("Excluded")
        for option in found.excluded:
            out.text(f"{option.config_id} on {option.device}: {'; '.join(option.reasons)}")
    if found.not_measured:
        out.heading("Not measured")
        for text in found.not_measured:
            out.text(text)
    for note in (*found.notes, *_limit_notes(found, limits)):
        out.text(out.style(f"note: {note}", "dim"))


def _limit_notes(found: Advice, limits: Limits) -> list[str]:
    margin = f"RAM is the largest run; with {100 * limits.ram_margin:g} % more it must fit"
    power = [] if found.boundary else ["energy was not measured on this device"]
    return [margin, *power]


def _row(option: Option, several: bool) -> tuple[str, ...]:
    return (
        f"{option.config_id} @ {option.device}" if several else option.config_id,
        option.state,
        _words(option.quality, 1.0, "{:.1f}"),
        "–" if option.probability_best is None else f"{option.probability_best:.2f}",
        _words(option.ram, 2**20, "{:.0f} MiB", interval=False),
        _words(option.latency_s, 1e-3, "{:.1f}") + (" ms" if option.latency_s.value is not None else ""),
        _words(option.energy_j, 1.0, "{:.3g}"),
        _words(option.train_j, 1.0, "{:.3g}"),
    )


def _words(amount: Amount, scale: float, form: str, *, interval: bool = True) -> str:
    if amount.value is None:
        return amount.note or "–"
    text = form.format(amount.value / scale)
    if not interval or amount.low is None or amount.high is None:
        return text
    return f"{text} ({form.format(amount.low / scale)} to {form.format(amount.high / scale)})"


def _show_break_even(out: Output, option: Option) -> None:
    for point in option.break_even:
        ratio = point.requests
        if ratio.estimate is None or ratio.low is None or ratio.high is None:
            out.text(f"break-even of {option.config_id} against {point.against}: {ratio.note}")
            continue
        days = "" if point.days is None else f", {point.days:.3g} days"
        out.text(
            f"break-even of {option.config_id} against {point.against}: "
            f"{ratio.estimate:,.0f} requests ({ratio.low:,.0f} to {ratio.high:,.0f}){days}"
        )
