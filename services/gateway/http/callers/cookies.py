"""Cookies: all of one name, since another path's page, or a sister site, may have set one beside ours; and ours."""

from starlette.requests import HTTPConnection

from shared.settings import Settings


def cookie_values(request: HTTPConnection, name: str) -> list[str]:
    """Return the values of every cookie of this name in the order they came; browsers send the nearest path first."""
    values = []
    for header in request.headers.getlist("cookie"):
        if name in header:  # most have none, or not ours
            pairs = (pair.strip().partition("=") for pair in header.split(";"))
            values += [value.strip().strip('"') for key, _, value in pairs if key.strip() == name]
    return values


def kept_cookie(name: str, value: str, kept_s: int, settings: Settings) -> tuple[bytes, bytes]:
    """Spell the header that makes a browser keep a cookie of ours for so long; the value has nothing to be quoted."""
    secure = "; Secure" if settings.environment == "production" else ""
    return b"set-cookie", f"{name}={value}; Path=/; Max-Age={kept_s}; HttpOnly; SameSite=Lax{secure}".encode()
