"""The `Authorization` header: a scheme and what it needs, with any blanks between and around them (RFC 9110, 11.4)."""


def credentials_in(authorization: str) -> tuple[str, str]:
    """Return the scheme in lower case, and its token; both empty where there is none."""
    scheme, _, token = authorization.strip().partition(" ")
    return scheme.lower(), token.strip()
