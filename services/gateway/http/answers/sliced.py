"""Answers that are longer than what is held at once: each slice is read when the one before it was sent."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.http.held.bodies import until_left
from services.gateway.http.held.room import Room
from shared.backoff import patiently
from shared.database import is_away
from shared.errors import Overloaded, TooMany

# For a slice to be taken by whoever asked for it, since it takes room from others: so long, and longer if it is large.
SEND_S = 30.0
SLOWEST = 16 * 1024  # bytes a second

Slice = tuple[int, Callable[[], Awaitable[bytes]]]  # how many bytes it is, about, and what makes them


class SlicedResponse(Response):
    """Sends `before`, the slices that are not empty with commas or such between, and `after`.

    An error is a problem document until the first slice is made; after that it can only break the connection off.
    """

    def __init__(
        self,
        room: Room,
        lane: Callable[[], AbstractAsyncContextManager[None]],
        slices: Iterable[Slice] | AsyncIterable[Slice],
        *,
        before: bytes,
        after: bytes | Callable[[], bytes],
        between: bytes = b",",
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        patience_s: float = 0.0,
    ) -> None:
        """Prepare to answer.

        Args:
            room: For the slice that is sent; it is everybody's.
            lane: One of the caller's own, in which a slice is made. It is had before there is room, or those who wait
                for their own lanes would have the room that others need.
            slices: What makes them; each is asked for when the one before it was sent, but the second with the first.
            before: What stands before the first.
            after: What stands after the last, or says it once all are sent.
            between: What stands between two.
            media_type: What it is all together.
            headers: Others of the answer.
            patience_s: For how long a slice is made again, once the answer has begun, that fails for a reason that may
                pass. What makes it goes on where it failed.
        """
        super().__init__(media_type=media_type, headers=dict(headers or {}))
        self._room = room
        self._lane = lane
        self._slices = _each(slices)
        self._between = between
        self._before = before
        self._after = after
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first, second = await anext(self._slices, None), await anext(self._slices, None)
        if first is not None and second is not None:
            await self._send_all((first, second), receive, send)
            return
        size, make = first or (0, _nothing)
        async with self._made(size, make) as made:
            self.body = self._before + made + self._end()
            self.headers["content-length"] = str(len(self.body))
            await super().__call__(scope, receive, send)

    async def _send_all(self, begun: tuple[Slice, Slice], receive: Receive, send: Send) -> None:
        del self.headers["content-length"]
        leaving = asyncio.create_task(until_left(receive))
        lead, is_begun, is_written = self._before, False, False
        try:
            async for size, make in _chained(begun, self._slices):
                async with AsyncExitStack() as holding:
                    enter = partial(self._enter, holding, size, make)
                    made = await patiently(enter, _is_passing, self._patience_s if is_begun else 0.0)
                    if not is_begun:
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                        is_begun = True
                    if made:
                        await send({"type": "http.response.body", "body": lead + made, "more_body": True})
                        lead, is_written = self._between, True
                if leaving.done():
                    return
            await send({"type": "http.response.body", "body": (b"" if is_written else lead) + self._end()})
        finally:
            leaving.cancel()

    def _end(self) -> bytes:
        return self._after if isinstance(self._after, bytes) else self._after()

    async def _enter(self, holding: AsyncExitStack, size: int, make: Callable[[], Awaitable[bytes]]) -> bytes:
        return await holding.enter_async_context(self._made(size, make))

    @asynccontextmanager
    async def _made(self, size: int, make: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        """Make a slice, and have room for it in the block, in which it is to be sent."""
        async with AsyncExitStack() as holding:
            async with self._lane():
                await holding.enter_async_context(self._room.for_bytes(size))
                made = await make()
            async with asyncio.timeout(SEND_S + size / SLOWEST):
                yield made


def _is_passing(error: Exception) -> bool:
    """Tell whether a slice may be made a while later: the database is away, or others are being read."""
    return isinstance(error, TooMany | Overloaded) or is_away(error)


async def _nothing() -> bytes:
    return b""


async def _each(slices: Iterable[Slice] | AsyncIterable[Slice]) -> AsyncIterator[Slice]:
    if isinstance(slices, AsyncIterable):
        async for each in slices:
            yield each
        return
    for each in slices:
        yield each


async def _chained(begun: Iterable[Slice], rest: AsyncIterator[Slice]) -> AsyncIterator[Slice]:
    for each in begun:
        yield each
    async for each in rest:
        yield each
