"""Close what turns have asked and nobody will answer any more, so that whoever reads them sees that it is over."""

import asyncio

from services.gateway.turns.consent import denied
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.stored.waiting import WaitingTurns
from services.gateway.turns.told.telling import Telling

LOOK_S = 5.0
REASON = "Nobody answered it in time, or the conversation went on without it."


class Unanswered:
    """A job for the one gateway that does it."""

    def __init__(self, waiting: WaitingTurns, telling: Telling, unfit: Unfit) -> None:
        self._waiting = waiting
        self._telling = telling
        self._unfit = unfit
        self._next_look = 0.0  # by the loop's clock

    async def close(self) -> bool:
        """Deny the calls that waited too long, or whose session has gone on, and tell of it."""
        now = asyncio.get_running_loop().time()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_S
        for turn in await self._waiting.unanswered():
            if turn.turn_id in self._unfit:
                continue
            with self._unfit.passing_over(turn.turn_id):
                closed = await self._waiting.close(turn, denied(turn.parts_so_far, REASON))
                if closed is not None:
                    self._telling.tell(closed)
        return False
