"""An attack on a gateway, until this process is stopped: `python -m tests.bench.workload.attack NAME URL TOKEN`."""

import asyncio
import os
import random
import resource
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count, cycle
from urllib.parse import urlsplit

import aiohttp
import uvloop

from tests import odd

PER_S = 10  # requests or connections that are begun
HELD = 1000  # connections that are kept open, at most
IDLE = 10_000  # of those that only are there
ROUTES = ("/api/chat", "/api/chat/sessions/told/trips", "/api/models", "/api/webhooks/avinode")
READS = (
    "/api/chat/sessions",
    "/api/chat/sessions/told",
    "/api/chat/sessions/untold",
    "/api/chat/sessions/told/messages?limit=1000",
    "/api/chat/sessions/untold/messages?limit=1000",
)


class Attacker:
    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._held: deque[asyncio.StreamWriter] = deque()
        self._most_held = HELD
        self._bodies = cycle(odd.bodies())
        self._routes = cycle(ROUTES)
        self._turns = count()

    async def bodies(self) -> None:
        """Send an odd body to one of the routes that take one."""
        _, body = next(self._bodies)
        await self._ask("POST", next(self._routes), data=body)

    async def heads(self) -> None:
        """Send a head that is too long, one that never ends, one that is odd, and a query that is."""
        await self._connect(b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 200_000)
        await self._connect(b"GET / HTTP/1.1\r\nhost: a\r\na: " + b"b" * 2_000_000)
        await self._connect(b"GET /healthz HTTP/1.1\r\nho")
        _, headers = random.choice(list(odd.headers()))
        await self._ask("GET", "/api/chat/sessions/told", extra=headers)
        _, query = random.choice(list(odd.queries()))
        await self._ask("GET", f"/api/chat/sessions?{query}")

    async def connections(self) -> None:
        """Open connections that say nothing, that say half of a body, and that do not read their answers."""
        host = urlsplit(self._url).netloc
        asks = f"POST /api/chat HTTP/1.1\r\nhost: {host}\r\nauthorization: {self._headers['Authorization']}\r\n"
        for _ in range(10):
            await self._connect(b"")
        await self._connect(f"{asks}content-type: application/json\r\ncontent-length: 900000\r\n\r\n{{".encode())
        reads = asks.replace("POST /api/chat ", f"GET {READS[3]} ")
        await self._connect(f"{reads}\r\n".encode() * 10)

    async def idle(self) -> None:
        """Open ever more connections that say nothing, a thousand a second, and keep ten thousand."""
        self._most_held = IDLE
        await asyncio.gather(*(self._connect(b"") for _ in range(1000 // PER_S)))

    async def reads(self) -> None:
        """Read what is long, often at once."""
        await asyncio.gather(*(self._ask("GET", read) for read in READS))

    async def questions(self) -> None:
        """Ask at length, in ever new sessions."""
        # Told what to answer: the simulated model would look for a trip in all of it, in the process that measures.
        text = f"[slow 100] [chunks 50] [echo {'ok ' * 50}] {next(self._turns)} " + "word " * 190_000
        await self._ask("POST", "/api/chat", json={"message": text, "stream": False})

    async def _ask(self, method: str, path: str, extra: list[tuple[str, str]] | None = None, **request: object) -> None:
        headers = [*self._headers.items(), *(extra or [])]
        with suppress(aiohttp.ClientError, OSError, ValueError):
            async with self._http.request(method, self._url + path, headers=headers, **request) as answer:  # type: ignore[arg-type]
                async for _ in answer.content.iter_chunked(65536):
                    pass

    async def _connect(self, data: bytes) -> None:
        """Open a connection, send this, and keep it open without reading."""
        parts = urlsplit(self._url)
        with suppress(OSError):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(data)
            self._held.append(writer)
            while len(self._held) > self._most_held:
                self._held.popleft().close()


async def attack(name: str, url: str, token: str) -> None:
    """Begin something at a fixed rate, whatever has become of what was begun before."""
    attacker = Attacker(url, token)
    begin: Callable[[], Awaitable[None]] = getattr(attacker, name)
    running: set[asyncio.Task[None]] = set()
    while True:
        task = asyncio.ensure_future(begin())
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(1 / PER_S)


NICE = 19  # attackers have machines of their own: here they take only what is left of the one that they attack

if __name__ == "__main__":
    os.nice(NICE)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    uvloop.run(attack(*sys.argv[1:4]))
