"""How a dense answer is read: frame by frame, the first piece at once, and nothing lost where the connection breaks."""

import asyncio

import pytest
from aiohttp import web

from services.gateway.model.asking.upstreams import Upstreams, open_upstreams
from services.gateway.model.reading.frames import FRAME_S
from shared.errors import ModelAway
from shared.ids import new_id
from tests.service.gateway.model.stand_in import at_once
from tests.service.gateway.model.test_upstream import serving
from tests.waiting import PATIENCE_S

DENSE = 30


def piece(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text.encode()


async def readings(upstreams: Upstreams) -> list[int]:
    """Return how many pieces each reading of an answer brought, of those that brought any."""
    until = asyncio.get_running_loop().time() + 5
    sizes = []
    (spec,) = upstreams.catalog.upstreams
    async with upstreams.upstream(spec.name).answer("m", [], {}, until) as reading:
        while not reading.is_over:
            sizes.append(sum(len(chunk.text.split()) for chunk in await reading.next()))  # a word each
    return [size for size in sizes if size]


async def test_the_first_piece_waits_for_none_and_those_that_come_densely_are_read_together() -> None:
    read = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(piece("first "))
        await read.wait()  # no other piece comes before it was read
        for number in range(DENSE):
            await response.write(piece(f"{number} "))
            await asyncio.sleep(FRAME_S / 10)
        await response.write(b"data: [DONE]\n\n")
        return response

    async with serving(answer) as settings, open_upstreams(settings, at_once) as upstreams, asyncio.timeout(PATIENCE_S):
        texts = []
        async for chunk in upstreams.call("m", [], new_id()).chunks():
            texts.append(chunk.text)
            read.set()
        assert "".join(texts) == "first " + "".join(f"{number} " for number in range(DENSE))
        sizes = await readings(upstreams)
    assert sum(sizes) == DENSE + 1
    assert len(sizes) <= DENSE / 2


async def test_what_came_before_a_connection_broke_is_not_lost_in_its_frame() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(DENSE):
            await response.write(piece(f"{number} "))
            await asyncio.sleep(FRAME_S / 10)
        assert request.transport is not None
        request.transport.close()
        return response

    texts: list[str] = []

    async def read(upstreams: Upstreams) -> None:
        async for chunk in upstreams.call("m", [], new_id()).chunks():
            texts.append(chunk.text)  # noqa: PERF401 - what came before the error counts

    async with serving(answer) as settings, open_upstreams(settings, at_once) as upstreams, asyncio.timeout(PATIENCE_S):
        with pytest.raises(ModelAway, match="broke"):
            await read(upstreams)
    assert "".join(texts) == "".join(f"{number} " for number in range(DENSE))
