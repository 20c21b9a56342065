"""Browsers that are signed in: a cookie of chance, known to us by its hash, good for 12 hours from its last renewal."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.gateway.account.limits.throttle import Throttle, visitors_account
from services.gateway.account.logins.links import LoginLink
from services.gateway.account.logins.store import LASTS_S, RENEWED_S, LoginStore
from services.gateway.account.standing import Standing, StandingCredentials
from services.gateway.http.callers.cookies import kept_cookie
from shared.ids import secret_hash
from shared.settings import Settings

LOGIN_COOKIE = "login"
MOST_COOKIES = 3  # that are looked up: another page may have set some beside ours
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Login:
    """A browser that is signed in, and the cookie that shows it."""

    value: str
    standing: Standing

    @property
    def is_ageing(self) -> bool:
        return self.standing.identity.expires_at - time.time() < RENEWED_S


class Logins:
    """Who calls by a browser that is signed in."""

    def __init__(self, store: LoginStore, known: StandingCredentials, throttle: Throttle) -> None:
        self.store = store
        self._known = known
        self._throttle = throttle

    async def find(self, cookies: Sequence[str], host: str) -> Login | None:
        """Return the first that stands; a cookie that does not counts as none.

        Raises:
            TooMany: Too many wrong ones came from this host, and this one is not known here.
        """
        for value in _possible(cookies):
            digest = secret_hash(value)
            if self._known.remembered(digest) is None:
                await self._throttle.require_guess(visitors_account(host))
            standing = await self._known.find(digest)
            if standing is not None:
                return Login(value, standing)
            await self._throttle.count_guess(visitors_account(host))
        return None

    def recognise(self, cookies: Sequence[str]) -> Login | None:
        """Return the first that is known here, for who only names it."""
        for value in _possible(cookies):
            standing = self._known.remembered(secret_hash(value))
            if standing is not None:
                return Login(value, standing)
        return None

    async def open(self, link: LoginLink) -> str | None:
        """Use a link up, and return the cookie's value; None where it was used before."""
        value = secrets.token_urlsafe(32)
        return value if await self.store.open(link, secret_hash(value)) else None

    async def renew(self, login: Login) -> bool:
        """Let it last from now on, and tell whether it does."""
        digest = secret_hash(login.value)
        self._known.forget(digest)  # what is remembered has its older end
        return await self.store.renew(digest)

    async def end(self, cookies: Sequence[str]) -> None:
        """End whatever these show; here it counts no more from now on, elsewhere within a second."""
        for value in _possible(cookies):
            await self.store.end(secret_hash(value))
            self._known.forget(secret_hash(value))

    async def stands(self, login_id: UUID) -> bool:
        """Tell whether one stands that somebody was let in by a while ago."""
        return await self._known.stands(login_id)


def login_cookie_name(settings: Settings) -> str:
    """Name the cookie: in production so that a browser takes it from this very host only, by HTTPS."""
    return f"__Host-{LOGIN_COOKIE}" if settings.environment == "production" else LOGIN_COOKIE


def login_cookie(value: str, settings: Settings) -> tuple[bytes, bytes]:
    """Spell the header that makes a browser keep the cookie; without a value, let it go."""
    return kept_cookie(login_cookie_name(settings), value, LASTS_S if value else 0, settings)


def _possible(cookies: Sequence[str]) -> list[str]:
    return [value for value in cookies if _VALUE.fullmatch(value)][:MOST_COOKIES]
