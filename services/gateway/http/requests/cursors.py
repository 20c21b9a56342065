"""Opaque cursors: where a page of a list ended, for the next page to begin there."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from services.gateway.http.requests.refused_field import refused_field
from shared.errors import Invalid

MAX_LENGTH = 2048  # a user's id may have 255 characters of four bytes

Place = tuple[datetime, str]  # where something stands in a list: its time, and its id among those of that time


def write_cursor(kind: str, *place: str | datetime) -> str:
    """Spell a place in the list `kind`, which tells cursors of several lists apart."""
    texts = [value.isoformat() if isinstance(value, datetime) else value for value in place]
    return urlsafe_b64encode(orjson.dumps([kind, *texts])).rstrip(b"=").decode()


def read_cursor(kind: str, cursor: str) -> tuple[str, ...]:
    """Return the texts that `write_cursor` was given for a list of this kind.

    Raises:
        Invalid: It is not a cursor of this list.
    """
    found, *place = _decoded(cursor)
    if found != kind:
        raise _invalid()
    return tuple(place)


def read_time_cursor(kind: str, cursor: str | None, read_key: Callable[[str], object] = str) -> Place | None:
    """Return the place, a time and an id, in a list that is kept in that order; None without a cursor.

    Args:
        kind: Which list.
        cursor: What a caller sent.
        read_key: Raises ValueError for a text that can't be an id in this list.

    Raises:
        Invalid: It is not a cursor of this list.
    """
    if cursor is None:
        return None
    place = read_cursor(kind, cursor)
    try:
        at, key = place
        read_key(key)
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise _invalid()
        return moment.astimezone(UTC), key
    except (ValueError, OverflowError) as error:  # the latter: a time that no other zone has
        raise _invalid() from error


def _decoded(cursor: str) -> list[str]:
    if len(cursor) > MAX_LENGTH:
        raise _invalid()
    try:
        value: Any = orjson.loads(urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except ValueError as error:  # of base64, of ASCII, of JSON
        raise _invalid() from error
    if not isinstance(value, list) or not value or not all(_is_plain(item) for item in value):
        raise _invalid()
    return value


def _is_plain(item: Any) -> bool:
    return isinstance(item, str) and item.isprintable()


def _invalid() -> Invalid:
    return refused_field("cursor", "is not a cursor of this list")
