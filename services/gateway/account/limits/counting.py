"""Whose turns and sessions count against which quota.

A gateway remembers what administrators have said of users, and hears of what is new every `HEARD_EVERY_S`. What was
used is in the database, where it is counted with whatever uses it. Of those who have no quota nothing is counted there.

All visitors of one address are one user, as with bursts: else who drops a cookie would begin a new day. An address is
kept as a keyed hash, for a day.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import structlog

from services.gateway.account.limits.quota import (
    KINDS,
    UNLIMITED,
    Quota,
    erased_name,
    quota_of_addresses,
    quota_of_users,
)
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.account.limits.refusals import Refusals
from services.gateway.account.limits.throttle import USERS, VISITORS
from services.gateway.account.visitors.links import VisitorLinks
from services.gateway.turns import quota as claimed
from shared.backoff import pause
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway
from shared.settings import Settings

HEARD_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class Counting:
    """The worker that hears of quotas and notes refusals, and what it knows of them."""

    def __init__(self, settings: Settings, store: QuotaStore, links: VisitorLinks, refusals: Refusals) -> None:
        self._store = store
        self._refusals = refusals
        self._links = links
        self._usual = quota_of_users(settings)
        self._of_addresses = quota_of_addresses(settings)
        self._secret = settings.cookie_secret.get_secret_value().encode()
        self._said: dict[str, Quota] = {}  # of users of whom anything is said
        self._since: datetime | None = None  # up to when; none: nothing was heard yet
        self._stopping = asyncio.Event()

    async def quota_of(self, user_id: str, account: str) -> claimed.Quota | None:
        """Return what a user's turn or session counts against, by the account that asks; none: nothing.

        Args:
            user_id: The owner of the session: of a visitor's, the visitor.
            account: As `account_of` names it; empty: nobody asks, so it counts for nobody.
        """
        if not account:
            return None
        if self._since is None:
            await self.hear()
        if not self._said and self._usual == UNLIMITED == self._of_addresses:
            return None
        if account.startswith(VISITORS):
            return self._of_visitor(user_id, account)
        return await self._of_user(account.removeprefix(USERS))

    @asynccontextmanager
    async def counted(self, user_id: str, account: str, session_id: str) -> AsyncIterator[None]:
        """Count a fork that is accepted in the block, once for all its repeats; not where nothing was accepted.

        Raises:
            QuotaUsedUp, TooManySessions: Whoever asks has begun, or has, as many sessions as they may.
        """
        quota = await self.quota_of(user_id, account)
        if quota is None:
            yield
            return
        used_up = await self._store.count_fork(quota, session_id)
        if used_up is not None:
            raise used_up.refusal(quota)
        try:
            yield
        except BrokerAway:
            await self._store.uncount_fork(quota, session_id)
            raise

    def limits_of(self, user_id: str) -> Quota:
        """Return how much one user may do."""
        own = self._said.get(user_id) or self._said.get(erased_name(user_id)) or UNLIMITED
        return own.over(self._usual)

    def heard(self, user_id: str, quota: Quota) -> None:
        """Take note of what was just said of a user here."""
        self._keep(user_id, quota)

    async def hear(self) -> None:
        """Take note of what was said anywhere since the last time."""
        found, self._since = await self._store.said(self._since)
        for each in found:
            self._keep(each.user_id, each.quota)

    def _keep(self, user_id: str, quota: Quota) -> None:
        # One that was taken back is kept too: it counts more than what was said before its user was erased.
        self._said[user_id] = quota

    def _of_visitor(self, visitor_id: str, account: str) -> claimed.Quota | None:
        address = _spelled(self._of_addresses)
        if address is not None:
            digest = hmac.digest(self._secret, f"tripthread/address/{account}".encode(), "sha256")
            name = f"{VISITORS}{digest[:16].hex()}"
            address |= {"by": name, "with": [name], "prefix": "visitor_"}
        quota = _spelled(self.limits_of(visitor_id))
        if quota is None and address is None:
            return None
        return {**(quota or {}), "by": visitor_id, "with": [visitor_id, erased_name(visitor_id)], "address": address}

    async def _of_user(self, user_id: str) -> claimed.Quota | None:
        quota = _spelled(self.limits_of(user_id))
        if quota is None:
            return None
        visitors = await self._links.of(user_id)
        return {**quota, "by": user_id, "with": [user_id, erased_name(user_id), *visitors]}

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.hear()
                await self.note_refusals()
            except (*DATABASE_ERRORS, TimeoutError) as error:
                log.debug("quotas not heard of", error=describe(error))
            await pause(HEARD_EVERY_S, self._stopping)
        with suppress(*DATABASE_ERRORS, TimeoutError):
            await self.note_refusals()

    async def note_refusals(self) -> None:
        """Note of each user how many requests were refused since the last time, in one statement."""
        counts = self._refusals.take()
        if not counts:
            return
        try:
            await self._store.add_refused(counts)
        except BaseException:
            self._refusals.give_back(counts)
            raise

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        """Nothing: what was heard last counts on."""
        return None

    def __str__(self) -> str:
        return "quotas"


def _spelled(quota: Quota) -> claimed.Quota | None:
    """Spell a quota as a claim has it; none where it limits nothing."""
    spelled = {name: most for name in KINDS if (most := getattr(quota, name)) is not None}
    return spelled or None
