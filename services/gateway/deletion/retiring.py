"""Delete sessions that are older than they are to be kept, by the one gateway that sweeps, as their users would.

A portion is proposed, which is a row of each; when nobody is left who claims a session without knowing of that, each is
looked at again, and deleted or left alone. A gateway that is killed in between leaves rows that the next one decides
about first. What is deleted is told and swept as what users delete is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.retention import AT_ONCE, FIRST, SESSIONS, OldSessions, ProposalStore
from shared.consuming.queue_census import count_queue
from shared.jobs.retention import LOOK_S, PAUSE_S, told
from shared.publishing.publisher import Publisher
from shared.topology import LOGGER_CHAT, WORKFLOW_TRIPS

MOST_UNSETTLED = 4 * AT_ONCE  # with more no others are proposed, until the services have swept these


class SessionRetiring:
    """A job of the gateway that sweeps."""

    def __init__(
        self,
        old: OldSessions,
        proposals: ProposalStore,
        deleting: Deleting,
        *,
        days: int | None,
        all_is_heard: Callable[[], Awaitable[bool]],
    ) -> None:
        """Prepare to look.

        Args:
            old: Knows which sessions are old.
            proposals: Has those that are to go.
            deleting: Tells of them.
            days: After how many a session is old; None: it never is.
            all_is_heard: Tells whether there is a broker, and whether the rows have what was said by it.
        """
        self._old = old
        self._proposals = proposals
        self._deleting = deleting
        self._days = days
        self._all_is_heard = all_is_heard
        self._after = FIRST
        self._next = 0.0  # by the loop's clock

    async def work(self) -> bool:
        """Decide about what was proposed, and propose more, where it is time for that."""
        clock = asyncio.get_running_loop().time
        if clock() >= self._next:
            wait_s = await self._work()
            self._next = clock() + wait_s
        return False

    async def _work(self) -> float:
        days = self._days if self._days is not None and await self._all_is_heard() else None
        await self._decide(days)
        if self._days is None:
            return LOOK_S
        if days is None or await self._proposals.are_any():
            return PAUSE_S
        is_last = await self._propose(days)
        # What could not be decided at once is refused to its user meanwhile, so it is decided soon.
        return PAUSE_S if not is_last or await self._proposals.are_any() else LOOK_S

    async def _propose(self, days: int) -> bool:
        """Propose a portion, and decide about it where that can be; tell whether it was the last one."""
        if await self._proposals.unsettled(MOST_UNSETTLED) >= MOST_UNSETTLED:
            return False
        going, self._after = await self._old.after(self._after, days)
        if going:
            await self._proposals.propose(going, days)
            await self._decide(days)
        is_last = self._after == FIRST
        told(SESSIONS.name, 0, is_done=is_last)
        return is_last

    async def _decide(self, days: int | None) -> None:
        """Delete what was proposed and is to go by now; without days nothing is."""
        proposed = await self._proposals.ripe()
        if not proposed:
            return
        # Asked once more: what was accepted before it was proposed may be on its way, and be of this session.
        is_known = days is not None and await self._all_is_heard()
        still = await self._old.still(proposed, days) if days is not None and is_known else []
        deletions = await self._proposals.accept(proposed, still, days or 1)
        await self._proposals.withdraw(proposed)
        told(SESSIONS.name, len(deletions), is_done=False)
        await self._deleting.follow(deletions)


def session_retiring(
    old: OldSessions, proposals: ProposalStore, deleting: Deleting, publisher: Publisher, days: int | None
) -> SessionRetiring:
    """Make the job, which rests while the broker is away, or the logger or the workflow has something to read."""
    return SessionRetiring(old, proposals, deleting, days=days, all_is_heard=partial(_all_is_heard, publisher))


async def _all_is_heard(publisher: Publisher) -> bool:
    for queue in (LOGGER_CHAT, WORKFLOW_TRIPS):
        waiting, consumers = await count_queue(publisher, queue.name)
        if not (waiting == 0 and consumers > 0):  # or nobody knows
            return False
    return publisher.away is None
