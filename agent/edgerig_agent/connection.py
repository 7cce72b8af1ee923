"""Why this agent cannot reach its controller, step by step: a section of `edgerig-agent doctor`.

A controller that refuses a certificate in the handshake only closes the
connection; what was wrong is deduced here from what this side can see: its own
dates, its key, and the CA that the other side presents. Nothing is changed and
a running daemon is not disturbed. Loads gRPC and cryptography; for commands only.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import grpc
from cryptography import x509

from edgerig import joining
from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import EdgerigError, ProtocolError
from edgerig.v1.agent_service_pb2 import ProbeRequest, ProbeResponse
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig.version import PROTOCOL_MAJOR
from edgerig_agent import identity as identities
from edgerig_agent.identity import Identity
from edgerig_agent.reachability import in_words, leader_in
from edgerig_agent.renewal import due_unix_s

State = Literal["ok", "warning", "fault"]

# Begin, the other clock's answer, end; s.
Exchange: TypeAlias = tuple[float, float, float]

_PROBE_S = 10.0
# Of fewer, the quickest may have met a queue like the others.
_EXCHANGES = 16
_CONNECT_S = 5.0
# Stamps of two machines are compared; further apart they mislead people.
_OFFSET_WARN_S = 1.0
_DAY_S = 86400.0
_REPLACE_HINT = "edgerig device add NAME --replace (there), then edgerig-agent enroll --replace ... (here)"


@dataclass(frozen=True)
class Finding:
    """One step: what was looked at, how it is, in words, and what to type when it is not well."""

    step: str
    state: State
    text: str
    hint: str = ""


class _Broken(Exception):  # noqa: N818 - ends the diagnosis, caught in `diagnose`
    """The next steps make no sense after this one."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


def diagnose(home: Path, *, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Looks at the connection of an agent's home to its controller, up to the first fault."""
    found: list[Finding] = []
    try:
        identity = _identity(home)
        found += [_key(home), _clock(identity, clock()), _validity(identity, clock())]
        if any(finding.state == "fault" for finding in found):
            return found
        address = identity.enrollment.agents
        found.append(_reach(address))
        found.append(_authority(identity, address))
        found += _probe(identity, address, clock)
    except _Broken as broken:
        found.append(broken.finding)
    return found


def _identity(home: Path) -> Identity:
    try:
        return identities.load(home)
    except EdgerigError as error:
        raise _Broken(Finding("identity", "fault", error.message, error.hint)) from error


def _key(home: Path) -> Finding:
    path = identities.folder(home) / "key.pem"
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("key", "warning", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    return Finding("key", "ok", "readable by its owner only")


def _clock(identity: Identity, now_unix_s: float) -> Finding:
    try:
        identities.check_clock(identity.enrollment, now_unix_s)
    except EdgerigError as error:
        return Finding("clock", "fault", error.message, error.hint)
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_unix_s)))


def _validity(identity: Identity, now_unix_s: float) -> Finding:
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    key_matches = _public_key_of(identity) == certificate.public_key()
    if not key_matches:
        return Finding("certificate", "fault", "the key is not the certificate's", _REPLACE_HINT)
    days = (certificate.not_valid_after_utc.timestamp() - now_unix_s) / _DAY_S
    due = due_unix_s(identity.enrollment, 0.0)
    text = f"{identity.enrollment.device_id} of fleet {identity.enrollment.fleet_id}, {days:.0f} days left"
    if due is not None and now_unix_s > due + _DAY_S:
        return Finding(
            "certificate", "warning", f"{text}; its renewal is overdue", "look for 'renewed' in agent.log"
        )
    return Finding("certificate", "ok", text)


def _public_key_of(identity: Identity) -> object:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(identity.key_pem, None).public_key()


def _reach(address: str) -> Finding:
    try:
        host, port = joining.split_address(address)
    except EdgerigError as error:
        raise _Broken(Finding("address", "fault", error.message, _REPLACE_HINT)) from error
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _Broken(
            Finding("address", "fault", f"{host} cannot be resolved: {error}", f"getent hosts {host}")
        ) from error
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except ConnectionRefusedError as error:
        hint = "edgerig serve (on the controller's machine)"
        raise _Broken(Finding("address", "fault", f"nothing listens at {address}", hint)) from error
    except OSError as error:
        text = f"{address} does not answer: {error.strerror or error}; a firewall, or another network?"
        raise _Broken(Finding("address", "fault", text, f"ping {host}")) from error
    return Finding("address", "ok", f"{address} ({places[0][4][0]}) answers")


def _authority(identity: Identity, address: str) -> Finding:
    """Says whether the listener is of our fleet, and whether this clock believes it."""
    try:
        chain = joining.presented_chain(address)
    except EdgerigError as error:
        raise _Broken(Finding("controller", "fault", error.message, error.hint)) from error
    ours = ssl.PEM_cert_to_DER_cert(identity.ca_pem.decode())
    if ours not in chain:
        shown = ", ".join(hashlib.sha256(der).hexdigest()[:16] for der in chain)
        text = f"{address} is of another fleet: it does not present the CA that this agent knows ({shown})"
        raise _Broken(Finding("controller", "fault", text, _REPLACE_HINT))
    host, port = joining.split_address(address)
    context = ssl.create_default_context(cadata=identity.ca_pem.decode())
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S) as raw:
            context.wrap_socket(raw, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        raise _Broken(_unbelieved(address, host, error)) from error
    except OSError as error:
        raise _Broken(Finding("controller", "fault", f"{address}: {error}")) from error
    return Finding("controller", "ok", f"presents the CA of fleet {identity.enrollment.fleet_id}")


def _unbelieved(address: str, host: str, error: ssl.SSLCertVerificationError) -> Finding:
    reason = error.verify_message
    if "expired" in reason or "not yet valid" in reason:
        hint = "timedatectl set-ntp true, or restart the controller: it renews its own certificate"
        return Finding("controller", "fault", f"by this clock, the certificate of {address}: {reason}", hint)
    if "match" in reason:
        hint = f"edgerig serve --advertise {host} (on the controller's machine)"
        return Finding("controller", "fault", f"its certificate is not for the name {host}", hint)
    return Finding("controller", "fault", f"the certificate of {address}: {reason}", _REPLACE_HINT)


def _probe(identity: Identity, address: str, clock: Callable[[], float]) -> list[Finding]:
    credentials = grpc.ssl_channel_credentials(identity.ca_pem, identity.key_pem, identity.certificate_pem)
    with grpc.secure_channel(address, credentials, options=CLIENT_OPTIONS) as channel:
        stub = AgentServiceStub(channel)
        try:
            # The first call pays for the handshake, the others measure.
            reply: ProbeResponse = stub.Probe(ProbeRequest(), timeout=_PROBE_S)
            offset = clock_offset([_exchange(stub, clock) for _ in range(_EXCHANGES)])
        except grpc.RpcError as error:
            raise _Broken(_refused(identity, address, error)) from error
    version = f"edgerig {reply.controller_version}, protocol {reply.protocol_major}.{reply.protocol_minor}"
    if reply.protocol_major != PROTOCOL_MAJOR:
        text = f"{version}; this agent speaks protocol {PROTOCOL_MAJOR}"
        return [Finding("call", "fault", text, "pip install --upgrade 'edgerig[agent]'")]
    return [Finding("call", "ok", f"accepted by {version}"), offset]


def _exchange(stub: AgentServiceStub, clock: Callable[[], float]) -> Exchange:
    begin_s = clock()
    reply: ProbeResponse = stub.Probe(ProbeRequest(), timeout=_PROBE_S)
    return begin_s, reply.answered_unix_ns / 1e9, clock()


def clock_offset(exchanges: Sequence[Exchange]) -> Finding:
    """Compares the clocks by the quickest exchange: its answer was made between asking and hearing.

    A queue on the way delays one direction and shifts the middle; the quickest exchange met the
    shortest queues (Mills 1991, the clock filter of NTP).

    Args:
        exchanges: when it was asked, answered (by the controller's clock) and heard; s.
    """
    begin_s, answered_s, end_s = min(exchanges, key=lambda one: one[2] - one[0])
    offset_s = answered_s - (begin_s + end_s) / 2
    text = f"{offset_s * 1e3:+.1f} ms ± {(end_s - begin_s) / 2 * 1e3:.1f} ms from the controller's"
    if abs(offset_s) > _OFFSET_WARN_S:
        return Finding("clock offset", "warning", text, "timedatectl set-ntp true (on both machines)")
    return Finding("clock offset", "ok", text)


def _refused(identity: Identity, address: str, error: grpc.RpcError) -> Finding:
    told = in_words(error, address)
    if leader := leader_in(error):
        text = f"{address} stands by; the controller at {leader} leads, and the daemon finds it by itself"
        return Finding("call", "ok", text)
    if isinstance(told, ProtocolError):
        # It read our certificate and said what it thinks of it.
        if "UNIMPLEMENTED" in told.message:
            return Finding("call", "warning", "accepted; the controller is too old to say more")
        return Finding("call", "fault", told.message, told.hint or _REPLACE_HINT)
    if "closed the connection" in told.message or "handshake" in told.message:
        certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        text = (
            f"{address} closes the connection in the handshake although it is our fleet's controller: by the "
            f"controller's clock our certificate is not valid (it is from {begin:%Y-%m-%d %H:%M} to "
            f"{end:%Y-%m-%d %H:%M} UTC), or the controller is ending"
        )
        return Finding("call", "fault", text, "date -u (on the controller's machine)")
    return Finding("call", "fault", told.message, told.hint)
