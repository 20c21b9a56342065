"""What `shared/broker/wire.py` takes for granted of aiormq, and aio-pika's way to hand it a transport."""

import asyncio

import pamqp.frame
import pytest

from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from shared.broker.wire import WiredConnection, wire_of
from shared.settings import Settings


async def test_aiormq_writes_whole_frames_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else ours, which are written between its writes, would end up inside of its frames."""
    written = list[bytes]()
    plain = asyncio.StreamWriter.write

    def write(self: asyncio.StreamWriter, data: bytes) -> None:
        written.append(bytes(data))
        plain(self, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", write)
    async with open_connection(settings, "test", Declaring().declare, WiredConnection) as connection:
        channel = await connection.channel()
        await channel.close()

    greeting, *frames = written
    assert greeting.startswith(b"AMQP")
    assert len(frames) > 10
    for data in frames:
        at = 0
        while at < len(data):
            at += pamqp.frame.unmarshal(data[at:])[0]


async def test_aiormq_reads_by_the_wire(settings: Settings) -> None:
    async with open_connection(settings, "test", Declaring().declare, WiredConnection) as connection:
        wire, heard = wire_of(connection), list[int]()
        channel = await connection.channel()
        number = (await channel.get_underlay_channel()).number

        def look(kind: int, _payload: bytes) -> bool:
            heard.append(kind)
            return False

        wire.take(number, look)
        await channel.set_qos(1)  # whose answer is seen here first, and then by aiormq

        assert heard == [1]
