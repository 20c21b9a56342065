"""Read the trips that are due at Avinode, whether or not anybody told of a change: notices get lost."""

import structlog

from services.workflow.avinode.errors import (
    AvinodeAway,
    AvinodeLocked,
    AvinodeMissing,
    AvinodeRefused,
    AvinodeUnclear,
    Unreadable,
)
from services.workflow.reading.following import Follower
from services.workflow.rereading import Rereading
from services.workflow.store.facts.due import DueTrip
from services.workflow.store.facts.store import FactStore
from services.workflow.waits import Waits
from shared.errors import TripthreadError, Unstorable
from shared.jobs.unworkable import Unworkable, own_faults
from shared.publishing.publisher import Publisher

QUIET_TURN = 4

log = structlog.get_logger(__name__)


class Checker:
    """Checks one trip after the other; those that no session is about any more cost no call."""

    def __init__(
        self, facts: FactStore, follower: Follower, publisher: Publisher, *, waits: Waits, rereading: Rereading
    ) -> None:
        self._facts = facts
        self._follower = follower
        self._announce = publisher.announce
        self._waits = waits
        self._rereading = rereading
        self._turn = 0

    async def work_new_trip(self) -> bool:
        """Read a trip that was never read; tell whether there was one. It waits for none that was read before."""
        return await self._work(await self._facts.next_due(unread=True))

    async def work_trip(self) -> bool:
        """Read a trip again; tell whether there was one that is due.

        One where things happen comes first, but every fourth time the one that has been due longest, whichever it is.
        """
        self._turn += 1
        active_s = 0.0 if self._turn % QUIET_TURN == 0 else self._rereading.active_s
        return await self._work(await self._facts.next_due(active_s=active_s))

    async def _work(self, due: DueTrip | None) -> bool:
        if due is None:
            return False
        if not due.is_wanted:
            await self._facts.let_go(due.trip_id)
            return True
        try:
            with own_faults():
                await self._follower.read_trip(due)
        except (AvinodeAway, AvinodeRefused, AvinodeUnclear, Unreadable, Unstorable, Unworkable) as error:
            if isinstance(error, AvinodeMissing) and not due.was_read:
                await self._announce(await self._facts.give_up(due.trip_id, f"{due.reference}: {error.detail}"))
            else:
                await self._read_later(due, error)
        return True

    async def _read_later(self, due: DueTrip, error: TripthreadError) -> None:
        """Read a trip again some time later: by itself it gets no more attention than one that can be read."""
        log.warning("trip not read", trip_id=str(due.trip_id), error=error.detail)
        usual_s = due.usual_wait_s(self._rereading)
        wait_s = None if usual_s is None else self._reread_s(due, error, usual_s)
        await self._announce(await self._facts.postpone(due.trip_id, error.detail, wait_s))

    def _reread_s(self, due: DueTrip, error: TripthreadError, usual_s: float) -> float:
        match error:
            case AvinodeAway():
                return self._waits.reread_s(due.unread_s) if error.wait_s is None else error.wait_s
            case AvinodeLocked():
                return 0.0  # nothing is called for a while anyway
            case AvinodeRefused() if not isinstance(error, AvinodeMissing):
                return max(self._waits.refused_s, usual_s)
            case _:
                return max(self._waits.longest_retry_s, usual_s)
