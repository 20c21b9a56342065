"""Turns that are answered now, here or at another gateway: follow them, stop them, and what another question does."""

import asyncio
from contextlib import suppress
from typing import Literal

import structlog

from services.gateway.turns.elsewhere.abandoned import Abandoned
from services.gateway.turns.elsewhere.mirrors import Mirrors
from services.gateway.turns.elsewhere.peers import PeerAway, Peers
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.runner import Runner
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.errors import DatabaseAway, SessionBusy, TripthreadError

OnBusy = Literal["reject", "interrupt", "wait"]

WAIT_S = 30.0  # for a turn to end, where the next one asks to wait
# A proxy may tell us only now that the browser behind it has closed its connection.
LAST_FOLLOWER_S = 1.0
KEEP_S = 5.0  # for a stopped answer to be kept

log = structlog.get_logger(__name__)


class RunningTurns:
    """The turns that run here and at other gateways: follow them, stop them, wait for them."""

    def __init__(self, store: TurnStore, runner: Runner, peers: Peers) -> None:
        self._store = store
        self._runner = runner
        self._peers = peers
        self._abandoned = Abandoned(store, runner)
        self._mirrors = Mirrors(store, peers, self._abandoned, runner.room)

    def here(self, turn: Turn) -> TurnBuffer | None:
        """Return this attempt where it runs here, whatever its row says: a database that was away renewed no lease."""
        buffer = self._runner.find(turn.turn_id, turn.attempt)
        return buffer if buffer is not None and buffer.turn.revision == turn.revision else None

    def follow(self, turn: Turn) -> TurnBuffer:
        """Return the buffer of a running turn, wherever it runs; whoever takes it attaches to it at once."""
        return self.here(turn) or self._mirrors.follow(turn)

    async def interrupt(self, expired: Turn) -> Turn | None:
        """End a turn whose owner let its lease pass, and tell of it; None where that is not so any more."""
        return await self._abandoned.interrupt(expired)

    async def stop(self, turn: Turn) -> bool:
        """Stop a running turn; False where it has ended by itself.

        Raises:
            DatabaseAway: Its text is not kept yet.
        """
        if self.here(turn) is not None:
            return await self._stop_here(turn)
        try:
            if await self._peers.stop(turn) == "stopped":
                return True
        except PeerAway as error:
            log.info("owner of a turn not reached", turn_id=str(turn.turn_id), error=str(error))
        return await self._stop_by_row(turn)

    async def _stop_by_row(self, turn: Turn) -> bool:
        """Stop what its owner does not: it is gone, has begun anew without it, or is too slow."""
        if await self._abandoned.stop(turn) is not None:
            return True
        now = await self._store.find(turn.turn_id)  # it may have been the owner, in the end
        return now is not None and (now.attempt, now.state) == (turn.attempt, "stopped")

    async def make_way(self, turn: Turn, on_busy: OnBusy | None) -> None:
        """Return when this running turn is out of the way of the next, or may be.

        By default it is stopped where nobody follows it any more, as after `useChat`'s `stop()`, which only closes its
        connection.

        Raises:
            SessionBusy: It goes on.
        """
        if on_busy == "interrupt":
            await self.stop(turn)
        elif on_busy == "wait":
            await self._wait(turn)
        elif on_busy == "reject" or not await self._stop_unless_followed(turn):
            raise SessionBusy(turn_id=str(turn.turn_id))

    async def _stop_here(self, turn: Turn) -> bool:
        try:
            async with asyncio.timeout(KEEP_S):
                stopped = await self._runner.stop(turn)
        except TimeoutError as error:
            raise DatabaseAway("the answer is stopped, and not kept yet: the database is away") from error
        return stopped is not None and stopped.state == "stopped"

    async def _stop_unless_followed(self, turn: Turn) -> bool:
        """Stop it where nobody follows it; False where somebody may."""
        buffer = self.here(turn)
        if buffer is not None:
            if not await buffer.unfollowed(LAST_FOLLOWER_S):
                return False
            await self._stop_here(turn)
            return True
        try:
            outcome = await self._peers.stop(turn, unless_followed_for_s=LAST_FOLLOWER_S)
        except PeerAway:
            return False
        if outcome == "ended":
            await self._stop_by_row(turn)  # which does nothing where that is so
        return outcome != "followed"

    async def _wait(self, turn: Turn) -> None:
        buffer = self.follow(turn)
        follower = buffer.attach()
        try:
            async with asyncio.timeout(WAIT_S):
                with suppress(TripthreadError):  # it has no answer: over all the same
                    await buffer.result()
        except TimeoutError as error:
            raise SessionBusy(turn_id=str(turn.turn_id)) from error
        finally:
            follower.close()
