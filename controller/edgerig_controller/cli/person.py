"""`edgerig person` and `edgerig join`: who may use the controller from a machine of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgerig.errors import ProtocolError
from edgerig_controller.cli.options import Context, common_options, yes_option

if TYPE_CHECKING:
    from edgerig_controller.cli.remote import Remote

_JOIN_S = 30.0
_NEW_TOKEN_HINT = "edgerig person add NAME --role ... (on the controller's machine; prints a new command)"  # noqa: S105


@click.group()
def person() -> None:
    """Let people in, with a role."""


@person.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["viewer", "operator"]), required=True, help="Viewers read, operators change."
)
@click.option(
    "--for", "for_text", default="30m", show_default=True, metavar="DURATION", help="Life of the token."
)
@click.option("--replace", is_flag=True, help="The person has a certificate; the new one ends it.")
@common_options
def add(context: Context, name: str, role: str, for_text: str, replace: bool) -> None:
    """Print the command by which NAME joins; its token works once."""
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import ask, duration_s

    ttl_s = duration_s(for_text)
    request = pb.AddPersonRequest(name=name, role=role, ttl_s=ttl_s, replace=replace)
    invitation = ask(context, "AddPerson", request)
    command = (
        f"edgerig join --enroll {invitation.enroll_address} --control {invitation.control_address} "
        f"--name {name} --ca-sha256 {invitation.ca_spki_sha256}"
    )
    context.out.text(f"{name} types on their own machine (the token is read from standard input):")
    context.out.text(f"  {command}")
    context.out.text(f"Token, valid for {for_text}, once: {invitation.token}")
    context.out.document(
        {
            "name": name,
            "role": role,
            "token": invitation.token,
            "ca_spki_sha256": invitation.ca_spki_sha256,
            "enroll_address": invitation.enroll_address,
            "control_address": invitation.control_address,
            "command": command,
        }
    )


@person.command("list")
@common_options
def list_(context: Context) -> None:
    """List the people who were let in."""
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import as_json, ask, moment
    from edgerig_controller.cli.output import Column

    people = list(ask(context, "ListPeople", pb.ListPeopleRequest()).people)
    context.out.table(
        [Column("name"), Column("role"), Column("state"), Column("certificate until (UTC)")],
        [
            (
                item.name,
                item.role,
                item.state,
                moment(item.certificate_not_after_unix_s)
                if item.HasField("certificate_not_after_unix_s")
                else "–",
            )
            for item in people
        ],
    )
    if not people:
        context.out.note("Nobody yet. Next: edgerig person add NAME --role viewer")
    context.out.document({"people": [as_json(item) for item in people]})


@person.command()
@click.argument("name")
@yes_option
@common_options
def revoke(context: Context, name: str, yes: bool) -> None:
    """End the certificates and tokens of NAME at once."""
    from edgerig.errors import UsageError
    from edgerig.v1 import fleet_service_pb2 as pb
    from edgerig_controller.cli.fleet import ask

    if not context.out.confirm(f"Shut {name} out at once?", yes=yes):
        raise UsageError(
            f"{name} was not revoked: nobody confirmed it", hint=f"edgerig person revoke {name} --yes"
        )
    count: int = ask(context, "RevokePerson", pb.RevokePersonRequest(name=name)).certificate_count
    context.out.text(f"{name} is out; {count} certificates ended.")
    context.out.document({"name": name, "certificate_count": count})


@click.command()
@click.option("--enroll", "enroll_address", required=True, metavar="HOST:PORT", help="Its enrolment address.")
@click.option(
    "--control", "control_address", required=True, metavar="HOST:PORT", help="Its address for people."
)
@click.option("--name", required=True, help="Your name there.")
@click.option("--ca-sha256", required=True, metavar="HASH", help="Hash of the fleet's CA key.")
@click.option("--token", default="", help="One-time token; read from standard input when left out.")
@click.option("--replace", is_flag=True, help="Replace a controller that this data folder has joined.")
@common_options
def join(
    context: Context,
    enroll_address: str,
    control_address: str,
    name: str,
    ca_sha256: str,
    token: str,
    replace: bool,
) -> None:
    """Use a controller on another machine, with a token from its operator.

    The CA is checked against HASH before the token is sent; your key is made
    here and never leaves this machine.
    """
    from edgerig_controller.cli import remote

    remote.check_free(context.home, replace=replace)
    if not token and sys.stdin.isatty():
        context.out.note("Token:")
    # On the command line a token is seen by every user of the machine; a pipe is not.
    token = token or sys.stdin.readline(4096).strip()
    joined = _join(context, enroll_address, control_address, name, ca_sha256, token)
    context.out.text(f"Joined fleet {joined.fleet_id} as {joined.name}, {joined.role}.")
    context.out.note(f"Next: {context.again('edgerig devices')}")
    context.out.document(vars(joined))


def _join(
    context: Context, enroll_address: str, control_address: str, name: str, ca_sha256: str, token: str
) -> Remote:
    import grpc
    from cryptography.hazmat.primitives import serialization

    from edgerig import joining
    from edgerig.channel import CLIENT_OPTIONS
    from edgerig.errors import UsageError
    from edgerig.v1.enroll_service_pb2 import EnrollPersonRequest, EnrollPersonResponse
    from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceStub
    from edgerig_controller.cli import remote
    from edgerig_controller.rpc.interceptors import from_rpc_error

    joining.split_address(control_address)
    if not joining.is_spki_hash(ca_sha256):
        raise UsageError("the CA hash must be 64 lower-case hexadecimal digits", hint=_NEW_TOKEN_HINT)
    ca = joining.fetch_ca(enroll_address, ca_sha256, hint=_NEW_TOKEN_HINT)
    ca_pem = ca.public_bytes(serialization.Encoding.PEM)
    key = joining.new_key()
    request = EnrollPersonRequest(
        name=name, token=token, certificate_request_pem=joining.signing_request(key, name)
    )
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem)
    with grpc.secure_channel(enroll_address, credentials, options=CLIENT_OPTIONS) as opened:
        try:
            reply: EnrollPersonResponse = EnrollServiceStub(opened).EnrollPerson(request, timeout=_JOIN_S)
        except grpc.RpcError as error:
            told = from_rpc_error(error)  # type: ignore[arg-type]  # both interfaces have these methods
            raise type(told)(told.message, hint=told.hint or _NEW_TOKEN_HINT) from error
    if reply.role not in ("viewer", "operator"):
        raise ProtocolError(f"the controller gave the unknown role {reply.role[:40]!r}")
    uri = f"edgerig://{reply.fleet_id}/{reply.role}/{name}"
    certificate = joining.checked_certificate(reply.certificate_pem, ca, key, uri)
    joined = remote.Remote(control_address, reply.fleet_id, name, reply.role)
    remote.save(
        context.home,
        joined,
        key_pem=joining.key_pem(key),
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        ca_pem=ca_pem,
    )
    return joined
