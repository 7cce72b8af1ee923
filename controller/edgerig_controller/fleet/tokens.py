"""One-time tokens of devices and people: 256 random bits, kept only as a hash, bound to a name.

Pure but for the source of random bits. Knows nothing of certificates.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgerig.errors import UsageError
from edgerig_controller.study.labels import WORDS

DEFAULT_TTL_S = 1800.0
MAX_TTL_S = 30 * 86400.0
# The operator whose certificate lies in the data folder itself.
LOCAL_OPERATOR = "local"
_TOKEN_BYTES = 32
_DEVICE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,62}")
_MAX_LABELS = 64


@dataclass(frozen=True)
class StoredToken:
    """A token as the store knows it; `subject` is the device id or the person it is for."""

    token_id: int
    subject: str
    sha256: str
    expires_unix_s: float
    used: bool
    # Whether it may replace a certificate that is live.
    replace: bool = False
    # viewer or operator; empty for devices.
    role: str = ""


def new_token() -> str:
    """Draws a token, URL-safe base64 without padding; none that a command line would take for an option."""
    while True:
        token = base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_BYTES)).rstrip(b"=").decode()
        if not token.startswith("-"):
            return token


def hash_token(token: str) -> str:
    """Returns what is stored of a token. It has 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(
    tokens: Sequence[StoredToken], presented: str, subject: str, now_unix_s: float
) -> tuple[StoredToken | None, str]:
    """Finds the stored token that was presented, or says why it does not count.

    Every stored token is compared, in constant time each, so that the time of
    the answer tells nothing about any of them.
    """
    wanted = hash_token(presented)
    found: StoredToken | None = None
    for token in tokens:
        if hmac.compare_digest(token.sha256, wanted):
            found = token
    if found is None:
        return None, "the token is not known here"
    if found.subject != subject:
        return None, f"the token was issued for another {'person' if found.role else 'device id'}"
    if found.used:
        return None, "the token was used before"
    if now_unix_s >= found.expires_unix_s:
        return None, "the token has expired"
    return found, ""


def check_device_id(device_id: str) -> str:
    """Returns the id when it may name a device.

    Raises:
        UsageError: it may not; ids become part of certificates and of paths.
    """
    if _DEVICE_ID.fullmatch(device_id) is None:
        raise UsageError(
            f"{device_id[:80]!r} cannot name a device.",
            hint="use at most 63 lower-case letters, digits, '.', '_' and '-', such as orin-07",
        )
    return device_id


def check_person(name: str) -> str:
    """Returns the name when it may be a person's.

    Raises:
        UsageError: it may not; names become part of certificates, and `local` is this machine's own operator.
    """
    if _DEVICE_ID.fullmatch(name) is None or name == LOCAL_OPERATOR:
        raise UsageError(
            f"{name[:80]!r} cannot name a person.",
            hint="use at most 63 lower-case letters, digits, '.', '_' and '-'; not 'local'",
        )
    return name


def check_role(role: str) -> Literal["viewer", "operator"]:
    """Returns the role when there is such a one.

    Raises:
        UsageError: there is not.
    """
    if role == "viewer":
        return "viewer"
    if role == "operator":
        return "operator"
    raise UsageError(f"There is no role {role[:40]!r}.", hint="use --role viewer or --role operator")


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns the labels, sorted and without duplicates.

    Raises:
        UsageError: a label has a character that study files cannot name, or there are too many.
    """
    for label in labels:
        if _LABEL.fullmatch(label) is None or label in WORDS:
            raise UsageError(
                f"{label[:80]!r} cannot be a label.",
                hint="use letters, digits and ._:=-, such as ram=8g; not and, or, not",
            )
    if len(set(labels)) > _MAX_LABELS:
        raise UsageError(f"A device has at most {_MAX_LABELS} labels.")
    return tuple(sorted(set(labels)))


def check_ttl(ttl_s: float) -> float:
    """Returns how long a token is good for; 0 means the default.

    Raises:
        UsageError: not a positive number of seconds of at most 30 days.
    """
    if ttl_s == 0:
        return DEFAULT_TTL_S
    if not math.isfinite(ttl_s) or not 0 < ttl_s <= MAX_TTL_S:
        raise UsageError(f"A token cannot live for {ttl_s} s.", hint="use --ttl 30m; at most 30 days")
    return ttl_s
