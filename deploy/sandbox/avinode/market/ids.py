"""Ids in Avinode's form, from a range of our own that no real object has (they start with 900)."""

from datetime import UTC, datetime

_RESERVED = "900"
_BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CODES = len(_ALPHABET) ** 5
_SCATTER = 23_456_789  # Shares no factor with _CODES, so different numbers keep different codes.


def first_number(now: datetime) -> int:
    """Return where a process starts to count: at its start, in tenths of a second.

    The market forgets everything when it stops and its callers do not, so an id must not come a second time.
    """
    return max(1, int((now - _BIRTH).total_seconds() * 10))


class IdMaker:
    """Make ids: `arfq-900280278760`. All kinds share one count, so a lost prefix shows."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def take(self, kind: str) -> str:
        """Take the next id, of a kind."""
        self._next += 1
        return f"{kind}-{_RESERVED}{self._next - 1:09d}"


def trip_code(trip_id: str) -> str:
    """Return the six characters people call a trip by: S for simulated, and five that look like chance."""
    number = int(trip_id.partition("-")[2].removeprefix(_RESERVED))
    scattered, code = number * _SCATTER % _CODES, ""
    for _ in range(5):
        scattered, digit = divmod(scattered, len(_ALPHABET))
        code += _ALPHABET[digit]
    return "S" + code
