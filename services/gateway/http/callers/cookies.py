"""All cookies of one name: a page of another path, or of a sister site, may have set one beside ours."""

from starlette.requests import HTTPConnection


def cookie_values(request: HTTPConnection, name: str) -> list[str]:
    """Return the values of every cookie of this name in the order they came; browsers send the nearest path first."""
    values = []
    for header in request.headers.getlist("cookie"):
        if name in header:  # most have none, or not ours
            pairs = (pair.strip().partition("=") for pair in header.split(";"))
            values += [value.strip().strip('"') for key, _, value in pairs if key.strip() == name]
    return values
