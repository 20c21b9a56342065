"""Visitors: people without an account, whom a signed token shows to be the same ones.

A browser keeps the token in a cookie by itself; a client that keeps it elsewhere sends it as its bearer token.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import jwt

from services.gateway.account.tokens.jwt import current_claims
from services.gateway.http.callers.cookies import kept_cookie
from shared.errors import NotAuthenticated
from shared.ids import new_id
from shared.settings import Settings

VISITOR_COOKIE = "visitor"
VISITOR_PREFIX = "visitor_"
VISITOR_LIFETIME_S = 30 * 24 * 3600
RENEWED_S = VISITOR_LIFETIME_S // 2  # who comes with less than this left is given a new token
# Both tokens may be signed with one secret in development, so each says what it is for.
VISITOR_AUDIENCE = "tripthread/visitor"
# Where a bearer finds the next one, and where a client without cookies that signs in says which visitor it was.
TOKEN_HEADER = "X-Visitor-Token"  # noqa: S105


@dataclass(frozen=True)
class VisitorToken:
    """A visitor, and what shows them to be the same one."""

    visitor_id: str
    value: str
    expires_at: int  # in seconds since 1970
    is_replaced: bool = False  # the secret that signed it

    @property
    def is_ageing(self) -> bool:
        return self.is_replaced or self.expires_at - time.time() < RENEWED_S


def new_visitor(settings: Settings) -> VisitorToken:
    return token_of(f"{VISITOR_PREFIX}{new_id()}", settings)


def token_of(visitor_id: str, settings: Settings) -> VisitorToken:
    """Sign that somebody is this visitor, from now on for `VISITOR_LIFETIME_S`."""
    expires_at = int(time.time()) + VISITOR_LIFETIME_S
    claims = {"sub": visitor_id, "aud": VISITOR_AUDIENCE, "exp": expires_at}
    return VisitorToken(visitor_id, jwt.encode(claims, settings.cookie_secret.get_secret_value(), "HS256"), expires_at)


def read_visitor(value: str, settings: Settings) -> VisitorToken | None:
    """Return whom a token shows; None where we did not sign it for a visitor, or it has expired, or there are none."""
    if not settings.visitors_allowed:
        return None
    for place, secret in enumerate(settings.cookie_secrets):
        try:
            claims = current_claims(value, secret, VISITOR_AUDIENCE)
        except NotAuthenticated:
            continue
        visitor_id: str = claims["sub"]
        if visitor_id.startswith(VISITOR_PREFIX):
            return VisitorToken(visitor_id, value, claims["exp"], is_replaced=place > 0)
    return None


def first_visitor(cookies: Iterable[str], settings: Settings) -> VisitorToken | None:
    """Return the first that is a visitor's: the others may be another site's doing."""
    return next((visitor for cookie in cookies if (visitor := read_visitor(cookie, settings))), None)


def visitor_cookie_name(settings: Settings) -> str:
    """Name the cookie: in production so that a browser takes it from this very host only, by HTTPS."""
    return f"__Host-{VISITOR_COOKIE}" if settings.environment == "production" else VISITOR_COOKIE


def cookie_header(token: VisitorToken, settings: Settings) -> tuple[bytes, bytes]:
    """Spell the header that makes a browser keep a visitor."""
    return kept_cookie(visitor_cookie_name(settings), token.value, VISITOR_LIFETIME_S, settings)


def token_header(token: VisitorToken) -> tuple[bytes, bytes]:
    """Spell the header that tells a client which token to keep from now on."""
    return TOKEN_HEADER.lower().encode(), token.value.encode()
