"""A notice is followed once those that have arrived are kept: one call is made for all that point at one thing."""

from typing import cast

from services.workflow.notices.bursts import Burst
from services.workflow.notices.matching import Matcher
from services.workflow.reading.following import Follower
from services.workflow.store.deliveries import DeliveryStore, DirtyHref
from services.workflow.waits import Waits


class Looked:
    """Says what is due, which is nothing, and how often somebody asked."""

    def __init__(self) -> None:
        self.times = 0

    async def next_due(self) -> DirtyHref | None:
        self.times += 1
        return None


async def test_nothing_is_looked_for_while_notices_are_still_to_be_kept() -> None:
    looked, waiting = Looked(), [2]
    burst = Burst(lambda: waiting[-1])
    matcher = Matcher(cast(DeliveryStore, looked), cast(Follower, None), Waits(), burst)
    assert not await matcher.work_notice()
    assert looked.times == 0
    waiting.append(0)
    assert not await matcher.work_notice()
    assert looked.times == 1
