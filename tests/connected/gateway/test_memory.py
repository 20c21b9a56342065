"""Many readings at once of sessions in which much was said leave the gateway well within the memory it is given."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest

from services.gateway.http.held.bodies import FREE
from shared.settings import Settings
from tests.much import say_much
from tests.processes import Process, running
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until, until_true

GIVEN_MIB = 512  # what deploy/compose.yaml gives a gateway
AT_ONCE = 20
CONNECTIONS = 300  # of one user, and of as many users
HALF = 960_000  # bytes
QUESTIONS = 40  # of one user, and of as many users
READERS = 80
SESSIONS = "/api/chat/sessions"
READS = (
    SESSIONS,
    f"{SESSIONS}/told",
    f"{SESSIONS}/untold",
    f"{SESSIONS}/untold/tag",
    f"{SESSIONS}/told/messages",
    f"{SESSIONS}/untold/messages",
    f"{SESSIONS}/told/messages?limit=1000&order=desc",
    f"{SESSIONS}/untold/messages?after=m50",
    "/api/sessions",
    "/api/sessions/told/messages",
    f"{SESSIONS}/untold/messages?limit=all",
)

Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def gateway(settings: Settings, owner: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Process]:
    await say_much(owner, "ann")
    patient = settings.model_copy(update={"http_body_s": 300.0, "http_whole_body_s": 300.0})  # on a slow machine
    async with simulated(patient) as outside, running(outside.settings, tmp_path, "gateway") as processes:
        yield processes["gateway"]


def most_mib(process: Process) -> float:
    """Return the most resident memory that the process has had so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


async def statuses(gateway: Process, method: str, path: str, *bodies: Any) -> set[int]:
    """Ask many times at once, and read every answer to its end."""
    url = f"http://{gateway.settings.http_host}:{gateway.settings.http_port}{path}"
    headers = {"Authorization": f"Bearer {token_for(gateway.settings, 'ann')}"}

    async def ask(http: aiohttp.ClientSession, body: Any) -> int:
        async with http.request(method, url, headers=headers, json=body) as answer:
            async for _ in answer.content.iter_chunked(65536):
                pass
            return answer.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        return set(await asyncio.gather(*(ask(http, body) for body in bodies or [None] * AT_ONCE)))


async def test_many_readings_of_much(gateway: Process) -> None:
    for path in READS:
        assert await statuses(gateway, "GET", path) <= {200, 204}, path
        assert most_mib(gateway) < GIVEN_MIB, path
    asked = [{"session_id": f"s{number}", "message": "[echo hi]", "stream": False} for number in range(AT_ONCE)]
    for session_id in ("told", "untold"):
        busy = [{"session_id": session_id, "message": "[echo hi]", "stream": False}] * AT_ONCE
        # The past of each of them counts for its user until it is known that the session is busy.
        assert {200} < await statuses(gateway, "POST", "/api/chat", *busy) <= {200, 409, 429}
        assert most_mib(gateway) < GIVEN_MIB, session_id
    assert await statuses(gateway, "POST", "/api/chat", *asked) == {200}
    assert most_mib(gateway) < GIVEN_MIB


async def test_many_bodies_that_are_half_sent(gateway: Process) -> None:
    """Of one user, who has a share, and of many, who have all of the room."""
    users = ["ann"] * CONNECTIONS + [f"user-{number}" for number in range(CONNECTIONS)]
    callers = [await send_half(gateway.settings, user) for user in users]
    answers = [asyncio.create_task(status(reader)) for reader, _ in callers]
    room = gateway.settings.body_bytes_at_once // (HALF - FREE)
    await until_true(lambda: sum(not answer.done() for answer in answers) <= room)
    assert await statuses(gateway, "POST", "/api/chat", {"message": "[echo hi]", "stream": False}) == {200}
    said = [await answer if answer.done() else None for answer in answers]
    of_one, of_many = Counter(said[:CONNECTIONS]), Counter(said[CONNECTIONS:])
    assert of_one.keys() == {None, b"429"}
    assert of_many.keys() == {None, b"503"}
    assert most_mib(gateway) < GIVEN_MIB
    for answer, (_, writer) in zip(answers, callers, strict=True):
        answer.cancel()
        writer.close()


async def send_half(settings: Settings, user: str) -> Caller:
    """Send most of a body, and stop."""
    reader, writer = await asyncio.open_connection(settings.http_host, settings.http_port)
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token_for(settings, user)}\r\n"
    writer.write(f"{head}Content-Length: {HALF + 1}\r\n\r\n".encode() + b"x" * HALF)
    await writer.drain()
    return reader, writer


async def status(reader: asyncio.StreamReader) -> bytes:
    """Return the status of an answer, when it comes."""
    return (await reader.readline()).split()[1]


@pytest.mark.parametrize(
    "last", ["", "\U0001f6e9"], ids=["plain", "wide"]
)  # one wide character makes all of a text wide
async def test_many_large_questions_to_a_slow_model(gateway: Process, last: str) -> None:
    users = ["ann"] * QUESTIONS + [f"user-{number}" for number in range(QUESTIONS)]
    question = {"message": "[first 600000] " + "word " * 190_000 + last}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        answers = [await began(gateway, http, user, question) for user in users]
        of_one, of_many = Counter(answers[:QUESTIONS]), Counter(answers[QUESTIONS:])
        assert of_one.keys() == {200, 429}
        assert of_many.keys() == {200, 503}
        small = {"message": "[echo hi]", "stream": False}
        assert await statuses(gateway, "POST", "/api/chat", small) == {200}  # by whoever has the most already
        assert most_mib(gateway) < GIVEN_MIB
        gateway.kill()  # in good order it would wait for the slow model


async def test_many_slow_readers_of_long_answers(gateway: Process, owner: asyncpg.Connection) -> None:
    """Each has its own turn, which is over long before its answer is read."""
    wide = "\U0001f6e9" * 200_000  # four bytes each
    users = [f"user-{number % 20}" for number in range(READERS)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**12) as http:
        for form in ({}, {"stream": False}):
            question = {"message": f"[chunks 20] [echo {wide}]", **form}
            answers = await asyncio.gather(*(began(gateway, http, user, question) for user in users))
            assert {200} <= set(answers) <= {200, 429, 503}
            # Of one statement that is too large all would fail. How many find room is a matter of what is read by then.
            assert answers.count(200) > 1
            assert most_mib(gateway) < GIVEN_MIB
            await until(lambda: _nothing_runs(owner), "the turns to end, which hold their questions till then")


async def _nothing_runs(owner: asyncpg.Connection) -> bool:
    return bool(await owner.fetchval("SELECT NOT EXISTS (SELECT FROM gateway.turns WHERE state = 'running')"))


async def began(gateway: Process, http: aiohttp.ClientSession, user: str, question: dict[str, Any]) -> int:
    """Ask, and read nothing of the answer but its head."""
    url = f"http://{gateway.settings.http_host}:{gateway.settings.http_port}/api/chat"
    headers = {"Authorization": f"Bearer {token_for(gateway.settings, user)}"}
    answer = await http.post(url, headers=headers, data=orjson.dumps(question))
    if answer.status != 200:
        await answer.read()
    return answer.status
