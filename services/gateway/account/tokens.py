"""What a signed token says, once its signature is checked."""

import time
from functools import lru_cache
from typing import Any

import jwt
from jwt.types import Options

from shared.errors import NotAuthenticated

MAX_TOKEN_LENGTH = 8192
LEEWAY_S = 60  # for `iat` and `nbf`: whoever signs may have a clock that is ahead of ours


def current_claims(token: str, secret: str, audience: str | None, issuer: str | None = None) -> dict[str, Any]:
    """Return what a token says: `sub` is a name, and `exp` is to come.

    Raises:
        NotAuthenticated: It is not signed with this secret, or not for this audience, or has expired.
    """
    claims = _verified_claims(token, secret, audience, issuer)
    if claims["exp"] <= time.time():
        raise NotAuthenticated("The token has expired.")
    return claims


def is_name(text: str) -> bool:
    return 1 <= len(text) <= 255 and text.isprintable()


@lru_cache(maxsize=2048)
def _verified_claims(token: str, secret: str, audience: str | None, issuer: str | None) -> dict[str, Any]:
    """Check everything that does not change with time; kept, since it takes longer than all else here together."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("The token is too long.")
    options: Options = {"require": ["sub", "exp"], "verify_aud": audience is not None}
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S,  # also for `exp`, which is looked at again each time, without
            options=options,
        )
    except (jwt.PyJWTError, OverflowError) as error:  # the latter: an `exp` of infinity
        raise NotAuthenticated(f"The token is not valid: {error}") from error
    if not is_name(claims["sub"]):
        raise NotAuthenticated("`sub` must have 1 to 255 printable characters.")
    claims["exp"] = int(claims["exp"])
    return claims
