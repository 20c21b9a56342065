"""Read how long a service wants to be left alone: `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds from now on, not below zero; None where it says nothing that can be read."""
    if not value:
        return None
    try:
        wait_s = float(value) if value.strip().replace(".", "", 1).isdecimal() else _seconds_until(value)
    except ValueError:
        return None
    return max(wait_s, 0.0)


def _seconds_until(http_date: str) -> float:
    then = parsedate_to_datetime(http_date)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (then - datetime.now(UTC)).total_seconds()
