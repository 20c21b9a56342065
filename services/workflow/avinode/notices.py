"""Read a notice from Avinode: a pointer to what changed, never the change itself. Pure.

A notice may be forged by whoever has the webhook's password, and our tokens go with every fetch: so what is fetched
is built from the configured base URL and the checked parts of the href, never the href as it came.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from shared.texts.lenient_json import Unreadable, read_json

READ_KINDS = frozenset(("rfqs", "tripmsgs"))  # the collections that say something about a trip
AVINODE_ID = re.compile(r"[A-Za-z]{1,30}-[0-9]{1,30}(-[A-Za-z0-9_.~]{1,60})?")  # Avinode's own pattern for ids in paths
TRIP_CODE = re.compile(r"[A-Za-z0-9]{4,12}")  # six characters in every example seen
_TRIP_ID = re.compile(r"atrip-[0-9]{1,30}", re.IGNORECASE)
_PATH = re.compile(rf"/(?P<kind>[a-z]{{1,40}})/(?P<id>{AVINODE_ID.pattern})")
_QUERY = re.compile(r"[A-Za-z0-9_.~%=&\[\],+-]*")
_PORTS = {"http": 80, "https": 443}
LONGEST_HREF = 1000  # it goes into an index, whose entries end at some 2,700 bytes
_SHOWN_HREF = 500


@dataclass(frozen=True)
class Pointer:
    """A place inside the configured base URL."""

    href: str
    kind: str
    avinode_id: str


@dataclass(frozen=True)
class Notice:
    """What a payload says, and what is to become of it."""

    state: Literal["due", "refused", "ignored", "unreadable"]
    error: str | None = None
    href: str | None = None
    kind: str | None = None
    avinode_id: str | None = None
    trip_code: str | None = None


def read_notice(payload: bytes, base_url: str, *, encoding: str = "", most: int | None = None) -> Notice:
    """Read a webhook's body as answers are read. Unknown fields are ignored; only `href` is required.

    Args:
        payload: As it came.
        base_url: Where it may point to.
        encoding: Its `Content-Encoding`.
        most: Bytes that it may have when it is inflated.
    """
    try:
        body = read_json(payload, encoding=encoding, most=most)
    except Unreadable as why:
        return Notice("unreadable", str(why))
    if not isinstance(body, dict):
        return Notice("refused", "not a JSON object")
    href = body.get("href")
    if not isinstance(href, str):
        return Notice("refused", "no href")
    trip_code = trip_reference(body.get("tripId"))
    pointer = point(href, base_url)
    if pointer is None:
        shown = href[:_SHOWN_HREF].replace("\x00", "").encode(errors="replace").decode()
        is_too_long = len(href) > LONGEST_HREF
        reason = f"longer than {LONGEST_HREF} characters" if is_too_long else "not a resource below AVINODE_BASE_URL"
        return Notice("refused", f"the href is {reason}", shown, trip_code=trip_code)
    state: Literal["due", "ignored"] = "due" if pointer.kind in READ_KINDS else "ignored"
    error = None if state == "due" else f"no use for {pointer.kind}"
    return Notice(state, error, pointer.href, pointer.kind, pointer.avinode_id, trip_code)


def point(href: str, base_url: str) -> Pointer | None:
    """Return the place that `href` names, if it lies inside the base URL: same scheme, host, port and path prefix."""
    if len(href) > LONGEST_HREF:
        return None
    if not href.isascii() or any(not character.isprintable() or character in " \\" for character in href):
        return None  # parsers disagree about these
    try:
        there, base = urlsplit(href), urlsplit(base_url)
        if _origin(there) != _origin(base) or "@" in there.netloc or there.fragment:
            return None
    except ValueError:
        return None
    prefix = base.path.rstrip("/")
    place = _PATH.fullmatch(there.path.removeprefix(prefix)) if there.path.startswith(prefix) else None
    if place is None or not _QUERY.fullmatch(there.query):
        return None
    url = f"{base_url.rstrip('/')}{place[0]}" + (f"?{there.query}" if there.query else "")
    return Pointer(url, place["kind"], place["id"])


def trip_reference(text: object) -> str | None:
    """Spell a trip's id (`atrip-...`) or the code that people see the one way it is stored; None if it is neither."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    if _TRIP_ID.fullmatch(text):
        return text.lower()
    return text.upper() if TRIP_CODE.fullmatch(text) else None


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)
