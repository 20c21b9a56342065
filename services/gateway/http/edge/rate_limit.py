"""How much may still be asked for, as the headers of draft-ietf-httpapi-ratelimit-headers-10 say it.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/: `RateLimit-Policy` has what may be had in which
time, `RateLimit` what is left and the seconds until there is more, by the policy's name.
"""

from collections.abc import Mapping

from starlette.types import Scope

from services.gateway.http.edge.middleware import add_headers

POLICY, LIMIT = "RateLimit-Policy", "RateLimit"


def as_headers(kind: str, amount: int, window_s: int, left: tuple[int, int]) -> dict[str, str]:
    """Spell one policy, and what is left of it: how many, and seconds."""
    remaining, resets_s = left
    return {POLICY: f'"{kind}";q={amount};w={window_s}', LIMIT: f'"{kind}";r={remaining};t={resets_s}'}


def tell_limits(scope: Scope, headers: Mapping[str, str]) -> None:
    """Let these go with whatever the answer will be: several policies make several lines, which are one list."""
    add_headers(scope, [(name.lower().encode(), value.encode()) for name, value in headers.items()])
