"""Every error Tripthread raises on purpose.

    TripthreadError
    ├── Refused                  the caller's to mend; an HTTP status of 400 to 499
    │   ├── NotAuthenticated     401
    │   ├── Forbidden            403
    │   │   └── TooManySessions
    │   ├── NotFound             404
    │   │   ├── NoSuchTrip
    │   │   └── NoSuchProposal
    │   ├── Conflict             409
    │   │   ├── SessionBusy
    │   │   ├── NotStoredYet
    │   │   ├── TripOpen
    │   │   │   └── TripUnconfirmed
    │   │   ├── ProposalOutdated
    │   │   ├── ApprovalSettled
    │   │   └── ProposalSettled
    │   │       └── ProposalUnconfirmed
    │   ├── TooSlow              408
    │   ├── Gone                 410
    │   ├── Stale                412
    │   ├── TooLarge             413
    │   ├── UnsupportedMedia     415
    │   ├── Misdirected          421
    │   ├── Invalid              422
    │   ├── TooMany              429
    │   │   └── QuotaUsedUp
    │   └── HeadTooLarge         431
    ├── Away                     transient, worth trying again; 503
    │   ├── BrokerAway
    │   ├── DatabaseAway
    │   ├── ModelAway
    │   ├── KeysAway
    │   ├── Overloaded
    │   ├── TooManyConnections
    │   ├── Crowded
    │   └── ShuttingDown
    └── Poison                   a message that can never succeed; parked with its reason
        ├── Undecodable
        ├── UnknownType
        └── Unstorable

A class's docstring is its default message, `code` the stable name in problem documents.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class TripthreadError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        # Further members of the problem document, for example the running turn of a busy session.
        self.extra: Mapping[str, Any] = extra
        super().__init__(self.detail)


class Refused(TripthreadError):
    """The request cannot be served as it is."""

    status: ClassVar[int] = 400
    code = "bad_request"


class NotAuthenticated(Refused):
    """Credentials are missing, expired or wrong."""

    status = 401
    code = "not_authenticated"


class Forbidden(Refused):
    """These credentials do not allow this."""

    status = 403
    code = "forbidden"


class TooManySessions(Forbidden):
    """There are as many sessions as there may be."""

    code = "too_many_sessions"


class NotFound(Refused):
    """There is no such thing, or it is not yours."""

    status = 404
    code = "not_found"


class NoSuchTrip(NotFound):
    """There is no such trip."""


class NoSuchProposal(NotFound):
    """There is no such proposal."""


class Conflict(Refused):
    """The request conflicts with what is there."""

    status = 409
    code = "conflict"


class SessionBusy(Conflict):
    """This session is answering already."""

    code = "session_busy"


class NotStoredYet(Conflict):
    """What this is about is not stored yet. Try again in a moment."""

    code = "not_stored_yet"


class TripOpen(Conflict):
    """This session has an open trip already."""

    code = "trip_open"


class TripUnconfirmed(TripOpen):
    """Nobody can tell whether Avinode made this session's trip. Look there, and attach that one, or another."""


class TripClosed(Conflict):
    """This trip has ended."""

    code = "trip_closed"


class NotCancelled(Conflict):
    """Avinode does not cancel this trip."""

    code = "not_cancelled"


class TripCancelled(TripClosed):
    """This trip was cancelled before Avinode was asked for it."""

    code = "trip_cancelled"


class ProposalSettled(Conflict):
    """This proposal was sent, or is being sent: it changes no more, and is not sent again."""

    code = "proposal_settled"


class ProposalUnconfirmed(ProposalSettled):
    """Nobody can tell whether this was mailed. Ask there; then mark it as sent by hand, or prepare another."""


class ProposalOutdated(Conflict):
    """An operator has another price by now, or none: change the proposal, which takes the quotes as they stand."""

    code = "proposal_outdated"


class TooSlow(Refused):
    """The request did not come in time."""

    status = 408
    code = "too_slow"


class ApprovalSettled(Conflict):
    """What is to become of this call was said already."""

    code = "approval_settled"


class Gone(Refused):
    """This has ended: it was taken back, or its time is over."""

    status = 410
    code = "gone"


class Stale(Refused):
    """The record has changed since it was read."""

    status = 412
    code = "stale"


class TooLarge(Refused):
    """The body is too large."""

    status = 413
    code = "too_large"


class UnsupportedMedia(Refused):
    """The body's content type is not supported."""

    status = 415
    code = "unsupported_media_type"


class Misdirected(Refused):
    """This server does not go by that name."""

    status = 421
    code = "misdirected"


class Invalid(Refused):
    """The body is not valid."""

    status = 422
    code = "invalid"


class RangeTooWide(Invalid):
    """More happened in this time than can be read at once."""

    code = "range_too_wide"


class TooMany(Refused):
    """Too many requests."""

    status = 429
    code = "too_many_requests"


class QuotaUsedUp(TooMany):
    """What may be used on one day is used up."""

    code = "quota_used_up"


class HeadTooLarge(Refused):
    """The head of the request is too large."""

    status = 431
    code = "head_too_large"


class Away(TripthreadError):
    """Something this needs is away for now."""

    status: ClassVar[int] = 503
    code = "away"
    retry_after_s: ClassVar[int] = 2


class BrokerAway(Away):
    """The message broker is away, so nothing can be accepted for now."""

    code = "broker_away"


class DatabaseAway(Away):
    """The database is away, so nothing can be accepted for now."""

    code = "database_away"


class ModelAway(Away):
    """The model's service is away."""

    code = "model_away"


class KeysAway(Away):
    """The identity provider's keys are not known for now, so nobody can tell whether this token is good."""

    code = "keys_away"


class Overloaded(Away):
    """This instance has more to do at the moment than it has room for."""

    code = "overloaded"


class TooManyConnections(Away):
    """As many callers as can be served at once are being served."""

    code = "too_many_connections"


class Crowded(Away):
    """This instance answers as many questions as it can."""

    code = "crowded"


class ShuttingDown(Away):
    """This instance is shutting down."""

    code = "shutting_down"


class Poison(TripthreadError):
    """This message can never be processed."""

    code = "poison"


class Undecodable(Poison):
    """The body is not an event this consumer knows."""

    code = "undecodable"


class UnknownType(Poison):
    """No event of this type is known here."""

    code = "unknown_type"


class Unstorable(Poison):
    """The database refuses this event's values."""

    code = "unstorable"
