"""A wire to the broker that holds back what a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from shared.broker.wire import END, PREFIX

ACK, QOS_OK = b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x0b"


class Between:
    """Stands between a process and the broker, and holds back what either says."""

    def __init__(self, broker_url: str) -> None:
        self._broker = urlsplit(broker_url)
        self._tasks = set[asyncio.Task[None]]()
        self.asks, self.confirms, self.anything = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for let_through in (self.asks, self.confirms, self.anything):
            let_through.set()
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
            await self.asks.wait()
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
