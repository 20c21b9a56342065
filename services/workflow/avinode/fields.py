"""Pick fields out of JSON that may hold anything.

What is missing or odd is None, and what PostgreSQL can't hold is cleaned.
"""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from services.workflow.avinode.notices import AVINODE_ID

LARGEST_PRICE = Decimal(10) ** 13


def value(data: Any, *path: str) -> Any:
    """Follow the names down; None where the way ends."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def items(data: Any, *path: str) -> list[Any]:
    """Read a list."""
    found = value(data, *path)
    return found if isinstance(found, list) else []


def text(data: Any, *path: str) -> str | None:
    """Read a text."""
    found = value(data, *path)
    return found.replace("\x00", "").encode(errors="replace").decode() if isinstance(found, str) else None


def number(data: Any, name: str) -> int | None:
    """Read a whole number that an integer column can hold."""
    found = value(data, name)
    return found if type(found) is int and abs(found) < 2**31 else None  # True is an int, too


def avinode_id(data: Any) -> str | None:
    """Read a resource's id."""
    found = value(data, "id")
    return found if isinstance(found, str) and AVINODE_ID.fullmatch(found) else None


def linked(data: Any, *path: str) -> list[str]:
    """Read the ids in a list of resources or links, leaving out what has none."""
    return [found for found in map(avinode_id, items(data, *path)) if found is not None]


def moment(data: Any, name: str) -> datetime | None:
    """Read a time; one without an offset is UTC."""
    found = value(data, name)
    if not isinstance(found, str):
        return None
    try:
        time = datetime.fromisoformat(found)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def price(data: Any, name: str) -> tuple[int | None, str | None]:
    """Read a price in cents and its currency; both or neither."""
    amount, currency = value(data, name, "price"), text(data, name, "currency") or ""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None, None
    try:
        exact = Decimal(str(amount))
    except InvalidOperation:
        return None, None
    is_known = len(currency) == 3 and currency.isascii() and currency.isalpha()
    if not is_known or not exact.is_finite() or not 0 <= exact <= LARGEST_PRICE:
        return None, None
    return round(exact * 100), currency.upper()


def deep_link(data: Any, action: str) -> str | None:
    """Read where an action leads, which a browser will follow: only to the web, never `javascript:`."""
    href = text(data, "actions", action, "href")
    try:
        return href if href and urlsplit(href).scheme in ("http", "https") else None
    except ValueError:
        return None
