"""Routes whose path names a user: an id that a provider gives may have slashes, which are spelled `%2F` there."""

import re
from urllib.parse import unquote

from starlette.routing import Match
from starlette.types import Scope

from services.gateway.http.requests.strict_route import StrictRoute

_ESCAPED = re.compile("%2f", re.IGNORECASE)
_SLASH = "\ud82f"  # stands for a slash of an id; a surrogate alone, which no escapes spell


class UserRoute(StrictRoute):
    """A route whose path is cut at its slashes before its escapes are read (RFC 3986, section 2.4)."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        written: str = scope.get("raw_path", b"").decode("latin-1")
        if not _ESCAPED.search(written):
            return super().matches(scope)
        match, found = super().matches({**scope, "path": unquote(_ESCAPED.sub(_SLASH, written))})
        if match is not Match.NONE:
            named = found["path_params"].items()
            found["path_params"] = {name: value.replace(_SLASH, "/") for name, value in named}
        return match, found
