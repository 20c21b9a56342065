"""Calls of a model's service that sends its answers in its own ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp import web

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.here.answering import LONGEST_ANSWER, Answering
from services.gateway.turns.here.buffer import TurnBuffer
from shared.errors import ModelAway
from shared.events import LARGEST_BODY
from shared.ids import new_id
from shared.settings import Settings
from tests.pure.gateway.samples import turn
from tests.service.gateway.model.stand_in import at_once
from tests.waiting import PATIENCE_S, until_true

ANSWER = b"""data: {"choices":[{"delta":{"content":"hi"}}]}

data: {"choices":[{"delta":{},"finish_reason":"stop"}]}

data: [DONE]

"""

After = Callable[[web.Request], Awaitable[None]]


@asynccontextmanager
async def service(after: After) -> AsyncIterator[tuple[Settings, set[object]]]:
    """Serve ANSWER and do `after` that before its end; the set is of the connections by which calls came."""
    connections: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        connections.add(request.transport.get_extra_info("peername"))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(ANSWER)
        await after(request)
        return response

    async with serving(answer) as settings:
        yield settings, connections


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Settings]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        yield Settings(_env_file=None, openai_base_url=f"http://{host}:{port}/v1")
    finally:
        await runner.cleanup()


async def ask(settings: Settings, times: int = 1) -> list[str]:
    texts = []
    async with open_upstreams(settings, at_once) as upstreams, asyncio.timeout(PATIENCE_S):
        for _ in range(times):
            chunks = [chunk async for chunk in upstreams.call("m", [], new_id()).chunks()]
            assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
            texts.append("".join(chunk.text for chunk in chunks))
    return texts


async def test_a_connection_serves_the_next_call_though_the_end_comes_a_moment_later() -> None:
    async def a_moment(_request: web.Request) -> None:
        await asyncio.sleep(0.005)

    async with service(a_moment) as (settings, connections):
        assert await ask(settings, times=3) == ["hi"] * 3
    assert len(connections) == 1


async def test_an_answer_that_is_whole_does_not_wait_for_a_service_that_keeps_it_open() -> None:
    async def for_ever(_request: web.Request) -> None:
        await asyncio.Event().wait()

    async with service(for_ever) as (settings, _):
        assert await ask(settings) == ["hi"]


async def test_an_answer_that_is_whole_is_not_spoilt_by_how_its_connection_ends() -> None:
    async def break_off(request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    async with service(break_off) as (settings, _):
        assert await ask(settings) == ["hi"]


async def test_what_a_service_says_unasked_is_nobodys_answer() -> None:
    """A second answer comes on a connection while nobody asks on it; whoever asks next must not have it for theirs."""
    is_idle, texts = asyncio.Event(), iter((b"one's own", b"another's own"))

    def answer(text: bytes) -> bytes:
        body = ANSWER.replace(b"hi", text)
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
                writer.write(answer(next(texts)))
                await is_idle.wait()
                writer.write(answer(b"somebody else's"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        settings = Settings(_env_file=None, openai_base_url=url)
        async with open_upstreams(settings, at_once) as upstreams:

            async def ask_once() -> str:
                return "".join([chunk.text async for chunk in upstreams.call("m", [], new_id()).chunks()])

            def has_come() -> bool:
                connector = upstreams.upstream(upstreams.catalog.upstreams[0].name)._http.connector
                idle = [each for each, _ in next(iter(connector._conns.values()), ())]  # type: ignore[union-attr]
                return any(each.should_close for each in idle)

            assert await ask_once() == "one's own"
            is_idle.set()
            await until_true(has_come)
            assert await ask_once() == "another's own"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, {"error": {"message": "32 tokens are too many"}}, "answered 400: 32 tokens are too many"),
        (404, {"error": {"message": "no model m, says org-1a2B"}}, "answered 404: no model m, says ***"),
        (400, {"error": {"message": "bad key sk-abc**xyz"}}, "answered 400: bad key ***"),
        (422, {"error": {"message": "half \ud800"}}, "answered 422: half \ufffd"),
        (429, {"error": {"message": "org-1 has spent $5", "code": "insufficient_quota"}}, "429 (insufficient_quota)"),
        (500, {"error": {"message": "at /srv/app.py", "type": "server_error", "code": None}}, "500 (server_error)"),
        (502, {"error": "at 10.0.0.7"}, "answered 502"),
        (400, {"error": {"message": [1]}}, "answered 400"),
        (503, [], "answered 503"),
    ],
)
async def test_a_refusal_is_passed_on_where_it_is_about_the_request(status: int, body: object, told: str) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    async with serving(refuse) as settings:
        with pytest.raises(ModelAway) as away:
            await ask(settings)
    assert away.value.detail.endswith(told)
    assert away.value.extra == {"upstream_status": status}


async def test_of_an_error_in_the_middle_of_an_answer_its_name_is_passed_on() -> None:
    async def fail(_request: web.Request) -> web.StreamResponse:
        return web.Response(text='data: {"error":{"message":"key sk-1 of org-2","code":"rate_limit_exceeded"}}\n\n')

    async with serving(fail) as settings:
        with pytest.raises(ModelAway) as away:
            await ask(settings)
    assert away.value.detail == "the model's service reported an error (rate_limit_exceeded)"


async def test_an_answer_without_an_end_is_left_before_it_fits_no_event() -> None:
    async def run_wild(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse()
        await response.prepare(request)
        line = b'data: {"choices":[{"delta":{"content":"' + 30_000 * b"\\u0001" + b'"}}]}\n\n'
        with suppress(ConnectionError):
            while True:
                await response.write(line)
        return response

    asked = turn()
    async with serving(run_wild) as settings, open_upstreams(settings, at_once) as upstreams, asyncio.timeout(20):
        answer = await Answering(upstreams, TurnBuffer(asked)).run([])

    assert (answer.status, answer.content) == ("interrupted", LONGEST_ANSWER * "\x01")
    assert answer.error == "the answer grew to 1000000 characters"
    # Every character of it is written as six, and twice: as text and as a part.
    assert (
        len(replace(asked, state="interrupted", answer=answer, answered_at=asked.asked_at).answered().body())
        < LARGEST_BODY
    )
