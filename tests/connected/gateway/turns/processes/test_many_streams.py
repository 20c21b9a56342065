"""Many streams at once are each whole, however slowly one is read, and where their gateway is told to stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import orjson
import pytest

from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.turns.processes.pair import Pair, first_words, open_pair, parts_of, text_of
from tests.processes import running
from tests.tokens import token_for
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.fault

STREAMS = 200
AT_A_TIME = 20  # a slow machine takes longer to begin all than a claim may wait
STOPPED_STREAMS = 50
USERS = 20
WINDOW = 4096  # bytes that somebody takes who reads slowly
STORED = "SELECT count(*) FROM chat.messages WHERE role = 'assistant' AND status = $1 AND content <> ''"


@pytest.fixture
async def pair(settings: Settings, tmp_path: Path) -> AsyncIterator[Pair]:
    async with running(settings, tmp_path, "logger"), open_pair(settings, tmp_path) as pair:
        pair.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with pair.http:
            yield pair


async def stored(owner: asyncpg.Connection, count: int, status: str = "complete") -> bool:
    return bool(await owner.fetchval(STORED, status) == count)


async def test_two_hundred_streams_at_once_are_each_whole_and_its_own(pair: Pair, owner: asyncpg.Connection) -> None:
    begun, beginning = asyncio.Barrier(STREAMS), asyncio.Semaphore(AT_A_TIME)

    async def ask(number: int) -> tuple[str, str]:
        text = f"this is for {number} alone " * 5
        body = {"session_id": f"s{number}", "message": f"[chunks 20] [slow 250] [echo {text}]"}
        headers = pair.headers(f"user {number % USERS}")
        async with beginning:
            response = await pair.http.post(pair.url(pair.here, "/api/chat"), json=body, headers=headers)
        async with response:
            assert response.status == 200, await response.text()
            await begun.wait()
            return text, text_of([part async for part in parts_of(response)])

    async with asyncio.timeout(PATIENCE_S):
        for text, seen in await asyncio.gather(*map(ask, range(STREAMS))):
            assert seen == text
    await until(lambda: stored(owner, STREAMS), "every answer to be stored")


async def test_who_reads_a_byte_a_second_holds_nobody_up_and_gets_all_in_the_end(
    pair: Pair, owner: asyncpg.Connection
) -> None:
    session, text = f"s{new_id().hex}", "x" * 900_000
    slow = await ask_slowly(pair, session, f"[chunks 200] [echo {text}]")
    reading = asyncio.create_task(read_slowly(slow))

    async def is_stored() -> bool:
        return await stored(owner, 1)

    await until(is_stored, "the answer to be stored")
    async with pair.chat(pair.here, session, "[echo next]", stream=False) as response:
        assert (await response.json())["message"]["content"] == "next"
    reading.cancel()
    await asyncio.wait({reading})
    head = b"".join(slow.taken)
    assert 0 < len(head) < WINDOW
    async with asyncio.timeout(PATIENCE_S):
        rest = await slow.all()
    assert said(head + rest) == text


class SlowReader:
    """A browser whose way to us is narrow."""

    def __init__(self, way: socket.socket) -> None:
        self.way = way
        self.taken: list[bytes] = []

    async def all(self) -> bytes:
        reader, writer = await asyncio.open_connection(sock=self.way)
        rest = await reader.read()
        writer.close()
        return rest


async def ask_slowly(pair: Pair, session: str, text: str) -> SlowReader:
    way = socket.socket()
    way.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    way.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(way, ("127.0.0.1", pair.here.settings.http_port))
    body = orjson.dumps({"session_id": session, "message": text})
    head = (
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token_for(pair.here.settings, 'ann')}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    await loop.sock_sendall(way, head.encode() + body)
    return SlowReader(way)


async def read_slowly(slow: SlowReader) -> None:
    while byte := await asyncio.get_running_loop().sock_recv(slow.way, 1):
        slow.taken.append(byte)
        await asyncio.sleep(1)


def said(answer: bytes) -> str:
    """Return the text of an answer that came in chunks."""
    _, _, body = answer.partition(b"\r\n\r\n")
    stream = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        stream, body = stream + body[: int(size, 16)], body[int(size, 16) + 2 :]
    parts = [orjson.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]
    assert parts[-1]["type"] == "finish"
    return "".join(part["delta"] for part in parts if part["type"] == "text-delta")


async def test_a_gateway_that_is_told_to_stop_lets_fifty_streams_end(pair: Pair, owner: asyncpg.Connection) -> None:
    """Those that take longer than it waits are interrupted, and all of it is told before it ends."""
    begun = asyncio.Semaphore(0)

    async def ask(number: int) -> tuple[str, str]:
        pace = "[chunks 20] [slow 200]" if number % 2 else "[chunks 1000] [slow 200]"
        async with pair.chat(pair.here, f"s{number}", pace) as response:
            await first_words(response)
            begun.release()
            *_, (_, last) = [part async for part in parts_of(response)]
            return pace, last["type"]

    asking = [asyncio.create_task(ask(number)) for number in range(STOPPED_STREAMS)]
    for _ in asking:
        await begun.acquire()
    pair.here.signal(signal.SIGTERM)
    ends = await asyncio.gather(*asking)
    assert [end for pace, end in ends if pace.startswith("[chunks 20]")] == ["finish"] * 25
    assert [end for pace, end in ends if pace.startswith("[chunks 1000]")] == ["error"] * 25
    assert await pair.here.ended() == 0, pair.here.log
    assert await owner.fetchval("SELECT bool_and(question_published AND answer_published) FROM gateway.turns")
    await until(lambda: stored(owner, 25), "the answers to be stored")
    await until(lambda: stored(owner, 25, "interrupted"), "what was interrupted to be stored")
    async with pair.chat(pair.there, "s0", "[echo next]", stream=False) as response:
        assert (await response.json())["message"]["content"] == "next"
