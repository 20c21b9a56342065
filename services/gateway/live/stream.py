"""A stream of events (SSE) for one listener, for as long as they are there and their credentials hold."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import count

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.http.answers.leaving import WhileConnected
from services.gateway.http.edge.middleware import GOES_ON
from services.gateway.live.changes import Change
from services.gateway.live.listeners import Listener
from shared.database import DATABASE_ERRORS
from shared.ids import new_id

HEARTBEAT_S = 15.0  # of silence, after which a comment shows that the stream is there; proxies wait for longer
RETRY_MS = 3000  # that a client waits before it opens the stream again
HEARTBEAT = b": keep-alive\n\n"
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}

# Leaves out what the caller may not hear of; None is as from `Listener.take`.
Admit = Callable[[list[Change]], Awaitable[list[Change] | None]]
Holds = Callable[[], Awaitable[bool]]  # tells whether the caller would be let in still

# An id says where somebody left off. No gateway goes on from there: it keeps nothing of what it has told.
_ids = map(f"{new_id().hex[-12:]}.{{}}".format, count(1))


def greeting() -> bytes:
    """Begin a stream: its first id, without an event, so that a client that lost the stream can say that it had one."""
    return f"retry: {RETRY_MS}\nid: {next(_ids)}\n\n".encode()


def spelled(changes: Iterable[Change]) -> Iterator[bytes]:
    """Spell changes as events."""
    for change in changes:
        yield _event(change.name, change.session_id, change.words, change.at)


def resync() -> bytes:
    """Spell that everything is to be fetched again."""
    return _event("resync", None, (), datetime.now(UTC))


def _event(name: str, session_id: str | None, words: tuple[str, ...], at: datetime) -> bytes:
    data = orjson.dumps({"session_id": session_id, "changed": words, "at": at})
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (next(_ids).encode(), name.encode(), data)


class EventStream(Response):
    def __init__(
        self,
        listener: Listener,
        *,
        admit: Admit | None,
        holds: Holds | None,
        is_return: bool,
        lasts_s: float,
        on_end: Callable[[], None],
    ) -> None:
        """Prepare a stream.

        Args:
            listener: Who is told; it is closed at the end.
            admit: Is asked about what is told, where the caller may not hear of every session of theirs.
            holds: Is asked before anything is told, where the caller's credentials may be taken back.
            is_return: Whether the caller had a stream before, and may have missed something.
            lasts_s: How long the caller's credentials hold.
            on_end: Is called at the end.
        """
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._listener = listener
        self._admit = admit
        self._holds = holds
        self._lasts_s = lasts_s
        self._on_end = on_end
        if is_return:
            listener.resync()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin the answer; it goes on when the request is done with."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        except BaseException:
            self._end()
            raise
        scope[GOES_ON] = self._goes_on

    async def _goes_on(self, receive: Receive, send: Send) -> None:
        try:
            with WhileConnected(receive, {}):  # of the scope nothing is kept
                await self._tell(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._end()

    def _end(self) -> None:
        self._listener.close()
        self._on_end()

    async def _tell(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._lasts_s
        piece = greeting() + await self._news()
        while True:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            left_s = ends_at - loop.time()
            if left_s <= 0 or self._listener.has_ended:
                return
            has_news = await self._listener.news(min(HEARTBEAT_S, left_s))
            if self._holds is not None and not await self._still_holds(self._holds):
                return
            piece = await self._news() if has_news else HEARTBEAT

    @staticmethod
    async def _still_holds(holds: Holds) -> bool:
        try:
            return await holds()
        except (*DATABASE_ERRORS, TimeoutError):
            return False  # nobody can tell: whoever comes back is looked at again

    async def _news(self) -> bytes:
        """Spell what is new for this caller; nothing, where it is all of sessions that they may not see."""
        changes = self._listener.take()
        if changes and self._admit is not None:
            try:
                changes = await self._admit(changes)
            except (*DATABASE_ERRORS, TimeoutError):
                changes = None
        return resync() if changes is None else b"".join(spelled(changes))
