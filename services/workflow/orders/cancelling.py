"""Cancel trips at Avinode: asked for until there is an answer, since to cancel once more is the same there."""

import structlog

from services.workflow.avinode.client import Avinode
from services.workflow.avinode.errors import (
    AvinodeAway,
    AvinodeForbidden,
    AvinodeLocked,
    AvinodeMissing,
    AvinodeRefused,
    AvinodeUnclear,
    Unreadable,
)
from services.workflow.store.intents.cancellations import Cancellation, CancellationStore
from services.workflow.waits import Waits
from shared.events import TripAdvanced
from shared.jobs.unworkable import Unworkable, own_faults
from shared.publishing.publisher import Publisher

log = structlog.get_logger(__name__)


class Canceller:
    """Cancels one trip after the other."""

    def __init__(self, cancellations: CancellationStore, avinode: Avinode, publisher: Publisher, waits: Waits) -> None:
        self._cancellations = cancellations
        self._avinode = avinode
        self._announce = publisher.announce
        self._waits = waits

    async def work_cancellation(self) -> bool:
        """Cancel the trip that has been due longest; tell whether there was one."""
        due = await self._cancellations.next_due()
        if due is None:
            return False
        try:
            with own_faults():
                outcomes = await self._work(due)
        except Unworkable as error:
            outcomes = await self._give_up(due, error)
        await self._announce(outcomes)
        return True

    async def _give_up(self, due: Cancellation, error: Unworkable) -> list[TripAdvanced]:
        """Try again what raised, since it may be cancelled all the same, but not for ever: then its trip goes on."""
        if due.attempts + 1 >= self._waits.missing_attempts:
            return await self._cancellations.refused(due, error.detail)
        return await self._cancellations.postpone(due, error.detail, self._waits.retry_s(due.attempts + 1))

    async def _work(self, due: Cancellation) -> list[TripAdvanced]:
        if due.outcome == "completed":
            return await self._cancellations.refused(due, "the trip was completed before it was cancelled")
        if due.outcome is not None:
            return await self._cancellations.done(due)
        if due.avinode_trip_id is not None:
            return await self._cancel(due, due.avinode_trip_id)
        if due.has_name or due.is_being_sent:  # its id is about to be read or answered
            return await self._cancellations.postpone(due, None, self._waits.retry_s(due.attempts))
        return await self._cancellations.withdrawn(due)

    async def _cancel(self, due: Cancellation, avinode_trip_id: str) -> list[TripAdvanced]:
        await self._avinode.ready()
        try:
            await self._avinode.cancel_trip(avinode_trip_id, due.reason, due.message)
        except (AvinodeAway, AvinodeUnclear, AvinodeLocked, AvinodeForbidden, Unreadable) as error:
            return await self._cancellations.postpone(due, error.detail, self._wait_s(due, error))
        except AvinodeMissing:
            log.warning("no such trip to cancel", trip_id=str(due.trip_id))
        except AvinodeRefused as error:
            log.error("trip not cancelled", trip_id=str(due.trip_id), error=error.detail)
            return await self._cancellations.refused(due, error.detail)
        log.info("trip cancelled", trip_id=str(due.trip_id))
        return await self._cancellations.done(due)

    def _wait_s(self, due: Cancellation, error: Exception) -> float:
        if isinstance(error, AvinodeLocked):
            return 0.0  # nothing is called for a while anyway
        if isinstance(error, AvinodeForbidden):
            return self._waits.refused_s
        asked_s = error.wait_s if isinstance(error, AvinodeAway) else None
        return max(asked_s or 0.0, self._waits.retry_s(due.attempts + 1))
