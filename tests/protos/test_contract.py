"""The wire contract goes on meaning what its last release meant: by buf, by comparison, and over the wire."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

from edgerig.v1 import (  # noqa: F401 - their descriptors are what is compared
    agent_service_pb2,
    control_service_pb2,
    enroll_service_pb2,
    fleet_service_pb2,
)
from edgerig.version import OLDEST_MINOR, PROTOCOL_MAJOR, PROTOCOL_MINOR
from tests.controller.rpc.rig import PATIENCE_S, running

PROTOS = Path(__file__).parents[2] / "protos"
IMAGE = PROTOS / "images" / f"v{PROTOCOL_MAJOR}.{OLDEST_MINOR}.binpb"
BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
needs_buf = pytest.mark.skipif(BUF is None, reason="buf is not installed: pip install buf-bin")


def released() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(IMAGE.read_bytes())


def buf(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert BUF is not None
    return subprocess.run([BUF, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@needs_buf
def test_buf_finds_nothing_to_mend() -> None:
    done = buf(PROTOS, "lint")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_buf
def test_nothing_that_was_released_means_something_else() -> None:
    done = buf(PROTOS, "breaking", "--against", str(IMAGE))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_buf
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string boot_id = 4;", ""),
        ("string boot_id = 4;", "int64 boot_id = 4;"),
        ("string boot_id = 4;", "string boot_identifier = 4;"),
        ("int64 session_epoch = 5;", "int64 session_epoch = 15;"),
    ],
)
def test_a_change_that_breaks_is_found(tmp_path: Path, old: str, new: str) -> None:
    shutil.copytree(
        PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("*.py", "*.pyi", "__pycache__")
    )
    path = tmp_path / "protos" / "edgerig" / "v1" / "agent_service.proto"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert buf(tmp_path / "protos", "breaking", "--against", str(IMAGE)).returncode != 0


def changes(old: descriptor_pb2.FileDescriptorSet, pool: descriptor_pool.DescriptorPool) -> list[str]:
    """Lists released fields, values and methods that are no longer what they were; needs no buf."""
    found = []
    for file in old.file:
        if not file.name.startswith("edgerig/"):
            continue
        for message in file.message_type:
            now = pool.FindMessageTypeByName(f"{file.package}.{message.name}")
            for field in message.field:
                present: FieldDescriptor | None = now.fields_by_number.get(field.number)
                if present is None or (present.name, present.type) != (field.name, field.type):
                    found.append(f"{message.name}.{field.name}")
        for enum in file.enum_type:
            values = pool.FindEnumTypeByName(f"{file.package}.{enum.name}").values_by_number
            found += [
                f"{enum.name}.{v.name}"
                for v in enum.value
                if getattr(values.get(v.number), "name", "") != v.name
            ]
        for service in file.service:
            methods = pool.FindServiceByName(f"{file.package}.{service.name}").methods_by_name
            found += [
                f"{service.name}.{method.name}" for method in service.method if method.name not in methods
            ]
    return found


def test_the_generated_code_still_has_everything_that_was_released() -> None:
    assert changes(released(), descriptor_pool.Default()) == []


def test_the_comparison_without_buf_finds_what_is_gone() -> None:
    image = released()
    hello = next(m for file in image.file for m in file.message_type if m.name == "Hello")
    hello.field[0].number = 99
    hello.field[1].name = "renamed"
    assert sorted(changes(image, descriptor_pool.Default())) == ["Hello.protocol_major", "Hello.renamed"]


class OldAgent:
    """An agent of the last minor: its messages are made from the released image, not from today's code."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        pool = descriptor_pool.DescriptorPool()
        for file in released().file:
            pool.Add(file)
        self._pool = pool
        self._channel = channel

    def message(self, name: str, **fields: Any) -> Any:
        found = self._pool.FindMessageTypeByName(f"edgerig.v1.{name}")
        return message_factory.GetMessageClass(found)(**fields)

    async def call(self, method: str, request: Any) -> Any:
        reply = type(self.message(f"{method}Response"))
        call = self._channel.unary_unary(
            f"/edgerig.v1.AgentService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        return await call(request, timeout=PATIENCE_S)

    def session(self) -> Any:
        opened = self._channel.stream_stream(
            "/edgerig.v1.AgentService/Session",
            request_serializer=type(self.message("SessionRequest")).SerializeToString,
            response_deserializer=type(self.message("SessionResponse")).FromString,
        )
        return opened(timeout=PATIENCE_S)


async def greeted(agent: OldAgent, **hello: Any) -> Any:
    session = agent.session()
    await session.write(agent.message("SessionRequest", hello=agent.message("Hello", **hello)))
    return await session.read()


async def test_an_agent_of_the_last_minor_is_served(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as rig:
        pair = await rig.enrolled()
        async with rig.channel(rig.listeners.agents_port, pair) as channel:
            agent = OldAgent(channel)
            first = await greeted(
                agent, protocol_major=PROTOCOL_MAJOR, protocol_minor=OLDEST_MINOR, agent_version="0.0.9"
            )
            assert first.WhichOneof("signal") == "welcome"
            assert first.welcome.protocol_minor == PROTOCOL_MINOR
            reply = await agent.call("Sync", agent.message("SyncRequest", request_id="r", wants_work=True))
            assert reply.request_id == "r"
            facts = agent.message("DeviceFacts", hostname="old", environment_digest="e" * 64)
            await agent.call("ReportInventory", agent.message("ReportInventoryRequest", facts=facts))
        rows = await rig.frame.store.ask(lambda store: store.devices())
        assert rows[0].facts is not None
        assert rows[0].facts.hostname == "old"


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        ({"protocol_major": 2}, "speaks protocol 2, this controller 1"),
        ({"protocol_major": 0}, "speaks protocol 0, this controller 1"),
        ({"protocol_major": 1, "protocol_minor": -1}, "serves 1.0 to 1.1"),
    ],
)
async def test_another_protocol_is_refused_with_what_to_install(
    tmp_path: Path, hello: dict[str, int], words: str
) -> None:
    async with (
        running(tmp_path / "home") as rig,
        rig.channel(rig.listeners.agents_port, await rig.enrolled()) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await greeted(OldAgent(channel), **hello)
    assert words in (caught.value.details() or "")
    assert "Next: install edgerig" in (caught.value.details() or "")


async def test_a_newer_minor_is_let_in_and_looks_at_our_capabilities(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as rig, rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        hello = agent_service_pb2.Hello(protocol_major=1, protocol_minor=99, capabilities=["levitate"])
        await session.write(agent_service_pb2.SessionRequest(hello=hello))
        welcome = (await session.read()).welcome
    assert "renew-certificate" in welcome.capabilities
