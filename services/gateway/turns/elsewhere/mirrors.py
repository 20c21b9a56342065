"""Turns that run at other gateways, as callers of this one follow them: from their owner, without it from the row."""

import asyncio
from contextlib import aclosing
from uuid import UUID

import structlog

from services.gateway.http.held.shares import Shares
from services.gateway.turns.elsewhere.abandoned import Abandoned
from services.gateway.turns.elsewhere.peers import PeerAway, Peers
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.database import DATABASE_ERRORS
from shared.errors import DatabaseAway, SessionBusy, TripthreadError

LOOK_S = 0.5  # between two looks at a row

log = structlog.get_logger(__name__)


class Mirrors:
    """One buffer for each of those turns, however many follow it here; it goes with the last of them."""

    def __init__(self, store: TurnStore, peers: Peers, abandoned: Abandoned, room: Shares) -> None:
        self._store = store
        self._peers = peers
        self._abandoned = abandoned
        self._room = room
        self._buffers: dict[tuple[UUID, int, int], TurnBuffer] = {}  # of a revision of an attempt
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, turn: Turn) -> TurnBuffer:
        """Return the buffer of a turn that runs elsewhere; whoever takes it attaches to it at once.

        Raises:
            TooMany, Overloaded: There is no room for it.
        """
        run = (turn.turn_id, turn.attempt, turn.revision)
        buffer = self._buffers.get(run)
        if buffer is None:
            account = f"mirrors of {turn.user_id}"
            self._room.require(account, 1)
            buffer = self._buffers[run] = TurnBuffer(turn, self._room.hold(account))
            task = asyncio.create_task(self._mirror(buffer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return buffer

    async def _mirror(self, buffer: TurnBuffer) -> None:
        filling = asyncio.create_task(self._fill(buffer))
        try:
            while not filling.done():
                leaving = asyncio.create_task(buffer.abandoned())
                await asyncio.wait({filling, leaving}, return_when=asyncio.FIRST_COMPLETED)
                leaving.cancel()
                if not buffer.is_followed:
                    break
        finally:
            del self._buffers[buffer.turn.turn_id, buffer.turn.attempt, buffer.turn.revision]
            filling.cancel()
            buffer.leave()

    async def _fill(self, buffer: TurnBuffer) -> None:
        try:
            await self._follow_owner(buffer)
            await self._follow_row(buffer)
        except Exception as error:  # the task's boundary: its followers must hear of it
            log.exception("turn not followed", turn_id=str(buffer.turn.turn_id))
            buffer.fail(error if isinstance(error, TripthreadError) else TripthreadError("Something went wrong here."))

    async def _follow_owner(self, buffer: TurnBuffer) -> None:
        try:
            async with aclosing(self._peers.follow(buffer.turn)) as pieces:
                async for piece in pieces:
                    if piece:
                        buffer.add(piece)
        except PeerAway as error:
            log.info("owner of a turn not reached", turn_id=str(buffer.turn.turn_id), error=str(error))

    async def _follow_row(self, buffer: TurnBuffer) -> None:
        """Show the checkpoints until the turn ends; one whose owner is gone is ended here."""
        while buffer.ended is None and buffer.failure is None:
            try:
                turn = await self._store.find(buffer.turn.turn_id)
                if turn is not None and turn.expired:
                    turn = await self._abandoned.interrupt(turn) or turn
            except DATABASE_ERRORS:
                buffer.fail(DatabaseAway())
                return
            self._show(buffer, turn)
            if buffer.ended is None:
                await asyncio.sleep(LOOK_S)

    def _show(self, buffer: TurnBuffer, turn: Turn | None) -> None:
        if turn is None or turn.attempt != buffer.turn.attempt:
            buffer.fail(SessionBusy("this turn was begun again, or withdrawn"))
            return
        buffer.catch_up(turn.parts_so_far)
        if turn.answer is not None:
            buffer.end(turn)
