"""What this gateway knows of sessions whose newest message it has accepted, so that the next need not read them.

It is no more than a guess: somebody may have said or deleted something since, here or elsewhere. A claim that goes by
it is stale then, as any is that comes too late (`gateway.take_turns`), and the session is read as ever.

Known is only a session that had no turns but messages of its clients, from its beginning or from when its turns were
trimmed: there is then nothing that a message could be a copy of. Each of them was confirmed by the broker before the
next goes by this, so none overtakes another that is left untold.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.gateway.turns.past.kept import Kept
from services.gateway.turns.turn import Turn

# Every turn that is newer is found by its row, which is kept for a day (`turns/stored/outbox.py`).
LASTS_S = 3600.0
MOST = 4000  # sessions, of some 500 bytes


@dataclass(frozen=True, slots=True)
class RecentEnd:
    """The end of a session."""

    place: datetime  # of its newest message
    message_id: str
    kept: Kept
    lasts_until: float = 0.0


class RecentEnds:
    """The ends that are known, by owner and session; the one that was kept longest ago first."""

    def __init__(self, *, most: int = MOST, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._known: OrderedDict[tuple[str, str], RecentEnd] = OrderedDict()

    def __contains__(self, session: tuple[str, str]) -> bool:
        return session in self._known

    def take(self, user_id: str, session_id: str) -> RecentEnd | None:
        """Return the end of a session, for one claim: the next goes by what that one leaves."""
        end = self._known.pop((user_id, session_id), None)
        return None if end is None or end.lasts_until <= self._now() else end

    def keep(self, posted: Turn) -> None:
        """Take note of a client's message that was accepted and told of, at the end of a session of such messages."""
        asked, key = posted.question, (posted.user_id, posted.session_id)
        known = self._known.pop(key, None)
        if asked.parent_id is None and asked.role in ("system", "tool"):  # a note, to which nobody replies
            return
        if known is not None and known.place > posted.place:
            self._known[key] = known
            return
        kept = Kept(posted.project_id, posted.helper)
        self._known[key] = RecentEnd(posted.place, asked.message_id, kept, self._now() + LASTS_S)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
