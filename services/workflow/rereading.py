"""When a trip is read at Avinode again: soon while things happen there, and no more once its flights are over. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

# Dates are local at airports whose zones we do not know, and operators answer late.
AFTER_FLIGHT = timedelta(days=3)


@dataclass(frozen=True)
class Rereading:
    """How often a trip is read that nobody tells us of: notices get lost."""

    first_s: float = 300.0
    longest_s: float = 6 * 3600.0
    active_s: float = 3600.0  # a trip is active for so long after something new: read before the others, where all wait

    def wait_s(self, quiet_s: float, last_flight_on: date | None, today: date) -> float | None:
        """Return the wait until the next reading; None where there is none.

        As long as it has been quiet, a trip is left alone again: so the waits double.

        Args:
            quiet_s: For how long Avinode has had nothing new to say of the trip.
            last_flight_on: The day of the trip's last flight, where it has one.
            today: By the clock that the trip's times are of.
        """
        if last_flight_on is not None and today - last_flight_on > AFTER_FLIGHT:
            return None
        return min(max(quiet_s, self.first_s), self.longest_s)


def last_flight_on(route: Iterable[Mapping[str, str | None]]) -> date | None:
    """Return the day of the last flight of a route, as far as it says days that there are."""
    return max(filter(None, (_day(leg.get("date")) for leg in route)), default=None)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
