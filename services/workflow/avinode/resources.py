"""Read Avinode's JSON into facts. Pure, and forgiving: fields may be added, left out or odd; only ids are required.

Field names and their meaning are those of the marketplace API as brokers' systems have met it; where it is known to
be uncertain, a comment says so.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.workflow.avinode import fields
from services.workflow.avinode.errors import Unreadable
from services.workflow.avinode.notices import trip_reference
from services.workflow.facts import Found, Lift, Message, MessageKind, Quote, Rfq

MOST_PASSENGERS = 999


@dataclass(frozen=True)
class Trip:
    """A trip at Avinode, with the RFQs that came with it and links to what did not."""

    avinode_trip_id: str
    trip_code: str | None
    external_trip_id: str | None  # the id that we gave it
    canceled: bool
    deep_link: str | None
    route: list[dict[str, str | None]]
    pax: int | None
    rfqs: tuple["RfqReading", ...]
    rfq_ids: tuple[str, ...]  # linked, but not shown whole
    message_ids: tuple[str, ...]


@dataclass(frozen=True)
class RfqReading:
    """An RFQ with its lifts; the quotes are elsewhere."""

    rfq: Rfq
    lifts: tuple[Lift, ...]
    trip_code: str | None
    quotes_by_lift: dict[str, str]  # quote id -> lift id
    message_ids: tuple[str, ...]

    @property
    def found(self) -> Found:
        return Found(rfqs=(self.rfq,), lifts=self.lifts)


@dataclass(frozen=True)
class MessageReading:
    """A message, and the quote in it."""

    message: Message
    quote: Quote | None
    trip_code: str | None

    @property
    def found(self) -> Found:
        return Found(messages=(self.message,), quotes=(self.quote,) if self.quote else ())


def read_trip(body: Any, at: datetime) -> Trip:
    """Read a trip, as shown or as just created; its code stands beside `data` or inside it."""
    data = _data(body)
    trip_id = trip_reference(data.get("id"))
    if trip_id is None or not trip_id.startswith("atrip-"):
        raise Unreadable("the trip has no id")
    trip_code = trip_reference(fields.value(data, "tripId")) or trip_reference(fields.value(body, "tripId"))
    shown = (_rfq(item, at) for item in fields.items(data, "rfqs") if _is_whole(item))
    whole = tuple(rfq for rfq in shown if rfq.trip_code in (None, trip_code or rfq.trip_code))  # no other trip's
    linked = {*fields.linked(data, "rfqs"), *fields.linked(data, "links", "rfqs")}
    messages = [message_id for reading in whole for message_id in reading.message_ids]
    segments = [item for item in fields.items(data, "segments") if isinstance(item, dict)]
    return Trip(
        avinode_trip_id=trip_id,
        trip_code=trip_code,
        external_trip_id=fields.text(data, "externalTripId"),
        canceled=data.get("canceled") is True,
        deep_link=fields.deep_link(data, "searchInAvinode") or fields.deep_link(data, "viewInAvinode"),
        route=[_leg(segment) for segment in segments],
        pax=_pax(segments),
        rfqs=whole,
        rfq_ids=tuple(sorted(linked - {reading.rfq.rfq_id for reading in whole})),
        message_ids=tuple(dict.fromkeys([*fields.linked(data, "links", "tripmsgs"), *messages])),
    )


def _is_whole(rfq: Any) -> bool:
    return fields.avinode_id(rfq) is not None and isinstance(rfq.get("sellerLift"), list)


def read_rfq(body: Any, at: datetime) -> RfqReading:
    """Read one RFQ."""
    return _rfq(_data(body), at)


def _rfq(data: dict[str, Any], at: datetime) -> RfqReading:
    rfq_id = _required_id(data)
    lifts = [item for item in fields.items(data, "sellerLift") if isinstance(item, dict) and fields.avinode_id(item)]
    return RfqReading(
        rfq=Rfq(
            rfq_id=rfq_id,
            operator_id=fields.text(data, "sellerCompany", "id"),
            operator_name=fields.text(data, "sellerCompany", "displayName"),
            canceled=data.get("canceled") is True,
            fetched_at=at,
        ),
        lifts=tuple(_lift(item, rfq_id, at) for item in lifts),
        trip_code=trip_reference(fields.value(data, "tripId")),
        quotes_by_lift={quote_id: lift["id"] for lift in lifts for quote_id in fields.linked(lift, "links", "quotes")},
        message_ids=tuple(fields.linked(data, "links", "tripmsgs")),
    )


def _lift(data: dict[str, Any], rfq_id: str, at: datetime) -> Lift:
    return Lift(
        lift_id=_required_id(data),
        rfq_id=rfq_id,
        aircraft_type=fields.text(data, "aircraftType"),
        aircraft_category=fields.text(data, "aircraftCategory"),
        aircraft_tail=fields.text(data, "aircraftTail"),
        sourcing_status=fields.number(data, "sourcingStatus"),
        sourcing_display_status=fields.text(data, "sourcingDisplayStatus"),
        fetched_at=at,
    )


def read_quote(body: Any, rfq_id: str, lift_id: str, at: datetime) -> Quote:
    """Read a quote that a lift links to. Without a word on who made it, it counts as an estimate: a seller's own also
    comes in a message of theirs, and an estimate taken for a quote would tell a customer a price nobody gave.
    """
    data = _data(body)
    return _quote(data, rfq_id, lift_id, at, estimate=data.get("avinodeGenerated") is not False)


def _quote(data: dict[str, Any], rfq_id: str, lift_id: str | None, at: datetime, *, estimate: bool) -> Quote:
    price_cents, currency = fields.price(data, "sellerPrice")
    return Quote(
        quote_id=_required_id(data),
        rfq_id=rfq_id,
        lift_id=lift_id,
        estimate=estimate,
        price_cents=price_cents,
        currency=currency,
        message=fields.text(data, "sellerMessage"),
        quoted_at=fields.moment(data, "createdOn"),
        fetched_at=at,
    )


def read_message(body: Any, at: datetime) -> MessageReading:
    """Read a trip message. Only its fields tell a quote, a refusal and a chat apart: Avinode names no kind."""
    data = _data(body)
    message_id, kind = _required_id(data), _kind(data)
    message = Message(
        avinode_message_id=message_id,
        rfq_id=next(iter(fields.linked(data, "links", "rfqs")), None),
        kind=kind,
        sender=_sender(data, message_id),
        content=fields.text(data, "message"),
        reason=fields.text(data, "declineReason") if kind == "decline" else None,
        quote_id=_required_id(data["sellerQuote"]) if kind == "quote" else None,
        lift_ids=tuple(fields.linked(data, "lift")),
        sent_at=fields.moment(data, "createdOn"),
        fetched_at=at,
    )
    quote = _quoted(data["sellerQuote"], message, message.rfq_id) if kind == "quote" and message.rfq_id else None
    return MessageReading(message, quote, trip_reference(data.get("tripId")))


def _quoted(data: dict[str, Any], message: Message, rfq_id: str) -> Quote:
    """Read the seller's quote in a message: as old as the message at least, because a change comes as a message."""
    lift_id = message.lift_ids[0] if len(message.lift_ids) == 1 else None
    quote = _quote(data, rfq_id, lift_id, message.fetched_at, estimate=data.get("avinodeGenerated") is True)
    times = [time for time in (quote.quoted_at, message.sent_at) if time is not None]
    return replace(quote, quoted_at=max(times, default=None), message=quote.message or message.content)


def _kind(data: dict[str, Any]) -> MessageKind:
    if isinstance(data.get("sellerQuote"), dict) and fields.avinode_id(data["sellerQuote"]):
        return "quote"
    return "decline" if data.get("rfqAccepted") is False else "chat"


def is_buyers(message_id: str) -> bool:
    """Tell whether a message's id says that a buyer wrote it; no answer of an operator's is in such a one."""
    return message_id.startswith("abuyermsg-")


def _sender(data: dict[str, Any], message_id: str) -> str | None:
    if is_buyers(message_id):
        return fields.text(data, "buyerAccount", "displayName")
    return fields.text(data, "sellerCompany", "displayName") or fields.text(data, "sellerAccount", "displayName")


def _leg(segment: dict[str, Any]) -> dict[str, str | None]:
    return {
        "from": fields.text(segment, "startAirport", "icao"),
        "to": fields.text(segment, "endAirport", "icao"),
        "date": fields.text(segment, "dateTime", "date"),
        "time": fields.text(segment, "dateTime", "time"),
    }


def _pax(segments: list[dict[str, Any]]) -> int | None:
    """Read the largest passenger count; Avinode's examples write numbers as text."""
    counts = [str(segment.get("paxCount")) for segment in segments]
    numbers = [int(count) for count in counts if count.isascii() and count.isdecimal() and len(count) < 4]
    largest = max(numbers, default=0)
    return largest if 0 < largest <= MOST_PASSENGERS else None


def _data(body: Any) -> dict[str, Any]:
    data = fields.value(body, "data")
    if not isinstance(data, dict):
        raise Unreadable("the answer has no data")
    return data


def _required_id(data: dict[str, Any]) -> str:
    found = fields.avinode_id(data)
    if found is None:
        raise Unreadable("a resource has no id")
    return found
