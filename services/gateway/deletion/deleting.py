"""Delete sessions and users: accept it, end what runs, tell of it, and wait a while until it is noted."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from services.gateway.deletion.noted import NotedDeletions
from services.gateway.deletion.store import Deletion, DeletionStore, Erasure, Key
from services.gateway.http.write_headers import Write
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.store import RunningTurn, TurnStore
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.writes.announcing import Announcing
from services.gateway.writes.receipts import Receipts
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway, TripthreadError
from shared.events import SessionDeleted, UserErased
from shared.publishing.publisher import Publisher

log = structlog.get_logger(__name__)


class Deleting:
    """What is accepted here is told here, where there is a broker; else whoever sweeps tells of it later."""

    def __init__(
        self,
        store: DeletionStore,
        noted: NotedDeletions,
        turns: TurnStore,
        running: RunningTurns,
        *,
        publisher: Publisher,
        receipts: Receipts,
        announcing: Announcing,
        unfit: Unfit,
    ) -> None:
        self._store = store
        self._noted = noted
        self._turns = turns
        self._running = running
        self._publisher = publisher
        self._receipts = receipts
        self._announcing = announcing
        self._unfit = unfit
        self._tasks: set[asyncio.Task[Any]] = set()

    async def delete(self, sessions: Sequence[Key], write: Write) -> tuple[list[Deletion], bool]:
        """Delete sessions, hidden from here on.

        Returns:
            Each with when it was deleted, and whether all of them are noted where their messages are stored.
        """
        deletions = await self._store.delete(sessions, write.correlation_id)
        with self._receipts.expecting(*(deletion.event_id for deletion in deletions)) as receipt:
            self._spawn(self._announce(deletions))
            self._spawn(self._end([deletion.key for deletion in deletions]))
            self._spawn(self.tell([deletion.event() for deletion in deletions]))
            noted = await receipt.until(lambda: self._noted.all_of(sessions), self._wait_s(write))
        return deletions, bool(noted)

    async def erase(self, user_ids: Sequence[str], write: Write, *, operator: str | None = None) -> list[Erasure]:
        """Erase all that these users have, hidden from here on; `operator` is the administrator who asks for it."""
        erasures = await self._store.erase(user_ids, write.correlation_id, operator)
        for erasure in erasures:
            self._spawn(self._announcing.erased(erasure.user_id))
        self._spawn(self._end([(erasure.user_id, None) for erasure in erasures]))
        self._spawn(self.tell([erasure.event() for erasure in erasures]))
        return erasures

    async def follow(self, deletions: Sequence[Deletion]) -> None:
        """Tell of sessions whose deletion nobody waits for; whoever sweeps tells of what this does not."""
        await self._announce(deletions)
        await self.tell([deletion.event() for deletion in deletions])

    async def _announce(self, deletions: Sequence[Deletion]) -> None:
        for user_id in {deletion.user_id for deletion in deletions}:
            gone = [deletion.session_id for deletion in deletions if deletion.user_id == user_id]
            await self._announcing.touched(user_id, gone, "deleted")

    def _wait_s(self, write: Write) -> float:
        return write.wait_s if self._publisher.away is None else 0.0

    async def tell(self, events: Sequence[SessionDeleted | UserErased]) -> bool:
        """Publish these events, as far as there is a broker, and note which it has; tell whether it has all."""
        if self._publisher.away is not None:
            return False
        results = await asyncio.gather(*map(self._publisher.publish, events), return_exceptions=True)
        told = [event for event, result in zip(events, results, strict=True) if result is None]
        await self._note(told)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, BrokerAway):
                raise result
        return len(told) == len(events)

    async def _note(self, told: Sequence[SessionDeleted | UserErased]) -> None:
        try:
            await self._store.told(told)
        except DATABASE_ERRORS as error:  # told once more: every consumer ignores a repeat
            log.info("deletions not noted as told", error=describe(error))

    async def _end(self, whose: Sequence[tuple[str, str | None]]) -> None:
        """End the turns that run in these sessions, or for these users."""
        turns = await self._turns.running_of(whose)
        await asyncio.gather(*map(self.stop, turns))

    async def stop(self, running: RunningTurn) -> None:
        """Stop one running turn; where that fails, whoever sweeps does it again."""
        try:
            with self._unfit.passing_over(running.turn_id):
                turn = await self._turns.find(running.turn_id)
                if turn is not None:
                    await self._running.stop(turn)
        except (TripthreadError, TimeoutError, *DATABASE_ERRORS) as error:
            log.info("turn of a deleted session not stopped", turn_id=str(running.turn_id), error=str(error))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do what goes on where the caller does not wait any longer."""
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _logged(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except DATABASE_ERRORS as error:
        log.info("deletion goes on later", error=describe(error))
    except Exception:  # the task's boundary: the row is there, and whoever sweeps goes on
        log.exception("deletion goes on later")
