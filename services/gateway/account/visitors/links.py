"""Whose a visitor's chats are since they signed in: a link from the visitor to the user. No row of theirs is moved.

A gateway remembers links, and hears of what is new and of what it remembers, all of it together, at most every
`HEARD_EVERY_S`: no request costs a query of its own, and a visitor who has signed in at one gateway is nobody by the
cookie alone at any other a second later.
"""

import asyncio
from datetime import datetime
from time import monotonic
from typing import Any

from services.gateway.account.visitors.store import LinkStore

HEARD_EVERY_S = 0.5
FORGOTTEN_S = 60.0  # of disuse, where there are links
MOST_REMEMBERED = 20_000  # users, and as many visitors
MOST_OWNED = 4_096  # visitors by cookies that are somebody's, since these are asked about each time


class VisitorLinks:
    def __init__(self, store: LinkStore) -> None:
        self._store = store
        self._visitors: dict[str, tuple[str, ...]] = {}  # by user, in the order in which they signed in
        self._used_at: dict[str, float] = {}  # by user, of those that have any
        self._owners: dict[str, str | None] = {}  # by visitor; none: nobody's
        self._owned: set[str] = set()  # those of them that are somebody's
        self._heard_at = float("-inf")
        self._since: datetime | None = None  # by the database's clock, up to when new links were heard of
        self._hearing: asyncio.Task[None] | None = None

    async def of(self, user_id: str) -> tuple[str, ...]:
        """Return the visitors who have signed in as this user."""
        await self._hear()
        visitors = self._visitors.get(user_id)
        if visitors is None:
            visitors = await self._store.of(user_id)
            _make_room(self._visitors)
            self._visitors[user_id] = visitors
        if visitors:
            self._used_at[user_id] = monotonic()
        return visitors

    async def owner_of(self, visitor_id: str) -> str | None:
        """Return the user as whom a visitor has signed in; None where they have not."""
        await self._hear()
        if visitor_id not in self._owners:
            owner = await self._store.owner_of(visitor_id)
            _make_room(self._owners)
            self._own(visitor_id, owner)
        return self._owners.get(visitor_id)

    async def link(self, visitor_id: str, user_id: str) -> str | None:
        """Let a visitor's chats be this user's from now on, where they are nobody's.

        Returns:
            Whose they are; None where this user has as many visitors as they may.
        """
        owner = await self._store.link(visitor_id, user_id)
        self._own(visitor_id, owner)
        if owner is not None:
            self._add(visitor_id, owner)
        return owner

    async def _hear(self) -> None:
        if monotonic() - self._heard_at <= HEARD_EVERY_S:
            return
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._hear_once())
            self._hearing.add_done_callback(_take_note)
        await asyncio.shield(self._hearing)  # others wait for it, too

    async def _hear_once(self) -> None:
        began = monotonic()
        try:
            self._forget_unused(began)
            asked = self._owned.union(*(self._visitors.get(user_id, ()) for user_id in self._used_at))
            links, self._since = await self._store.heard(asked, self._since)
        finally:
            self._hearing = None
        for visitor in {*asked, *links} & self._owners.keys():
            self._own(visitor, links.get(visitor))
        for user_id in self._used_at.keys() & self._visitors.keys():
            self._visitors[user_id] = tuple(
                visitor for visitor in self._visitors[user_id] if visitor not in asked or links.get(visitor) == user_id
            )
        for visitor, owner in links.items():
            self._add(visitor, owner)
        self._heard_at = began

    def _forget_unused(self, now: float) -> None:
        """Ask no more about the visitors of users who have not called for a while."""
        for user_id in [each for each, used_at in self._used_at.items() if now - used_at > FORGOTTEN_S]:
            del self._used_at[user_id]
            self._visitors.pop(user_id, None)
        while len(self._owned) > MOST_OWNED:
            self._owners.pop(self._owned.pop(), None)

    def _own(self, visitor_id: str, owner: str | None) -> None:
        self._owners[visitor_id] = owner
        if owner is None:
            self._owned.discard(visitor_id)
        else:
            self._owned.add(visitor_id)

    def _add(self, visitor_id: str, user_id: str) -> None:
        """Count a visitor among those of a user who is remembered."""
        known = self._visitors.get(user_id)
        if known is not None and visitor_id not in known:
            self._visitors[user_id] = (*known, visitor_id)
            self._used_at.setdefault(user_id, monotonic())


def _make_room(those: dict[str, Any]) -> None:
    if len(those) >= MOST_REMEMBERED:
        del those[next(iter(those))]


def _take_note(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()  # whoever waited for it may have gone
