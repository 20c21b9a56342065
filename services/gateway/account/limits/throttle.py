"""Limit the bursts of one caller, and of all together, on this replica; quotas over days are another matter."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from services.gateway.account.limits.buckets import Buckets, Left, Rate
from services.gateway.http.callers.peer import neighbourhood
from services.gateway.turns.here.counts import TurnCounts
from shared.errors import Crowded, TooMany
from shared.settings import Settings

VISITORS = "from "  # an account that begins so is an address
USERS = "user "


def user_account(user_id: str) -> str:
    """Name a user to the limits."""
    return f"{USERS}{user_id}"


def visitors_account(host: str) -> str:
    """Name all visitors of one address to the limits: a visitor is made in a moment, an address is not."""
    return f"{VISITORS}{neighbourhood(host)}"


class Throttle:
    """How many turns one account may begin a minute and have running at once, and all accounts together."""

    def __init__(self, settings: Settings, running: TurnCounts, buckets: Buckets) -> None:
        self._buckets = buckets
        self._rates = {
            True: Rate(settings.visitor_turns_per_minute, "visitor_turns", "turns and new visitors of one address"),
            False: Rate(settings.turns_per_minute, "turns", "turns"),
        }
        self._looks = {
            True: Rate(settings.visitor_turns_per_minute, "visitor_looks", "looks at turns"),
            False: Rate(settings.turns_per_minute, "looks", "looks at turns"),
        }
        self._calls = Rate(settings.calls_per_minute, "calls", "calls")
        self._guesses = Rate(settings.wrong_keys_per_minute, "wrong_keys", "wrong keys")
        self._at_once = settings.turns_at_once
        self._all_at_once = settings.all_turns_at_once
        self._running = running
        self._following = TurnCounts()
        self._streams_at_once = settings.event_streams_at_once
        self._all_streams = settings.all_event_streams
        self._listening = TurnCounts()

    async def count_call(self, account: str) -> Left:
        """Count a call of any route but the chat's.

        Raises:
            TooMany: It is one too many; `retry_after_s` says when to try again.
        """
        return await self._buckets.take(self._calls, account)

    async def require_guess(self, account: str) -> None:
        """Refuse who may have to be looked up, where too many wrong credentials came from.

        Raises:
            TooMany: As many did as may; `retry_after_s` says when to try again.
        """
        await self._buckets.require(self._guesses, account)

    async def count_guess(self, account: str) -> None:
        """Count credentials from there that were wrong."""
        await self._buckets.count(self._guesses, account)

    async def count_look(self, account: str) -> Left:
        """Count one who follows a turn or stops it: as many as may begin turns, and in a bucket of their own.

        Raises:
            TooMany: It is one too many; `retry_after_s` says when to try again.
        """
        return await self._buckets.take(self._looks[account.startswith(VISITORS)], account)

    def begin_following(self, account: str) -> Callable[[], None]:
        """Count one who follows a turn that another request began, until what is returned is called.

        Raises:
            TooMany: As many of this account do so as it may have turns.
        """
        if self._following.of(account) >= self._at_once:
            raise TooMany(
                f"at most {self._at_once} turns may be followed at once", limit="followed_at_once", retry_after_s=1
            )
        self._following.began(account)
        return partial(self._following.ended, account)

    def begin_listening(self, account: str) -> Callable[[], None]:
        """Count one who listens to events, until what is returned is called.

        Raises:
            TooMany: As many of this account do so as may.
            Crowded: It is one too many of all; an open stream is a connection that makes room for nobody.
        """
        if self._listening.of(account) >= self._streams_at_once:
            raise TooMany(
                f"at most {self._streams_at_once} streams of events may be open at once",
                limit="event_streams_at_once",
                retry_after_s=1,
            )
        listening_visitors = self._listening.of_those(VISITORS) if account.startswith(VISITORS) else 0
        if self._listening.total >= self._all_streams or listening_visitors >= max(1, self._all_streams // 2):
            raise Crowded("This instance has as many streams of events open as it can.")
        self._listening.began(account)
        return partial(self._listening.ended, account)

    async def count_visitor(self, account: str) -> None:
        """Count a visitor who is made for a caller without credentials as a turn from there.

        Raises:
            TooMany: Too many came from there.
        """
        await self._buckets.take(self._rates[True], account)

    @asynccontextmanager
    async def admitted(self, account: str) -> AsyncIterator[Left]:
        """Begin one more turn in the block; at its end the turn runs, or there is none. Say how many may still begin.

        A turn that is just beginning counts as one that runs, or all of a burst would find none running.

        Raises:
            TooMany: It is one too many of this account; `retry_after_s` says when to try again.
            Crowded: It is one too many of all. Visitors may take half of the room, so that users always find some.
        """
        is_visitor = account.startswith(VISITORS)
        if self._running.of(account) >= self._at_once:
            raise TooMany(f"at most {self._at_once} turns may run at once", limit="turns_at_once", retry_after_s=1)
        if self._running.total >= self._all_at_once or (is_visitor and self._has_too_many_visitors()):
            raise Crowded
        with self._running.counting(account):
            yield await self._buckets.take(self._rates[is_visitor], account)

    def _has_too_many_visitors(self) -> bool:
        return self._running.of_those(VISITORS) >= max(1, self._all_at_once // 2)
