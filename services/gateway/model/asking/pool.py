"""The connections to one service: kept for a while after each answer, since to connect takes longer than to ask."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Mapping

from yarl import URL

from services.gateway.model.asking.connection import Connection
from services.gateway.model.asking.reaching import Lookup, reach

MOST = 1000  # connections in use at once; whoever wants another one waits
KEPT_S = 15.0  # for which a connection waits for its next request: services close theirs after a while, too


class CannotConnect(TimeoutError):
    """The service does not take the connection."""


class Pool:
    def __init__(self, url: URL, headers: Mapping[str, str], connect_s: float) -> None:
        """Prepare to send `POST` requests to this URL.

        Raises:
            ValueError: A header cannot be sent.
        """
        assert url.raw_host is not None  # noqa: S101 - the settings were checked
        assert url.port is not None  # noqa: S101
        self._lookup = Lookup(url.raw_host, url.port)
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._connect_s = connect_s
        self._head = _head(url, headers)
        self._open: set[Connection] = set()
        self._idle: deque[tuple[Connection, float]] = deque()  # since when; who has waited for longest is first
        self._used: set[Connection] = set()
        self._places = asyncio.Semaphore(MOST)
        self._trimming: asyncio.TimerHandle | None = None

    async def post(self, body: bytes) -> Connection:
        """Send a request, and return the connection with the head of its answer, for `release` to take back.

        Raises:
            CannotConnect, OSError: No answer comes.
        """
        await self._places.acquire()
        connection: Connection | None = None
        try:
            connection = self._take() or await self._connect()
            connection.ask(self._head % len(body) + body)
            await connection.head()
        except BaseException:
            if connection is not None:
                connection.abort()
            self._places.release()
            raise
        self._used.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back, for another request where its answer was read to the end; twice does no harm."""
        if connection not in self._used:
            return
        self._used.remove(connection)
        self._places.release()
        if not connection.is_reusable:
            connection.abort()
            return
        self._idle.append((connection, time.monotonic()))
        if self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(KEPT_S, self._trim)

    def close(self) -> None:
        """Break everything off."""
        if self._trimming is not None:
            self._trimming.cancel()
        for connection in list(self._open):
            connection.abort()

    def _take(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if time.monotonic() - since <= KEPT_S and connection.is_reusable:
                return connection
            connection.abort()
        return None

    def _trim(self) -> None:
        """Close those that nobody has used for long."""
        latest = time.monotonic() - KEPT_S
        while self._idle and self._idle[0][1] <= latest:
            self._idle.popleft()[0].abort()
        self._trimming = asyncio.get_running_loop().call_later(KEPT_S, self._trim) if self._idle else None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                return await reach(self._make, self._lookup, self._tls, Connection.abort)
        except TimeoutError as error:
            raise CannotConnect from error

    def _make(self) -> Connection:
        return Connection(self._open.add, self._open.discard)


def _head(url: URL, headers: Mapping[str, str]) -> bytes:
    """Spell the head of each request, up to the length of its body."""
    lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise ValueError("a header has a line break")
    return "\r\n".join([*lines, "Content-Length: "]).replace("%", "%%").encode() + b"%d\r\n\r\n"
