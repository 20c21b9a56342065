"""The `Authorization` header: a scheme and what it needs, with any blanks between and around them (RFC 9110, 11.4)."""

from starlette.datastructures import Headers

from shared.errors import NotAuthenticated


def sent_authorization(headers: Headers) -> str | None:
    """Return the header of a request.

    Raises:
        NotAuthenticated: There are several, of which a proxy may have read another one.
    """
    sent = headers.getlist("authorization")
    if len(sent) > 1:
        raise NotAuthenticated("Send one `Authorization` header.")
    return sent[0] if sent else None


def credentials_in(authorization: str) -> tuple[str, str]:
    """Return the scheme in lower case, and its token; both empty where there is none."""
    scheme, _, token = authorization.strip().partition(" ")
    return scheme.lower(), token.strip()
