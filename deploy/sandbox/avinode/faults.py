"""The faults a tester can switch on: in what is delivered, and in what REST answers."""

from typing import Annotated

import msgspec
from msgspec import Meta

Milliseconds = Annotated[int, Meta(ge=0, le=600_000)]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set of faults. Deliveries take the set of the moment they are announced."""

    duplicate: Annotated[int, Meta(ge=0, le=100)] = 0
    """Each notice is delivered this many times more."""
    shuffle: bool = False
    """Notices of a quarter of a second are delivered in another order."""
    delay_ms: Milliseconds = 0
    """Notices wait this long."""
    drop: bool = False
    """Notices are never sent, as after 48 hours in vain; redelivery still can."""
    without_trip_id: bool = False
    """Bodies have no tripId, as in the older documentation."""
    first_without_auth: bool = False
    """A first attempt has no credentials; a 401 is answered with them at once."""
    rest_status: Annotated[int, Meta(ge=200, le=599)] | None = None
    """REST calls take no effect and answer this status; 429 and 503 come with Retry-After, 200 with `meta.errors`."""
    rest_hang_ms: Milliseconds = 0
    """REST calls take effect, but their answer waits this long."""

    page_size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Lists come in pages of so many at most, whatever is asked for."""

    def __post_init__(self) -> None:
        """Refuse a status that is no fault; msgspec makes it a validation error."""
        if self.rest_status is not None and 200 < self.rest_status < 400:
            msg = "rest_status is 200 or from 400 to 599"
            raise ValueError(msg)


class FaultSwitch:
    """Hold the set in force."""

    def __init__(self) -> None:
        self.current = Faults()
