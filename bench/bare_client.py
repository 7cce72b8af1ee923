"""The least a gRPC agent can be: one mTLS channel, one idle stream. The yardstick of `bench.idle`.

    python -m bench.bare_client HOME

Prints `ready` once it is greeted. It has the channel options and messages of
the daemon and nothing else of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from edgerig.channel import CLIENT_OPTIONS
from edgerig.v1.agent_service_pb2 import Hello, SessionRequest, SessionResponse
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub


async def hold(identity: Path) -> None:
    """Opens the stream and reads from it until it ends."""
    address = json.loads((identity / "enrollment.json").read_text())["agents"]
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(identity / "ca.pem").read_bytes(),
        private_key=(identity / "key.pem").read_bytes(),
        certificate_chain=(identity / "certificate.pem").read_bytes(),
    )
    async with grpc.aio.secure_channel(address, credentials, options=CLIENT_OPTIONS) as channel:
        session: Any = AgentServiceStub(channel).Session
        stream = session()
        await stream.write(SessionRequest(hello=Hello(protocol_major=1, session_epoch=1)))
        await stream.read()
        print("ready", flush=True)
        while isinstance(await stream.read(), SessionResponse):
            pass


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1]) / "identity"))
