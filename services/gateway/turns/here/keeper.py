"""Keep the rows of the turns that run here: their leases, and the texts that they have so far."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any
from uuid import UUID

import structlog

from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import answer_parts
from shared.database import DATABASE_ERRORS

MOST_CHARACTERS = 1_000_000  # of the texts that one statement keeps, and one text more
RENEW_EVERY_S = 10.0  # a third of a lease

Attempt = tuple[UUID, int]  # turn and attempt

log = structlog.get_logger(__name__)


class Keeper:
    """Writes what is due; what the database does not take is due the next time."""

    def __init__(
        self, store: TurnStore, buffers: Mapping[UUID, TurnBuffer], on_ended: Callable[[UUID, int], None]
    ) -> None:
        """Prepare to keep.

        Args:
            store: Has the rows.
            buffers: The turns that run here, as the runner has them at any time.
            on_ended: Called for an attempt that runs here although its row says that it was ended elsewhere.
        """
        self._store = store
        self._buffers = buffers
        self._on_ended = on_ended
        self._renewed = -inf  # when, by the loop's clock
        self._kept: dict[Attempt, int] = {}  # how many characters of each text the rows have
        self._writing = asyncio.Lock()  # one checkpoint after the other: a late one would undo what came after it

    async def keep(self, *, renew_now: bool = False) -> None:
        """Renew the leases where that is due, and keep the texts that have changed."""
        now = asyncio.get_running_loop().time()
        try:
            if renew_now or now - self._renewed >= RENEW_EVERY_S:
                await self._renew()
                self._renewed = now
            await self._checkpoint()
        except DATABASE_ERRORS as error:
            log.debug("turns not kept", error=str(error) or type(error).__name__)

    async def _renew(self) -> None:
        running = [_attempt(buffer) for buffer in self._buffers.values()]
        if running:
            for turn_id, attempt in await self._store.renew(running):
                self._on_ended(turn_id, attempt)

    async def keep_calls(self, buffer: TurnBuffer, rounds: Sequence[dict[str, Any]]) -> bool:
        """Keep what a turn has so far, with the calls that it is about to run; False where it runs elsewhere by now."""
        async with self._writing:
            return await self._store.keep_calls(buffer.turn, buffer.whole_parts(), rounds)

    async def _checkpoint(self) -> None:
        async with self._writing:
            await self._keep_texts()

    async def _keep_texts(self) -> None:
        buffers = {_attempt(buffer): buffer for buffer in self._buffers.values()}
        self._kept = {attempt: length for attempt, length in self._kept.items() if attempt in buffers}
        changed = [attempt for attempt, buffer in buffers.items() if buffer.length != self._kept.get(attempt, 0)]
        while changed:  # a portion each: how much all running texts are together nobody knows
            texts: list[tuple[UUID, int, int, list[dict[str, Any]]]] = []
            lengths: dict[Attempt, int] = {}
            while changed and sum(lengths.values()) < MOST_CHARACTERS:
                attempt = changed.pop()
                buffer = buffers[attempt]
                lengths[attempt] = buffer.length
                texts.append((*attempt, buffer.turn.revision, answer_parts(buffer.parts(), is_refusal=False)))
            await self._store.checkpoint(texts)
            self._kept |= lengths


def _attempt(buffer: TurnBuffer) -> Attempt:
    return buffer.turn.turn_id, buffer.turn.attempt
