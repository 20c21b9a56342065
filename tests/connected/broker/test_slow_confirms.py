"""A broker that confirms late keeps its connection; one that says nothing at all loses it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared import topology
from shared.errors import BrokerAway
from shared.publisher import Publisher
from shared.settings import Settings
from shared.wire import END, PREFIX
from tests.connected.brokers import answered, waiting
from tests.waiting import PATIENCE_S, until_true

ACK, QOS_OK = b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x0b"
QUEUE = topology.LOGGER_CHAT


class Between:
    """Stands between a publisher and the broker, and holds back what the broker says."""

    def __init__(self, broker_url: str) -> None:
        self._broker = urlsplit(broker_url)
        self._tasks = set[asyncio.Task[None]]()
        self.confirms, self.anything = asyncio.Event(), asyncio.Event()
        self.confirms.set()
        self.anything.set()
        self.connections = 0
        self.answers = 0  # to what is asked for the sake of an answer

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Give a URL to connect to."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            login = self._broker.netloc.rpartition("@")[0]
            yield urlunsplit(self._broker._replace(netloc=f"{login}@127.0.0.1:{port}"))
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        heard, said = await asyncio.open_connection(self._broker.hostname, self._broker.port)
        self._tasks |= {asyncio.create_task(self._ask(reader, said)), asyncio.create_task(self._answer(heard, writer))}

    async def _ask(self, reader: asyncio.StreamReader, broker: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            broker.write(data)
        broker.close()

    async def _answer(self, broker: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = list[bytes]()
        while True:
            try:
                prefix = await broker.readexactly(PREFIX.size)
                frame = prefix + await broker.readexactly(PREFIX.unpack(prefix)[2] + len(END))
            except asyncio.IncompleteReadError:
                return writer.close()
            await self.anything.wait()
            method = frame[PREFIX.size : PREFIX.size + 4]
            self.answers += method == QOS_OK
            if method == ACK and not self.confirms.is_set():
                held.append(frame)
            else:
                writer.write(frame)
            if held and self.confirms.is_set():
                writer.write(b"".join(held))
                held.clear()


@pytest.mark.alone
async def test_late_confirms_are_waited_for_on_the_same_connection(settings: Settings) -> None:
    between = Between(settings.amqp_url)
    async with between.listening() as url:
        slow = settings.model_copy(update={"amqp_url": url, "publish_timeout_s": 1.0, "publish_deadline_s": PATIENCE_S})
        async with Publisher(slow, "test") as publisher:
            between.confirms.clear()
            publishing = [asyncio.create_task(publisher.publish(answered(number))) for number in range(20)]
            await until_true(lambda: between.answers >= 4)  # twice as long as the broker may say nothing
            assert not any(task.done() for task in publishing)
            assert publisher.away is None

            between.confirms.set()  # with the next answer
            await asyncio.gather(*publishing)

    assert between.connections == 1
    assert await waiting(settings, QUEUE) == 20  # each once


@pytest.mark.alone
async def test_a_connection_that_confirms_none_of_very_many_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.confirms.MOST_UNCONFIRMED", 3)
    between = Between(settings.amqp_url)
    async with (
        between.listening() as url,
        Publisher(settings.model_copy(update={"amqp_url": url}), "test") as publisher,
    ):
        between.confirms.clear()
        for number in range(3):
            with pytest.raises(BrokerAway):
                await publisher.publish(answered(number), deadline_s=0.1)
        assert between.connections == 1

        between.confirms.set()
        await publisher.publish(answered(3), deadline_s=PATIENCE_S)

    assert between.connections == 2


@pytest.mark.alone
async def test_a_connection_that_says_nothing_is_given_up_for_another(settings: Settings) -> None:
    between = Between(settings.amqp_url)
    async with between.listening() as url:
        silent = settings.model_copy(update={"amqp_url": url, "publish_timeout_s": 0.5})
        async with Publisher(silent, "test") as publisher:
            between.anything.clear()
            with pytest.raises(BrokerAway, match=r"nothing else in 0.5 s|timed out|TimeoutError"):
                await publisher.publish(answered(1), deadline_s=1.5)
            assert publisher.away is not None

            between.anything.set()
            await publisher.publish(answered(2), deadline_s=PATIENCE_S)

    assert between.connections > 1
