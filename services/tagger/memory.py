"""Which sessions have their tag, so that what is said in them later needs no look into the database."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from uuid import UUID

from services.tagger.counter import SessionKey

LASTS_S = 60.0
MOST = 20_000  # sessions; about 8 MB


class TaggedSessions:
    """Remembers for a minute which sessions have been answered with their tag, and which messages were answered.

    A tag is for ever, unless its user is erased, and a deleted session's is never given again. So what is remembered
    stays true until a deletion is heard; and whoever may have missed one, since another worked meanwhile, forgets all.
    Only that a session has a tag is remembered, never that it has none: its model may be registered, or tracked again.
    """

    def __init__(self, *, most: int = MOST, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._known: OrderedDict[SessionKey, tuple[float, frozenset[UUID]]] = OrderedDict()  # the longest known first

    def __len__(self) -> int:
        return len(self._known)

    def needs_nothing(self, session: SessionKey, event_id: UUID) -> bool:
        """Tell whether this message can bring no tag, and is no repeat of one that was answered."""
        known = self._known.get(session)
        return known is not None and known[0] > self._now() and event_id not in known[1]

    def remember(self, session: SessionKey, answered: Collection[UUID]) -> None:
        """Take note that the session has its tag, with which these messages were answered."""
        now = self._now()
        self._known[session] = now + LASTS_S, frozenset(answered)
        self._known.move_to_end(session)
        while len(self._known) > self._most or next(iter(self._known.values()))[0] <= now:
            self._known.popitem(last=False)

    def forget(self, session: SessionKey) -> None:
        """Take note that the session is gone."""
        self._known.pop(session, None)

    def forget_users(self, user_ids: Collection[str]) -> None:
        """Take note that everything of these is gone."""
        for session in [session for session in self._known if session[0] in user_ids]:
            del self._known[session]

    def forget_all(self) -> None:
        """Know nothing any more."""
        self._known.clear()
