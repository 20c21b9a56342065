"""Whoever is answered and leaves is noticed, also where nothing more is read of their request."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message, Receive, Scope, Send

from deploy.supervisor.machine.ports import free_port
from services.gateway.http.answers.leaving import LEAVING, Leaving, WhileConnected
from shared.settings import Settings
from tests.service.gateway.http.raw_http import Served, serving_api
from tests.waiting import PATIENCE_S, until_true

HIGH_WATER = 64 * 1024  # bytes of a body, with more of which at once uvicorn reads no further
END_OF_HEAD = b"\r\n\r\n"


class Patient:
    """An application that reads a body, and then waits until its caller leaves, by this server's word or by a task."""

    def __init__(self, *, by_task: bool = False) -> None:
        self.asked = self.begun = self.left = self.finished = 0
        self._by_task = by_task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        while (await receive()).get("more_body"):
            pass
        self.begun += 1
        with WhileConnected(receive, {} if self._by_task else scope):
            if scope["path"] != "/brief":
                await asyncio.sleep(PATIENCE_S)
            self.finished += 1
        if scope["path"] != "/brief":
            self.left += 1
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def served(app: Patient) -> AsyncIterator[Served]:
    settings = Settings(_env_file=None, environment="test", http_port=free_port())
    async with serving_api(settings, app) as served:
        yield served


def request(path: str, size: int) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size) + b"x" * size


@pytest.mark.parametrize("by_task", [False, True], ids=["told", "by a task"])
@pytest.mark.parametrize("size", [0, 10, HIGH_WATER + 1000], ids=["nothing", "little", "much"])
async def test_who_leaves_while_being_answered_is_noticed(size: int, *, by_task: bool) -> None:
    app = Patient(by_task=by_task)
    async with served(app) as server:
        head, _, body = request("/wait", size).partition(END_OF_HEAD)
        caller = await server.call(head + END_OF_HEAD)
        await until_true(lambda: app.asked == 1)  # and reads, when all of the body comes at once
        await caller.say(body)
        await until_true(lambda: app.begun == 1)
        caller.writer.close()
        await until_true(lambda: app.left == 1)
    assert not app.finished


async def test_a_connection_that_serves_others_first_is_watched_as_well() -> None:
    app = Patient()
    async with served(app) as server:
        caller = await server.call(request("/brief", 3) + request("/brief", 3) + request("/wait", 3))
        for _ in range(2):
            assert (await caller.answer()).status == 200
        await until_true(lambda: app.begun == 3)
        caller.writer.close()
        await until_true(lambda: app.left == 1)
    assert app.finished == 2


async def test_who_has_left_before_is_told_at_once() -> None:
    told: list[str] = []
    leaving = Leaving(_nothing, {LEAVING: lambda tell: tell()}, lambda: told.append("left"))
    assert leaving.has_left
    assert told == ["left"]


async def test_who_has_left_before_and_waits_for_nothing_is_left_alone() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        assert LEAVING in scope
        with WhileConnected(receive, scope):
            pass
        try:
            await asyncio.sleep(0)  # as whoever cleans up behind an answer
        finally:
            ended.append("cancelled" if sys.exc_info()[0] else "well")

    settings = Settings(_env_file=None, environment="test", http_port=free_port())
    async with serving_api(settings, app) as server:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        caller = await server.call(head + b"no chunk\r\n")
        assert (await caller.answer()).status == 400
        await until_true(lambda: bool(ended))
    assert ended == ["well"]


async def test_after_it_is_closed_nobody_is_told() -> None:
    calls, told = list[Callable[[], None]](), list[str]()
    leaving = Leaving(_nothing, {LEAVING: calls.append}, lambda: told.append("left"))
    leaving.close()
    calls[0]()
    assert not told
    assert not leaving.has_left


async def test_another_cancellation_is_not_swallowed() -> None:
    async def stay() -> None:
        with WhileConnected(_nothing, {LEAVING: lambda _tell: None}):
            await asyncio.sleep(PATIENCE_S)

    staying = asyncio.create_task(stay())
    await asyncio.sleep(0)
    staying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staying


async def _nothing() -> Message:
    raise AssertionError("nothing is read")
