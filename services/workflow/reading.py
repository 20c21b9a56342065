"""Work the notices and trips that are due, and note what becomes of each: done, later, or never."""

import structlog
from prometheus_client import Counter

from services.workflow.avinode.errors import (
    AvinodeAway,
    AvinodeLocked,
    AvinodeMissing,
    AvinodeRefused,
    AvinodeUnclear,
    Unreadable,
)
from services.workflow.following import Follower, Unmatched
from services.workflow.pace import Pace
from services.workflow.store.deliveries import DeliveryStore, DirtyHref
from services.workflow.store.facts import DueTrip, FactStore
from shared.errors import TripthreadError, Unstorable
from shared.publisher import Publisher

_WORKED = Counter("tripthread_avinode_notices_total", "Notices worked, by what became of them.", ["state"])
log = structlog.get_logger(__name__)


class Reader:
    """Two kinds of work: the next notice, the next trip. Each method works one and tells whether there was any."""

    def __init__(
        self, facts: FactStore, deliveries: DeliveryStore, follower: Follower, publisher: Publisher, pace: Pace
    ) -> None:
        self._facts = facts
        self._deliveries = deliveries
        self._follower = follower
        self._announce = publisher.announce
        self._pace = pace

    async def work_notice(self) -> bool:
        """Look at the href that has been due longest."""
        dirty = await self._deliveries.next_due()
        if dirty is None:
            return False
        try:
            await self._follower.look_at(dirty)
        except Unmatched as error:
            wait_s = self._pace.retry_s(dirty.attempts + 1, self._pace.longest_unmatched_s)
            await self._deliveries.postpone(dirty, "unmatched", "no such trip here", wait_s, trip_code=error.trip_code)
            _WORKED.labels("unmatched").inc(len(dirty.delivery_ids))
        except (AvinodeAway, AvinodeRefused, AvinodeUnclear, Unreadable, Unstorable) as error:
            await self._fail(dirty, error)
        else:
            await self._deliveries.settle(dirty, "done", None)
            _WORKED.labels("done").inc(len(dirty.delivery_ids))
        return True

    async def work_trip(self) -> bool:
        """Read the trip that has been due longest."""
        due = await self._facts.next_due()
        if due is None:
            return False
        try:
            await self._follower.read_trip(due)
        except AvinodeMissing as error:
            await self._lose(due, error.detail)
        except AvinodeRefused as error:
            await self._announce(await self._facts.postpone(due.trip_id, error.detail, self._pace.refused_s))
        except AvinodeAway as error:
            wait_s = error.wait_s or self._pace.trip_retry_s
            await self._announce(await self._facts.postpone(due.trip_id, error.detail, wait_s))
        except (AvinodeUnclear, Unreadable, Unstorable) as error:
            log.error("trip not readable", trip_id=str(due.trip_id), error=error.detail)
            await self._announce(await self._facts.postpone(due.trip_id, error.detail, self._pace.longest_retry_s))
        return True

    async def _fail(self, dirty: DirtyHref, error: TripthreadError) -> None:
        """Try again later, but not for ever for what Avinode does not know or we cannot read."""
        is_hopeless = isinstance(error, AvinodeMissing | Unreadable | Unstorable)
        log.warning("notice not worked", href=dirty.href, error=error.detail, attempts=dirty.attempts + 1)
        if is_hopeless and dirty.attempts + 1 >= self._pace.missing_attempts:
            await self._deliveries.settle(dirty, "ignored", error.detail)
            _WORKED.labels("ignored").inc(len(dirty.delivery_ids))
            return
        await self._deliveries.postpone(dirty, "due", error.detail, self._wait_s(dirty.attempts + 1, error))
        _WORKED.labels("postponed").inc(len(dirty.delivery_ids))

    def _wait_s(self, attempts: int, error: TripthreadError) -> float:
        """Wait as Avinode asks; what it refuses us, us alone and not this call, may be mended at any time."""
        match error:
            case AvinodeAway():
                return max(self._pace.retry_s(attempts), error.wait_s or 0.0)
            case AvinodeLocked():
                return self._pace.refused_s
            case AvinodeRefused() if not isinstance(error, AvinodeMissing):
                return max(self._pace.refused_s, self._pace.retry_s(attempts, self._pace.longest_unmatched_s))
            case _:
                return self._pace.retry_s(attempts)

    async def _lose(self, due: DueTrip, detail: str) -> None:
        """Avinode does not know a trip: one that was there is asked for again, one that never was is given up."""
        if due.was_read:
            await self._announce(await self._facts.postpone(due.trip_id, detail, self._pace.longest_retry_s))
        else:
            await self._announce(await self._facts.give_up(due.trip_id, f"{due.reference}: {detail}"))
