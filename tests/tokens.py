"""Tokens as the product's login would sign them."""

import time

import jwt

from shared.settings import Settings


def token_for(settings: Settings, user: str, *, role: str = "user", expires_in_s: int = 600) -> str:
    """Sign a token for a caller."""
    claims = {"sub": user, "role": role, "exp": int(time.time()) + expires_in_s}
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), "HS256")
