"""Runs a study over every pair of oldest and newest gRPC and protobuf, and over the last protocol minor.

    python tools/matrix.py --work DIR [--write docs/reference/versions.md] [--json]

Each side has an environment of its own, with the wheel of this tree and the
lowest or the newest versions that pyproject.toml allows; the agent of the last
minor is built from the commit before the minor was raised. Each pair then does the
same: enrol, dial over mTLS, run a study of the method `spin`, which needs no torch,
and read the result. Environments in DIR are used again. Exit code 1: a pair failed.

Standard library only. Needs a package index, minutes, and a git checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("grpcio", "protobuf")
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
# The newest commit that speaks the minor before ours has this in its past and our minor in its future.
MINOR_LINE = "PROTOCOL_MINOR = "
_START_S = 60.0
_STUDY_S = 120.0
_STUDY = """
edgerig: 1
name: matrix
protocol: quick
devices: {names: [board]}
seeds: [1, 2]
tasks: [{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}]
factors:
  model: [starter/small]
  method: [spin]
  history: [4]
budgets: {attempt: {duration_s: 60}}
inference: {prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 1}
"""


@dataclass(frozen=True)
class Side:
    """One environment: its interpreter, what it is called, and the versions in it."""

    python: Path
    name: str
    minor: str
    versions: dict[str, str]

    def command(self, program: str) -> str:
        return str(self.python.parent / program)

    def words(self) -> str:
        shown = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.name}: {shown}, protocol {self.minor}"


@dataclass(frozen=True)
class Pair:
    """What became of one pair."""

    controller: str
    agent: str
    passed: bool
    detail: str
    duration_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of environments and runs")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this page")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    work: Path = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    controllers, agents = make_sides(work)
    pairs = [
        try_pair(work / f"run-{number}", controller, agent)
        for number, (controller, agent) in enumerate((c, a) for c in controllers for a in agents)
    ]
    today = datetime.now(timezone.utc).date().isoformat()
    if arguments.write:
        write_page(arguments.write, table(pairs, today, f"{sys.version_info.major}.{sys.version_info.minor}"))
    if arguments.json:
        sys.stdout.write(json.dumps({"date": today, "pairs": [asdict(pair) for pair in pairs]}) + "\n")
    else:
        sys.stdout.write(table(pairs, today, sys.version.split()[0]) + "\n")
    return 0 if all(pair.passed for pair in pairs) else 1


def make_sides(work: Path) -> tuple[list[Side], list[Side]]:
    """Makes the environments: lowest and newest of both sides, and an agent of the last minor."""
    wheel = build(ROOT, work / "wheel")
    text = (ROOT / "pyproject.toml").read_text()
    lowest = [f"{name}=={lowest_version(text, name)}" for name in PACKAGES]
    newest = list(PACKAGES)
    sides: dict[str, list[Side]] = {"controller": [], "agent": []}
    for extra, found in sides.items():
        for name, pins in (("lowest", lowest), ("newest", newest)):
            found.append(install(work / f"{extra}-{name}", f"{wheel}[{extra}]", name, pins))
    commit = last_minor_commit()
    source = work / f"source-{commit[:12]}"
    if not source.exists():
        source.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    old = build(source, work / "wheel-old")
    sides["agent"].append(install(work / "agent-last-minor", f"{old}[agent]", "last minor", newest))
    return sides["controller"], sides["agent"]


def lowest_version(pyproject: str, package: str) -> str:
    """Returns the lowest version that the project allows of a package, with three numbers."""
    match = re.search(rf'"{package}>=([\d.]+)', pyproject)
    if match is None:
        raise SystemExit(f"pyproject.toml gives no lowest version of {package}")
    numbers = match.group(1).split(".")
    return ".".join([*numbers, "0", "0"][:3])


def last_minor_commit() -> str:
    """Returns the commit before the protocol's minor version was raised the last time."""
    path = "protos/edgerig/version.py"
    match = re.search(rf"^{MINOR_LINE}(\d+)", (ROOT / path).read_text(), re.MULTILINE)
    if match is None:
        raise SystemExit(f"{path} has no {MINOR_LINE}")
    found = _out("git", "log", "--format=%H", f"-S{MINOR_LINE}{match.group(1)}", "--", path).split()
    if not found:
        raise SystemExit("the history does not show when the minor version was raised; use a full clone")
    return _out("git", "rev-parse", f"{found[-1]}^").strip()


def build(source: Path, target: Path) -> Path:
    """Builds the wheel of a tree anew and returns it."""
    for old in target.glob("*.whl"):
        old.unlink()
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(target), str(source))
    return next(target.glob("*.whl"))


def install(venv: Path, requirement: str, name: str, pins: list[str]) -> Side:
    """Makes an environment, or brings an old one up to date."""
    python = venv / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(venv))
    pip = (str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check")
    _run(*pip, "--upgrade", requirement, *pins)
    # The version of the wheel may be the same although its content is not.
    _run(*pip, "--force-reinstall", "--no-deps", requirement.partition("[")[0])
    ask = "import json, importlib.metadata as m; from edgerig import version as v; print(json.dumps("
    ask += f"[[m.version(n) for n in {PACKAGES!r}], f'{{v.PROTOCOL_MAJOR}}.{{v.PROTOCOL_MINOR}}']))"
    versions, minor = json.loads(_out(str(python), "-c", ask))
    return Side(python, name, minor, dict(zip(PACKAGES, versions, strict=True)))


def try_pair(folder: Path, controller: Side, agent: Side) -> Pair:
    """Has one controller and one agent do the whole of it."""
    began = time.monotonic()
    detail = ""
    try:
        with _fresh(folder) as data:
            detail = round_trip(data, controller, agent)
            passed = True
    except (subprocess.SubprocessError, RuntimeError, OSError) as error:
        passed, detail = False, str(error)[-400:]
    return Pair(controller.words(), agent.words(), passed, detail, round(time.monotonic() - began, 1))


def round_trip(folder: Path, controller: Side, agent: Side) -> str:
    """Enrols, runs the study and reads its results; returns what came of it. Raises RuntimeError."""
    data, home = folder / "data", folder / "home"
    edgerig = (controller.command("edgerig"),)
    at = ("--data", str(data), "--json")
    with _process([*edgerig, "serve", "--data", str(data)], folder / "serve.log"):
        _until(lambda: (data / "endpoint.json").exists(), _START_S, folder / "serve.log")
        added = json.loads(_out(*edgerig, "device", "add", "board", *at))
        enroll = [agent.command("edgerig-agent"), "enroll", "--home", str(home), "--device-id", "board"]
        enroll += ["--controller", added["enroll_address"], "--agents", added["agents_address"]]
        enroll += ["--ca-sha256", added["ca_spki_sha256"], f"--token={added['token']}"]
        _run(*enroll)
        with _process([agent.command("edgerig-agent"), "run", "--home", str(home)], folder / "agent.log"):
            study = folder / "study.yaml"
            study.write_text(_STUDY)
            answer = json.loads(_out(*edgerig, "run", str(study), *at, timeout_s=_STUDY_S))
    if (answer.get("ok_count"), answer.get("trial_count")) != (2, 2):
        raise RuntimeError(f"not every trial has a result: {json.dumps(answer)[:300]}")
    return "2 of 2 trials measured and committed"


def table(pairs: list[Pair], date: str, python: str) -> str:
    """Returns the result as Markdown."""
    lines = [
        f"Run on {date} with Python {python}, `python tools/matrix.py`.",
        "",
        "| controller | agent | result |",
        "|---|---|---|",
    ]
    lines += [
        f"| {pair.controller} | {pair.agent} | {'passed' if pair.passed else 'FAILED'}: "
        f"{' '.join(pair.detail.split())}, {pair.duration_s:.0f} s |"
        for pair in pairs
    ]
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Replaces what stands between the marks of a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    place = folder / str(time.time_ns())
    place.mkdir(parents=True)
    yield place


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    """Runs a daemon for the length of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"{error}\n{log.name}: {log.read_text(errors='replace')[-600:]}") from error
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _until(holds: Any, timeout_s: float, log: Path) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing came up: {log.read_text(errors='replace')[-600:]}")
        time.sleep(0.1)


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {ended.returncode}: {ended.stderr[-600:]}")


def _out(*command: str, timeout_s: float = 60.0) -> str:
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )
    if ended.returncode:
        said = f"{ended.stderr}\n{ended.stdout}"[-600:]
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {ended.returncode}: {said}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
