"""Whether an enrolled agent reaches its controller: `edgerig_agent.connection` as a section of the doctor."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgerig_agent.doctor.findings import Finding, Section, State

_NAME = "connection to the controller"
_PAGE = "docs/how-to/fleet.md"
_STATES: dict[str, State] = {"ok": "ok", "warning": "warning", "fault": "missing"}


def section(home: Path) -> Section | None:
    """Looks at the connection; None for a home that is not enrolled, which needs none."""
    if not (home / "identity").is_dir():
        return None
    lacking = [name for name in ("grpc", "cryptography") if find_spec(name) is None]
    if lacking:
        text = f"not looked at: {', '.join(lacking)} is not installed"
        return Section(_NAME, (Finding("warning", text, "pip install 'edgerig[agent]'"),))
    # Loads gRPC, which a device without a controller does not need.
    from edgerig_agent.connection import diagnose

    return Section(
        _NAME,
        tuple(
            Finding(_STATES[found.state], f"{found.step}: {found.text}", found.hint or _fallback(found.state))
            for found in diagnose(home)
        ),
    )


def _fallback(state: str) -> str:
    return "" if state == "ok" else _PAGE
