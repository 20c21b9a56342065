"""One-time login links: signed, good for a short while, and used up by the first who presses the page's button.

Nothing is kept of a link until it is used, so whoever makes them needs the secret alone; that it was used is a row.
"""

import hmac
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt

from services.gateway.account.rights import Role
from services.gateway.account.tokens.claims import NEVER
from services.gateway.account.tokens.jwt import current_claims
from services.gateway.account.visitors.cookies import VISITOR_PREFIX
from shared.errors import Gone, NotAuthenticated
from shared.settings import Settings

PATH = "/api/auth/login"
AUDIENCE = "tripthread/login"


@dataclass(frozen=True)
class LoginLink:
    """What a link lets somebody be."""

    digest: bytes  # by which its use is known
    user_id: str
    role: Role
    made_at: float  # in seconds since 1970, as its end
    expires_at: float


def login_token(settings: Settings, user_id: str, role: Role, lasts_s: float) -> str:
    """Sign that whoever brings this first is this user."""
    now = time.time()
    claims = {"sub": user_id, "role": role, "aud": AUDIENCE, "iat": now, "exp": now + lasts_s}
    return jwt.encode(claims | {"jti": secrets.token_urlsafe(16)}, _key(settings.cookie_secrets[0]), "HS256")


def login_link(settings: Settings, url: str, user_id: str, role: Role, lasts_s: float) -> str:
    """Make a link to a gateway that browsers reach at this URL."""
    return f"{url.rstrip('/')}{PATH}?token={login_token(settings, user_id, role, lasts_s)}"


def read_login(token: str, settings: Settings) -> LoginLink:
    """Return what a link lets somebody be, who may have been somebody already.

    Raises:
        Gone: We have not made it, or its time is over.
    """
    claims = next(filter(None, (_claims(token, secret) for secret in settings.cookie_secrets)), None)
    if claims is None:
        raise Gone("This link is not good any more: ask for another one.")
    if claims["sub"].startswith(VISITOR_PREFIX):
        raise Gone("Nobody signs in as a visitor.")
    return LoginLink(
        # Of what is signed: a signature can be spelled in two ways, with and without its padding.
        sha256(token.rpartition(".")[0].encode()).digest(),
        claims["sub"],
        claims["role"],
        claims["iat"],
        min(claims["exp"], NEVER),
    )


def _claims(token: str, secret: str) -> dict[str, Any] | None:
    try:
        return current_claims(token, _key(secret), AUDIENCE)
    except NotAuthenticated:
        return None


def _key(secret: str) -> str:
    """Return what signs these and nothing else."""
    return hmac.new(secret.encode(), b"tripthread/login-link", sha256).hexdigest()
