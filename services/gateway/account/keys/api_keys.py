"""API keys: `tt_` and 43 characters of chance, shown once to whoever makes them, and known to us by their hash."""

import re
import secrets
from uuid import UUID

from services.gateway.account.limits.throttle import Throttle, visitors_account
from services.gateway.account.standing import Standing, StandingCredentials
from shared.errors import NotAuthenticated
from shared.ids import secret_hash

PREFIX = "tt_"
_KEY = re.compile(r"tt_[A-Za-z0-9_-]{43}")
WRONG = "This key is wrong, or does not stand any more."


def new_key() -> str:
    """Make a key with more chance in it than anybody can try out."""
    return PREFIX + secrets.token_urlsafe(32)


class ApiKeys:
    """Who calls by a key."""

    def __init__(self, keys: StandingCredentials, throttle: Throttle) -> None:
        self._keys = keys
        self._throttle = throttle

    async def find(self, key: str, host: str) -> Standing:
        """Return whose key this is.

        Args:
            key: What a caller sent, which begins as keys do.
            host: Where from: wrong keys are counted there.

        Raises:
            NotAuthenticated: Nobody's, or it does not stand any more.
            TooMany: Too many wrong ones came from there, and this one is not known here.
        """
        if not _KEY.fullmatch(key):
            raise NotAuthenticated(WRONG)
        digest = secret_hash(key)
        if self._keys.remembered(digest) is None:
            await self._throttle.require_guess(visitors_account(host))
        standing = await self._keys.find(digest)
        if standing is None:
            await self._throttle.count_guess(visitors_account(host))
            raise NotAuthenticated(WRONG)
        return standing

    async def stands(self, key_id: UUID) -> bool:
        """Tell whether a key stands that somebody was let in by a while ago."""
        return await self._keys.stands(key_id)

    def recognise(self, key: str) -> Standing:
        """Return whose key this is by what is known here, for who only names them.

        Raises:
            NotAuthenticated: It is not in use here.
        """
        standing = self._keys.remembered(secret_hash(key))
        if standing is None:
            raise NotAuthenticated(WRONG)
        return standing
