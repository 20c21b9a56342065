"""Calls of a model's service that sends its answers in its own ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from services.gateway.upstream import open_upstream
from shared.ids import new_id
from shared.settings import Settings

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

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        yield Settings(_env_file=None, openai_base_url=f"http://{host}:{port}/v1"), connections
    finally:
        await runner.cleanup()


async def ask(settings: Settings, times: int = 1) -> list[str]:
    texts = []
    async with open_upstream(settings) as upstream, asyncio.timeout(5):
        for _ in range(times):
            chunks = [chunk async for chunk in upstream.stream("m", [], new_id())]
            assert chunks[-1].finish_reason == "stop"
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
