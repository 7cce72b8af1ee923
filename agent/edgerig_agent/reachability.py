"""What a failed gRPC call means, in words a person can act on.

gRPC reports most failures of a connection as UNAVAILABLE; what really happened
stands in its details. Knows nothing of what the call was for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from edgerig.errors import EdgerigError, ProtocolError, RejectedError, UnreachableError

# Codes that say that the call did not get through, or may succeed when repeated.
_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
    }
)


# By this a controller marks what it says itself, apart from what a connection makes up.
_ANSWER_KEY = "edgerig-error"
# Where the controller that leads listens for agents, in the words of one that does not.
_LEADER_KEY = "edgerig-leader"


def in_words(error: grpc.RpcError, address: str) -> EdgerigError:
    """Returns what a failed call means, as an error of our tree."""
    # Errors of the blocking and of the asyncio interface share these methods, but no class.
    call: Any = error
    code: grpc.StatusCode | None = call.code() if hasattr(error, "code") else None
    text = (call.details() if hasattr(error, "details") else None) or str(error)
    if code is not None and code not in _TRANSIENT:
        # Our controllers send their next step in the same words as all errors have.
        reason, _, hint = text.partition("\nNext: ")
        kind = RejectedError if code is grpc.StatusCode.INVALID_ARGUMENT else ProtocolError
        return kind(f"the controller at {address} refuses: {reason} ({code.name})", hint=hint)
    if any(key == _ANSWER_KEY for key, _ in _metadata(call)):
        reason, _, hint = text.partition("\nNext: ")
        return UnreachableError(f"the controller at {address} says: {reason}", hint=hint)
    # Most specific first: a refused handshake also mentions the connection.
    known = (
        (
            "CERTIFICATE_VERIFY_FAILED",
            f"{address} is not this fleet's controller, or a certificate or this device's clock is wrong",
            "edgerig-agent enroll --replace ... (with the CA hash that the controller prints)",
        ),
        (
            "Connection refused",
            f"nothing listens at {address}",
            "edgerig serve (on the controller's machine)",
        ),
        (
            "andshake",
            f"the TLS handshake with {address} failed: other fleet, expired certificate, or no TLS there",
            "edgerig-agent enroll --replace ...",
        ),
        (
            "Socket closed",
            f"{address} closed the connection: it does not accept this agent's certificate, or it is ending",
            "edgerig-agent enroll --replace ...",
        ),
        (
            "DNS",
            f"the name in {address} cannot be resolved",
            f"getent hosts {address.rpartition(':')[0]}",
        ),
    )
    for mark, message, hint in known:
        if mark in text:
            return UnreachableError(message, hint=hint)
    name = code.name if code is not None else "no code"
    return UnreachableError(f"{address} cannot be reached: {text} ({name})")


def leader_in(error: grpc.RpcError) -> str:
    """Returns the address of the leader that a failed call names; '' when it names none."""
    return next((str(value) for key, value in _metadata(error) if key == _LEADER_KEY), "")


def _metadata(call: Any) -> Sequence[tuple[str, Any]]:
    return (call.trailing_metadata() if hasattr(call, "trailing_metadata") else None) or ()
