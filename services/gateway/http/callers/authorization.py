"""The `Authorization` header: a scheme and what it needs, with any blanks between and around them (RFC 9110, 11.4)."""

from collections.abc import Sequence

from shared.errors import NotAuthenticated


def one_authorization(sent: Sequence[str]) -> str | None:
    """Return the header of a request, of all that it has by this name.

    Raises:
        NotAuthenticated: There are several, of which a proxy may have read another one.
    """
    if len(sent) > 1:
        raise NotAuthenticated("Send one `Authorization` header.")
    return sent[0] if sent else None


def credentials_in(authorization: str) -> tuple[str, str]:
    """Return the scheme in lower case, and its token; both empty where there is none."""
    scheme, _, token = authorization.strip().partition(" ")
    return scheme.lower(), token.strip()
