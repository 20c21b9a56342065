"""No request, however odd, keeps the event loop from everybody else for long."""

import asyncio
import gc
import sys
import threading
import time
from asyncio.events import Handle
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from yarl import URL

from deploy.supervisor.machine.ports import free_port
from services.gateway.app import wire
from services.gateway.http.server.worker import PublicServer
from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.elsewhere.peers import open_peers
from services.gateway.wiring.parts import Links, Pools
from shared.broker.declaring import Declaring
from shared.database import open_pool
from shared.process.condition import Condition
from shared.publishing.publisher import Publisher
from shared.settings import DEVELOPMENT_SECRET, Settings
from tests import odd
from tests.connected.gateway.stage import Rows
from tests.tokens import token_for
from tests.waiting import until

# Of the loop's own time on the processor, for one of its steps; where coverage traces them, they take twice as long.
MOST_S = 0.1 if sys.gettrace() is None else 0.3
FIELDS = {
    "session_id": "s1",
    "approval_id": "01a1fe39-64df-761e-8663-799e1359cb2d-0",
    "message_id": "1",
    "share_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
    "template_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
    "token": "t" * 43,
    "user_id": "ann",
    "key_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
    "event": "e",
    "source": "elsewhere",
    "model": "sandbox-small",
    "response_id": "resp_01a1fe3964df761e8663799e1359cb2d",
    "model_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
    "trip_id": "atrip-1",
    "trace_id": "t1",
    "delivery_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
    "proposal_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
    "dead_letter_id": "01a1fe39-64df-761e-8663-799e1359cb2d",
}


@dataclass
class Watchdog:
    """Watches how long each step of one thread's event loop takes."""

    thread: int | None = None
    longest: float = 0.0
    offenders: list[str] = field(default_factory=list)

    def judge(self, name: str) -> None:
        if self.longest > MOST_S:
            self.offenders.append(f"{name}: {self.longest * 1000:.0f} ms")
        self.longest = 0.0


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    dog = Watchdog()
    run = Handle._run

    def watched(handle: Handle) -> None:
        if threading.get_ident() != dog.thread:
            run(handle)
            return
        began = time.thread_time()
        run(handle)
        dog.longest = max(dog.longest, time.thread_time() - began)

    monkeypatch.setattr(Handle, "_run", watched)
    gc.collect()
    gc.freeze()  # what the tests have is not the gateway's to look through
    yield dog
    gc.unfreeze()


class ServedApart:
    """A gateway on a loop of its own, in another thread, so that its steps are its own."""

    def __init__(self, settings: Settings, dog: Watchdog) -> None:
        self._settings = settings
        self._dog = dog
        self._stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.api: FastAPI | None = None

    def run(self) -> None:
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop).run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(open_pool(url, "watched", 5))
                for url in (
                    self._settings.gateway_database_url,
                    self._settings.reader_database_url,
                    self._settings.admin_database_url,
                )
            ]
            publisher = await stack.enter_async_context(Publisher(self._settings, "watched", Declaring()))
            upstreams = await stack.enter_async_context(open_upstreams(self._settings))
            peers = await stack.enter_async_context(open_peers(self._settings))
            gateway = wire(self._settings, Pools(*opened), Links(publisher, upstreams, peers), _well)
            server = PublicServer(self._settings, gateway.api)
            serving = asyncio.create_task(server.run())
            self._dog.thread, self.api = threading.get_ident(), gateway.api
            await self._stopping.wait()
            server.shut_down()
            gateway.runner.shut_down()
            await serving

    def stop(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self._stopping.set)


async def _well() -> Condition:
    return Condition()


@pytest.fixture
async def served(
    read_settings: Settings, rows: Rows, watchdog: Watchdog
) -> AsyncIterator[tuple[str, FastAPI, dict[str, str]]]:
    await rows.session("s1")
    await rows.run(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
        SELECT 'ann', 's1', number, 'user', repeat('word ', 1600), gen_random_uuid(), now()
        FROM generate_series(1, 999) number
        """
    )
    port = free_port()
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    many = {"turns_per_minute": 10**6, "turns_at_once": 10**6, "stored_wait_s": 0.0}
    settings = read_settings.model_copy(update={"http_port": port, "openai_base_url": nowhere, **many})
    apart = ServedApart(settings, watchdog)
    thread = threading.Thread(target=apart.run)
    thread.start()
    try:
        base = f"http://127.0.0.1:{port}"
        await until(lambda: _answers(base), "the gateway to answer")
        assert apart.api is not None
        yield base, apart.api, {"Authorization": f"Bearer {token_for(settings, 'ann', role='admin')}"}
    finally:
        apart.stop()
        await asyncio.to_thread(thread.join)


async def _answers(base: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{base}/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def calls(api: FastAPI, *methods: str) -> list[tuple[str, str]]:
    """Return every call that the document of the API has with one of these methods; what erases a user is `erase`."""
    paths: dict[str, dict[str, Any]] = api.openapi()["paths"]
    each = [(method, path) for path, known in paths.items() for method in known]
    return [(method, path.format(**FIELDS)) for method, path in each if _kind_of(method, path) in methods]


def _kind_of(method: str, path: str) -> str:
    return "erase" if path.endswith("/erase") else method


@pytest.mark.alone
async def test_no_request_holds_the_event_loop(served: tuple[str, FastAPI, dict[str, str]], watchdog: Watchdog) -> None:
    base, api, token = served
    webhook = aiohttp.encode_basic_auth("avinode", DEVELOPMENT_SECRET)

    async def send(http: aiohttp.ClientSession, name: str, method: str, url: str | URL, **request: Any) -> int:
        async with http.request(method, url, **request) as answer:
            if answer.content_type == "text/event-stream" and "/api/events" in str(url):
                await answer.content.readany()  # which has no end
                answer.close()
            else:
                with suppress(aiohttp.ClientPayloadError):  # plain text breaks off where the model is away
                    await answer.read()
        watchdog.judge(f"{method} {str(url).removeprefix(base)[:60]} {name}")
        return answer.status

    bodies = list(odd.bodies())
    async with aiohttp.ClientSession() as http:
        for method, path in [*calls(api, "post", "put", "patch"), *calls(api, "get")]:  # what is slow once
            await send(
                http,
                "plain",
                method,
                base + path,
                headers=token,
                data=b'{"message": "hi"}' if method == "post" else None,
            )
        watchdog.offenders.clear()
        for method, path in calls(api, "post", "put", "patch"):
            headers = {"Authorization": webhook} if "webhooks" in path else token
            for name, body in bodies:
                status = await send(http, name, method, base + path, data=body, headers=headers)
                assert status < 500, (name, path, status)
        for method, path in calls(api, "get"):
            for name, query in odd.queries():
                assert await send(http, name, method, URL(f"{base}{path}?{query}", encoded=True), headers=token) < 500
        for name, odd_headers in odd.headers():
            for method, path in (("get", "/api/chat/sessions/s1"), ("post", "/api/chat")):
                assert await send(http, name, method, base + path, headers=[*token.items(), *odd_headers]) < 500
        assert (
            await send(http, "a page", "get", f"{base}/api/chat/sessions/s1/messages?limit=1000", headers=token) == 200
        )
        for method, path in calls(api, "delete", "erase"):  # last, since nothing is left then
            for name, query in odd.queries():
                assert await send(http, name, method, URL(f"{base}{path}?{query}", encoded=True), headers=token) < 500
    assert not watchdog.offenders, "\n".join(watchdog.offenders)
