"""The listeners' certificate is replaced while they listen, and everybody still comes in."""

from __future__ import annotations

import asyncio
import ssl

import grpc
import grpc.aio
from cryptography import x509

from edgerig.errors import StorageError
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import KeyPair, serial_text
from edgerig_controller.rpc.rotation import LOOK_S, ServerCertificate


class Listener:
    """One listener with a clock of the test's own."""

    def __init__(self) -> None:
        self.authority = identity.create_authority(identity.utc_now())
        self.first, self.second = (self.authority.server(["127.0.0.1"], identity.utc_now()) for _ in range(2))
        self.now_s = 0.0
        self.asked = 0
        self.fails = False

    def current(self) -> KeyPair:
        self.asked += 1
        if self.fails:
            raise StorageError("the disk is full")
        return self.second

    async def presented(self, port: int) -> str:
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        return serial_text(x509.load_pem_x509_certificate(pem.encode()))

    async def listen(self) -> tuple[grpc.aio.Server, int]:
        certificate = ServerCertificate(self.first, self.authority.ca_pem, self.current, lambda: self.now_s)
        server = grpc.aio.server()
        port = server.add_secure_port("127.0.0.1:0", certificate.credentials(mutual=False))
        await server.start()
        return server, port


def serial(pair: KeyPair) -> str:
    return serial_text(x509.load_pem_x509_certificate(pair.certificate_pem))


async def test_after_an_hour_the_next_handshake_presents_the_new_certificate() -> None:
    listener = Listener()
    server, port = await listener.listen()
    assert await listener.presented(port) == serial(listener.first)
    assert listener.asked == 0
    listener.now_s = LOOK_S
    assert await listener.presented(port) == serial(listener.second)
    assert await listener.presented(port) == serial(listener.second)
    assert listener.asked == 1
    await server.stop(0)


async def test_a_certificate_that_cannot_be_made_leaves_the_old_one() -> None:
    listener = Listener()
    server, port = await listener.listen()
    listener.fails = True
    listener.now_s = LOOK_S
    assert await listener.presented(port) == serial(listener.first)
    listener.fails = False
    listener.now_s = 2 * LOOK_S
    assert await listener.presented(port) == serial(listener.second)
    await server.stop(0)
