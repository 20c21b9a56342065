"""Work the notices that are due, and note what becomes of each: done, later, or never."""

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
from services.workflow.notices.bursts import Burst
from services.workflow.reading.following import Follower, Unmatched
from services.workflow.store.deliveries import DeliveryStore, DirtyHref
from services.workflow.waits import Waits
from shared.errors import TripthreadError, Unstorable
from shared.jobs.unworkable import Unworkable, own_faults

_WORKED = Counter("tripthread_avinode_notices_total", "Notices worked, by what became of them.", ["state"])
log = structlog.get_logger(__name__)


class Matcher:
    """Brings notices to their trips, one place that they point at after the other."""

    def __init__(self, deliveries: DeliveryStore, follower: Follower, waits: Waits, burst: Burst) -> None:
        self._deliveries = deliveries
        self._follower = follower
        self._waits = waits
        self._burst = burst

    async def work_notice(self) -> bool:
        """Look at the href that has been due longest; tell whether there was one."""
        if self._burst.holds():
            return False
        dirty = await self._deliveries.next_due()
        if dirty is None:
            return False
        try:
            with own_faults():
                trip_code = await self._follower.look_at(dirty)
        except Unmatched as error:
            wait_s = self._waits.retry_s(dirty.attempts + 1, self._waits.longest_unmatched_s)
            await self._deliveries.leave_unmatched(dirty, error.trip_code, wait_s, self._waits.unmatched_s)
            _WORKED.labels("unmatched").inc(len(dirty.delivery_ids))
        except (AvinodeAway, AvinodeRefused, AvinodeUnclear, Unreadable, Unstorable, Unworkable) as error:
            await self._fail(dirty, error)
        else:
            await self._deliveries.settle(dirty, "done", None, trip_code)
            _WORKED.labels("done").inc(len(dirty.delivery_ids))
        return True

    async def _fail(self, dirty: DirtyHref, error: TripthreadError) -> None:
        """Try again later, but not for ever for what Avinode does not know or we cannot read."""
        is_hopeless = isinstance(error, AvinodeMissing | Unreadable | Unstorable | Unworkable)
        log.warning("notice not worked", href=dirty.href, error=error.detail, attempts=dirty.attempts + 1)
        if is_hopeless and dirty.attempts + 1 >= self._waits.missing_attempts:
            await self._deliveries.settle(dirty, "ignored", error.detail)
            _WORKED.labels("ignored").inc(len(dirty.delivery_ids))
            return
        await self._deliveries.postpone(dirty, error.detail, self._wait_s(dirty.attempts + 1, error))
        _WORKED.labels("postponed").inc(len(dirty.delivery_ids))

    def _wait_s(self, attempts: int, error: TripthreadError) -> float:
        """Wait as Avinode asks; what it refuses us, us alone and not this call, may be mended at any time."""
        match error:
            case AvinodeAway():
                return max(self._waits.retry_s(attempts), error.wait_s or 0.0)
            case AvinodeLocked():
                return self._waits.refused_s
            case AvinodeRefused() if not isinstance(error, AvinodeMissing):
                return max(self._waits.refused_s, self._waits.retry_s(attempts, self._waits.longest_unmatched_s))
            case _:
                return self._waits.retry_s(attempts)
