"""What a signed token says, once its signature is checked."""

import time
from functools import lru_cache
from typing import Any

import jwt
from jwt.types import Options

from shared.errors import NotAuthenticated

MAX_TOKEN_LENGTH = 8192
LEEWAY_S = 60  # of our own tokens, for `iat` and `nbf`: another replica may have a clock that is ahead


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
    return decoded_claims(token, secret, "HS256", audience=audience, issuer=issuer, leeway_s=LEEWAY_S)


def header_of(token: str) -> dict[str, Any]:
    """Return what a token says of itself, of which nothing is proved; its `kid` is a text or None.

    Raises:
        NotAuthenticated: It is too long, or no token.
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("The token is too long.")
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise NotAuthenticated(f"The token is not valid: {error}") from error


def decoded_claims(
    token: str, key: jwt.PyJWK | str, algorithm: str, *, audience: str | None, issuer: str | None, leeway_s: float
) -> dict[str, Any]:
    """Return what a token says that this key has signed; whether it is over is looked at each time it comes.

    Raises:
        NotAuthenticated: It has not, or the token is not for this audience, or its `sub` or `exp` are none.
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise NotAuthenticated("The token is too long.")
    options: Options = {"require": ["sub", "exp"], "verify_aud": audience is not None}
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            leeway=leeway_s,  # also for `exp`, which is looked at again each time, without
            options=options,
        )
    except jwt.PyJWTError as error:
        raise NotAuthenticated(f"The token is not valid: {error}") from error
    if not is_name(claims["sub"]):
        raise NotAuthenticated("`sub` must have 1 to 255 printable characters.")
    if type(claims["exp"]) not in (int, float):
        raise NotAuthenticated("`exp` must be a number.")
    claims["exp"] = int(claims["exp"])
    return claims
