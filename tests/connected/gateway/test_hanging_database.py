"""A database that hangs: whoever reads is told so within 5 s, and all goes on when it does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from shared.settings import Settings
from tests.connected.hanging import hanging
from tests.processes import Process, running
from tests.settings import settings_for
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.alone]

AT_LATEST_S = 5.0
TRIP = "01890a5d-ac96-774b-bcce-b302099a8057"
READS = (
    "/api/chat/sessions",
    "/api/chat/sessions/s1",
    "/api/chat/sessions/s1/messages",
    "/api/chat/sessions/s1/tag",
    "/api/trips",
    f"/api/trips/{TRIP}",
    "/api/models",
    "/api/admin/dead",
)
AWAY = (503, "database_away")


@dataclass
class Site:
    settings: Settings
    postgres: Postgres
    processes: dict[str, Process]
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None) -> tuple[tuple[int, Any], float]:
        """Return the status, the problem's code, and how long they took."""
        url = f"http://127.0.0.1:{self.settings.http_port}{path}"
        headers = {"Authorization": f"Bearer {token_for(self.settings, 'ann', role='admin')}"}
        began = time.monotonic()
        async with self.http.request(method, url, json=body, headers=headers) as response:
            answer = json.loads(await response.read() or b"{}")
            return (response.status, answer.get("code")), time.monotonic() - began

    async def get(self, path: str) -> tuple[tuple[int, Any], float]:
        return await self.call("GET", path)

    async def say(self, session: str | None = "s1") -> tuple[tuple[int, Any], float]:
        return await self.call("POST", "/api/chat", {"session_id": session, "message": "[echo hi]", "stream": False})


@pytest.fixture(scope="module")
async def site(
    own_database: Postgres, breakable: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    settings = settings_for(own_database.url, breakable.url)
    await asyncio.to_thread(migrate, settings)
    async with (
        simulated(settings) as outside,
        running(outside.settings, tmp_path_factory.mktemp("site"), "gateway", "logger") as processes,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield Site(outside.settings, own_database, processes, http)


@pytest.fixture
async def warm(site: Site) -> Site:
    """Have a session, and connections in every pool."""
    assert (await site.say())[0][0] == 200
    assert await goes_on(site)
    return site


def late(
    answers: dict[str, tuple[tuple[int, Any], float]], at_latest_s: float = AT_LATEST_S
) -> dict[str, tuple[tuple[int, Any], float]]:
    return {what: found for what, found in answers.items() if found[0] != AWAY or found[1] > at_latest_s}


async def goes_on(site: Site) -> bool:
    return all(answer[0] != 503 for answer, _ in await asyncio.gather(*map(site.get, READS * 5)))


async def test_every_read_and_every_request_of_a_chat_is_refused_soon(warm: Site) -> None:
    with hanging(warm.postgres):
        answers = dict(zip(READS, await asyncio.gather(*map(warm.get, READS)), strict=True))
        answers["chat"] = await warm.say()
        answers["a new chat"] = await warm.say(session=None)
        answers["a stream"] = await warm.get("/api/chat/s1/stream")
        answers["a stop"] = await warm.call("POST", "/api/chat/s1/stop")
        answers["a message"] = await warm.call("POST", READS[2], {"role": "user", "content": "hi"})
    assert late(answers) == {}
    await until(lambda: goes_on(warm), "the database")


async def test_of_many_reads_at_once_each_is_refused_soon(warm: Site) -> None:
    """More than there are connections, and again when those that hung are to be replaced."""
    paths = [path for path in READS for _ in range(25)]
    began = time.monotonic()
    await asyncio.gather(*map(warm.get, paths))
    at_latest_s = AT_LATEST_S + time.monotonic() - began  # the last of so many waits for the others anyway
    with hanging(warm.postgres):
        for _ in range(2):
            answers = await asyncio.gather(*map(warm.get, paths))
            assert late({f"{path} {number}": answers[number] for number, path in enumerate(paths)}, at_latest_s) == {}
    await until(lambda: goes_on(warm), "the database", patience_s=5)


async def test_readiness_says_so_soon(warm: Site) -> None:
    async def ready(process: Process) -> tuple[set[str], float]:
        began = time.monotonic()
        return set(await process.faults()), time.monotonic() - began

    with hanging(warm.postgres):
        busy = [asyncio.create_task(warm.get("/api/trips")) for _ in range(30)]
        (status, _), took = await warm.get("/readyz")
        internal = [await ready(process) for process in warm.processes.values()]
        await asyncio.gather(*busy)
    assert (status, took < AT_LATEST_S) == (503, True)
    assert all(faults == {"database"} and seconds < AT_LATEST_S for faults, seconds in internal)
    await asyncio.gather(*(process.ready() for process in warm.processes.values()))
