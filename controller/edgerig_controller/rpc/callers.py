"""Who makes the call that is being served, for those who need the name and not the connection."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from edgerig_controller.fleet.tokens import LOCAL_OPERATOR


@dataclass(frozen=True)
class Caller:
    """A person, by the certificate that TLS has verified. `role` is operator, viewer, or '' if refused."""

    name: str
    role: str

    @property
    def owner(self) -> str:
        """Returns the name as the owner of things: '' for this machine's own operator."""
        return "" if self.name == LOCAL_OPERATOR else self.name


_CALLER: ContextVar[Caller] = ContextVar("caller")


def set_caller(caller: Caller) -> None:
    """Notes who calls, for the rest of this call."""
    _CALLER.set(caller)


def caller() -> Caller:
    """Returns who calls.

    Raises:
        LookupError: the call came through no gate, which is a fault of ours.
    """
    return _CALLER.get()
