"""Tokens as the product's login would sign them."""

import time
from collections.abc import Sequence
from typing import Any

import jwt

from shared.settings import Settings


def token_for(
    settings: Settings,
    user: str,
    *,
    role: str = "user",
    expires_in_s: int = 600,
    projects: Sequence[str] | None = None,
) -> str:
    """Sign a token for a caller, who may be limited to projects."""
    claims: dict[str, Any] = {"sub": user, "role": role, "exp": int(time.time()) + expires_in_s}
    if projects is not None:
        claims["projects"] = list(projects)
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), "HS256")
