"""What a call to Avinode can fail with."""

from shared.errors import Away, TripthreadError


class AvinodeAway(Away):
    """Avinode gives no answer for now."""

    code = "avinode_away"

    def __init__(self, detail: str, *, wait_s: float | None = None, is_acted_on: bool | None = False) -> None:
        super().__init__(detail)
        self.wait_s = wait_s  # what Avinode asked for; 0 is to try again at once, None that it did not say
        self.is_acted_on = is_acted_on  # None: nobody can tell


class AvinodeRefused(TripthreadError):
    """Avinode refuses the call."""

    code = "avinode_refused"


class AvinodeLocked(AvinodeRefused):
    """Avinode does not accept our credentials, whatever we ask for."""

    code = "avinode_locked"


class AvinodeForbidden(AvinodeRefused):
    """Avinode knows us, and does not let us have this."""

    code = "avinode_forbidden"


class AvinodeMissing(AvinodeRefused):
    """Avinode knows no such thing."""

    code = "avinode_missing"


class AvinodeUnclear(TripthreadError):
    """Avinode's answer cannot be read, or does not say what became of the call."""

    code = "avinode_unclear"


class Unreadable(TripthreadError):
    """Avinode's answer is not what it answers for such a resource."""

    code = "avinode_unreadable"
