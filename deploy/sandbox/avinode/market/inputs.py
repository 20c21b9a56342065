"""What callers send, read strictly. REST names are Avinode's, the others ours."""

from datetime import date
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from deploy.sandbox.avinode.market.errors import InvalidInputError

T = TypeVar("T")

Text = Annotated[str, Meta(min_length=1, max_length=5_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
CancelReason = Literal["BY_CLIENT", "CHANGED", "BOOKED", "OTHER"]
DeclineReason = Literal[
    "AIRCRAFT_NOT_AVAILABLE",
    "CABOTAGE",
    "CREW_NOT_AVAILABLE",
    "OWNER_DECLINED",
    "UNATTRACTIVE_TRIP",
    "UNKNOWN",
    "OTHER",
]
DECLINE_REASONS: tuple[str, ...] = get_args(DeclineReason)
EventType = Literal[
    "TripRequest",
    "TripRequestSellerResponse",
    "TripRequestMine",
    "TripRequestSellerResponseMine",
    "TripChatFromBuyer",
    "TripChatFromSeller",
    "TripChatMine",
    "EmptyLegs",
    "ClientLeads",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)


class Airport(msgspec.Struct, frozen=True):
    """Name an airport. A code that is no ICAO code is a soft error, not a refusal."""

    icao: Annotated[str, Meta(min_length=1, max_length=10)]


class DateTime(msgspec.Struct, frozen=True):
    """Say when a segment departs, or arrives where `departure` is false."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    time: Annotated[str, Meta(pattern=r"^\d{2}:\d{2}$")] | None = None
    departure: bool = True
    local: bool = True

    def __post_init__(self) -> None:
        """Refuse a day that doesn't exist; msgspec names the place."""
        date.fromisoformat(self.date)


class Segment(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    """One flight of the itinerary."""

    start_airport: Airport
    end_airport: Airport
    date_time: DateTime
    pax_count: Annotated[str, Meta(pattern=r"^\d{1,4}$")] | Annotated[int, Meta(ge=0, le=9999)] = "1"
    pax_segment: bool = True
    pax_tbd: bool = msgspec.field(name="paxTBD", default=False)
    time_tbd: bool = msgspec.field(name="timeTBD", default=False)


class NewTrip(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `POST /api/trips`; the first three are required there."""

    segments: Annotated[list[Segment], Meta(min_length=1, max_length=50)]
    criteria: dict[str, Any]
    sourcing: bool
    external_trip_id: Annotated[str, Meta(max_length=200)] | None = None


class Cancel(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `PUT .../cancel`."""

    reason: CancelReason
    message_to_seller: Annotated[str, Meta(max_length=5_000)] | None = None
    id: str | None = None


class NewWebhook(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `POST /api/webhooks/settings`."""

    target_uri: Annotated[str, Meta(pattern=r"^https?://[^\s]+$", max_length=2_000)] = msgspec.field(name="targetURI")
    display_name: Name
    active: bool = True
    client_identifier: Annotated[str, Meta(max_length=200)] = ""
    client_secret: Annotated[str, Meta(max_length=200)] = ""
    client_authentication_type: Literal["BASIC"] = "BASIC"
    event_types: list[EventType] = msgspec.field(default_factory=lambda: list(EVENT_TYPES))


class RfqsOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Send requests to that many operators not asked yet."""

    operators: Annotated[int, Meta(ge=1, le=26)] = 1


class LiftOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Add another aircraft to an RFQ."""


class QuoteOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quote a price in whole units of the currency; `lift` defaults to the RFQ's first."""

    price: Annotated[int, Meta(gt=0, le=10**9)] | Annotated[float, Meta(gt=0, le=10**9)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = "USD"
    lift: str | None = None
    message: Text = "Simulated offer."


class DeclineOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decline one lift, or the whole RFQ. A reason that Avinode has no code for is told as OTHER, with the words."""

    reason: Name = "OWNER_DECLINED"
    lift: str | None = None
    message: Text | None = None


class ChatOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"author": "from"}):
    """Write a message, as the operator unless said otherwise."""

    message: Text
    author: Literal["seller", "buyer"] = "seller"


class CancelOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cancel, as a colleague at the broker's would in Avinode."""

    reason: CancelReason = "BY_CLIENT"
    message: Text | None = None


class RedeliveryOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Send a delivery once more."""

    id: Annotated[int, Meta(ge=1)]


def read_json(body: bytes, expected: type[T]) -> T:
    """Read a JSON body; an empty one counts as an empty object.

    Raises:
        InvalidInputError: what is wrong, and where.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=expected)
    except (ValueError, RecursionError) as error:
        raise _invalid(error) from error


def read_form(fields: dict[str, str], expected: type[T]) -> T:
    """Read the fields of an HTML form; empty ones count as absent.

    Raises:
        InvalidInputError: what is wrong, and where.
    """
    try:
        return msgspec.convert({name: text for name, text in fields.items() if text}, expected, strict=False)
    except ValueError as error:
        raise _invalid(error) from error


def _invalid(error: Exception) -> InvalidInputError:
    reason, _, path = str(error).partition(" - at `$.")
    return InvalidInputError(reason, path.rstrip("`") or None, is_missing="missing required field" in reason)
