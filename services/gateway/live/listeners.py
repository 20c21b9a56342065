"""Everybody who listens at this gateway, and what each of them has yet to be told."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge

from services.gateway.live.changes import Change, Place, changes, told_by
from services.gateway.live.found import Found, Told
from shared.errors import ShuttingDown
from shared.events import Outcome, SessionTouched

MOST_WAITING = 100  # changes that one listener has not taken yet; one more, and it is to fetch everything
SLACK_S = 2.0  # by which a change may be older than a listener who is told of it all the same

LISTENERS = Gauge("tripthread_event_listeners", "Streams of events that are open")
EVENTS = Counter("tripthread_events_told", "Events that were told to listeners", ["event"])


class Listener:
    """One stream, on its way from the hints to its reader."""

    __slots__ = ("_bell", "_is_behind", "_leave", "_waiting", "began", "has_ended", "user_ids")

    def __init__(self, user_ids: Sequence[str], began: float, leave: Callable[["Listener"], None]) -> None:
        """Begin to listen.

        Args:
            user_ids: The owners whose sessions it hears of.
            began: When, by the event loop's clock.
            leave: Is called when it is closed.
        """
        self.user_ids = tuple(user_ids)
        self.began = began
        self.has_ended = False
        self._leave = leave
        self._waiting: dict[tuple[str, str, str], Change] = {}
        self._is_behind = False
        self._bell = asyncio.Event()

    def tell(self, change: Change) -> None:
        """Have this told; of one session and name only once, however often it changes meanwhile."""
        if self._is_behind:
            return  # it is about to fetch everything
        key = (change.user_id, change.session_id, change.name)
        waiting = self._waiting.get(key)
        self._waiting[key] = waiting.and_then(change) if waiting else change
        if len(self._waiting) > MOST_WAITING:
            self.resync()
        self._bell.set()

    def resync(self) -> None:
        """Have it fetch everything again: not all that changed can be told."""
        self._waiting = {}
        self._is_behind = True
        self._bell.set()

    def end(self) -> None:
        """Let the stream end now."""
        self.has_ended = True
        self._bell.set()

    async def news(self, longest_s: float) -> bool:
        """Wait for something to take, so many seconds at most, and tell whether there is anything."""
        try:
            async with asyncio.timeout(longest_s):
                return await self._bell.wait()
        except TimeoutError:
            return False

    def take(self) -> list[Change] | None:
        """Take what is to be told, in order; None where everything is to be fetched again."""
        taken, is_behind = list(self._waiting.values()), self._is_behind
        if taken:
            self._waiting = {}
        self._is_behind = False
        if not self.has_ended:
            self._bell.clear()
        return None if is_behind else taken

    def close(self) -> None:
        self._leave(self)


class Listeners:
    """Hears outcomes, and tells each to those listeners whose session it is."""

    only = None  # any outcome may be waited for

    def __init__(self) -> None:
        self._by_user: defaultdict[str, set[Listener]] = defaultdict(set)
        self._told = Told()
        self._is_closed = False

    @property
    def are_awaited(self) -> bool:
        """Whether anybody listens."""
        return bool(self._by_user)

    @property
    def user_ids(self) -> list[str]:
        """All whose sessions somebody listens to."""
        return list(self._by_user)

    def open(self, user_ids: Sequence[str]) -> Listener:
        """Let somebody listen, until they close it.

        Raises:
            ShuttingDown: This gateway is about to end.
        """
        if self._is_closed:
            raise ShuttingDown
        listener = Listener(user_ids, asyncio.get_running_loop().time(), self._leave)
        for user_id in listener.user_ids:
            self._by_user[user_id].add(listener)
        LISTENERS.inc()
        return listener

    def _leave(self, listener: Listener) -> None:
        LISTENERS.dec()
        for user_id in listener.user_ids:
            self._by_user[user_id].discard(listener)
            if not self._by_user[user_id]:
                del self._by_user[user_id]

    def hint(self, outcome: Outcome) -> None:
        """Tell an outcome to those who listen to its user."""
        if outcome.user_id not in self._by_user:
            return
        if outcome.session_id is None:
            if isinstance(outcome, SessionTouched):
                self._resync(outcome.user_id)
            return  # else it is an operator's own doing, and no session's
        source, words = told_by(outcome)
        self._told.hear(Place(outcome.user_id, outcome.session_id, source), asyncio.get_running_loop().time())
        for change in changes(outcome.user_id, outcome.session_id, words, datetime.now(UTC)):
            self._tell(change)

    def missed(self) -> None:
        """Have everybody fetch everything again: outcomes may have been lost."""
        for user_id in self._by_user:
            self._resync(user_id)

    def found(self, found: Sequence[Found], looked_at: float) -> None:
        """Tell what a look has found, except what hints have told before."""
        for change, changed_at in self._told.news(found, looked_at):
            self._tell(change, changed_at)

    def close(self) -> None:
        """End every stream, and let nobody listen any more."""
        self._is_closed = True
        for listeners in self._by_user.values():
            for listener in listeners:
                listener.end()

    def _tell(self, change: Change, changed_at: float | None = None) -> None:
        for listener in self._by_user.get(change.user_id, ()):
            if changed_at is None or changed_at > listener.began - SLACK_S:
                listener.tell(change)
                EVENTS.labels(change.name).inc()

    def _resync(self, user_id: str) -> None:
        for listener in self._by_user[user_id]:
            listener.resync()
            EVENTS.labels("resync").inc()
