"""Pages of other origins that may call by a token: those that are named, and none by default (Fetch, "CORS protocol").

They are never allowed to send this origin's cookies: a browser then shows them no answer that a cookie has opened.
"""

import re
from collections.abc import Mapping, Sequence

Headers = list[tuple[bytes, bytes]]
METHODS = b"GET, POST, PATCH, DELETE"
SENT = b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Session-Id, "
SENT += b"X-Visitor-Token, X-Request-Id, Traceparent, Tracestate"
SHOWN = b"Content-Disposition, ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Session-Id, "
SHOWN += b"X-Session-Tag, X-Turn-Id, X-RateLimit-Limit-Requests, X-RateLimit-Remaining-Requests, "
SHOWN += b"X-RateLimit-Reset-Requests, X-RateLimit-Limit-Tokens, X-RateLimit-Remaining-Tokens, "
SHOWN += b"X-RateLimit-Reset-Tokens, X-Visitor-Token"
# What OpenAI's SDKs say of themselves with each request, and ever more of it; nothing here goes by it but
# `x-stainless-retry-count` (https://github.com/lidge-jun/opencodex/issues/1773).
OF_SDKS = re.compile(rb"x-stainless-[a-z0-9-]{1,64}|openai-(?:beta|organization|project)|user-agent")
MOST_NAMES = 50
KEPT_S = b"600"  # that a browser asks no more


class Cors:
    def __init__(self, origins: str) -> None:
        """Allow these; there are commas between them."""
        self._origins = frozenset(each.strip().encode() for each in origins.split(",") if each.strip())

    def __bool__(self) -> bool:
        return bool(self._origins)

    def headers(self, given: Mapping[bytes, bytes]) -> Headers:
        """Return what goes with an answer, where other pages may read some."""
        varies = (b"vary", b"Origin")
        origin = given.get(b"origin", b"")
        if origin not in self._origins:
            return [varies]
        return [varies, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", SHOWN)]

    def preflight(self, method: str, given: Mapping[bytes, bytes]) -> Headers | None:
        """Return the answer to a browser that asks what a page may send; None where nobody asks that, or may."""
        asks = method == "OPTIONS" and b"access-control-request-method" in given
        if not asks or given.get(b"origin", b"") not in self._origins:
            return None
        sent = b", ".join((SENT, *_of_sdks(given.get(b"access-control-request-headers", b""))))
        allowed = (b"access-control-allow-methods", METHODS), (b"access-control-allow-headers", sent)
        return [*allowed, (b"access-control-max-age", KEPT_S)]


def _of_sdks(asked: bytes) -> Sequence[bytes]:
    """Return those of the names that a page asks for by which SDKs tell of themselves."""
    names = [name.strip().lower() for name in asked.split(b",", MOST_NAMES)[:MOST_NAMES]]
    return [name for name in names if OF_SDKS.fullmatch(name)]
