"""Answers that go on for as long as a turn does; whoever reads one counts as following the turn until it closes."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.http.answers.leaving import Leaving, WhileConnected
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.turn import Turn


class FollowingResponse(Response):
    """A turn as a stream, for as long as its caller is there.

    Starlette's own class does the same with a group of tasks, which costs as much as sending ten pieces.
    """

    def __init__(
        self,
        buffer: TurnBuffer,
        stream: AsyncIterator[bytes],
        headers: Mapping[str, str],
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(headers)  # as Starlette's own: without a body there is no length
        self._stream = stream
        self._follower = buffer.attach()  # before the first byte: nobody may take it for left alone
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with WhileConnected(receive, scope):
                await self.stream(send)
        finally:
            self._follower.close()
            if self._on_end is not None:
                self._on_end()

    async def stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class WholeResponse(Response):
    """A turn as one record, whose text is held until the record is sent."""

    media_type = "application/json"

    def __init__(self, buffer: TurnBuffer, record: bytes) -> None:
        super().__init__(record)
        self._follower = buffer.attach()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._follower.close()


class BreakingResponse(FollowingResponse):
    """Plain text whose connection breaks off where the answer did: the text itself has no way to say so."""

    async def stream(self, send: Send) -> None:
        with suppress(BrokenPipeError):
            await super().stream(send)


async def whole_turn(buffer: TurnBuffer, request: Request) -> Turn:
    """Wait for the end of a turn, for a caller who wants all of it at once.

    Raises:
        ClientDisconnect: The caller is gone.
        Refused, Away: The turn has no answer.
    """
    follower = buffer.attach()
    leaving = Leaving(request.receive, request.scope, buffer.announce)
    try:
        while not buffer.is_settled:
            if leaving.has_left:
                raise ClientDisconnect
            await buffer.hear()
        return await buffer.result()
    finally:
        follower.close()
        leaving.close()


def named(turn: Turn) -> list[tuple[bytes, bytes]]:
    """Spell the headers by which whoever asked knows the turn, and its session."""
    return [(b"x-session-id", turn.session_id.encode()), (b"x-turn-id", str(turn.turn_id).encode())]
