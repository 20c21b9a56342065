"""How long the workflow waits for what, in seconds. Tests shorten it."""

from dataclasses import dataclass

from shared.backoff import Backoff


@dataclass(frozen=True)
class Waits:
    idle_s: float = 0.5  # between two looks for work, where nothing has told of any
    first_retry_s: float = 1.0  # doubled with each attempt
    longest_retry_s: float = 300.0
    longest_unmatched_s: float = 6 * 3600.0  # a notice of an unknown trip; it is due at once when the trip turns up
    unmatched_s: float = 30 * 86400.0  # since it came: then a notice of an unknown trip waits for its trip alone
    trip_retry_s: float = 30.0  # until a trip that could not be read is tried again; longer while it fails
    refused_s: float = 300.0  # Avinode asks for 5 to 10 minutes before a retry after 400 or 401
    connect_s: float = 5.0
    answer_s: float = 10.0  # for one call, connecting included
    sending_s: float = 60.0  # well above answer_s: then whoever was sending a request no longer is
    missing_attempts: int = 6  # how often what is missing, or raises, is tried before it is given up

    @property
    def backoff(self) -> Backoff:
        """Before another try, where the database or the broker is away."""
        return Backoff(self.first_retry_s, min(self.first_retry_s * 32, self.longest_retry_s))

    def reread_s(self, failing_s: float) -> float:
        """Return the wait until a trip is read again that could not be read for so long already."""
        return min(max(failing_s, self.trip_retry_s), self.longest_retry_s)

    def retry_s(self, attempts: int, longest_s: float | None = None) -> float:
        """Return the wait after so many attempts in vain."""
        return Backoff(self.first_retry_s, longest_s or self.longest_retry_s).wait_s(attempts)
