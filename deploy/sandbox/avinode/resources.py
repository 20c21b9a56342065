"""Avinode's JSON: the envelope and each resource, in the fields a reader of the real API has seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from deploy.sandbox.avinode.market.trips import Lift, Message, Quote, Rfq, Trip

Json = dict[str, object]

_BUYER_COMPANY: Json = {"id": "acompany-900001", "displayName": "Demo Broker (simulated)"}
_BUYER_ACCOUNT: Json = {"id": "aaccount-900001", "displayName": "Demo User (simulated)"}
_NO_REGION = "IJQX"


def envelope(data: object, errors: Iterable[Json] = ()) -> Json:
    """Wrap data the way every answer is; errors may come with it."""
    return {"meta": {"errors": list(errors), "warnings": [], "infos": []}, "data": data}


def page(items: Sequence[Json], size: int, number: int) -> Json:
    """Wrap one page of a list, numbered from 0."""
    pagination = {"batchSize": size, "pageNumber": number, "totalCount": len(items)}
    meta = {"errors": [], "warnings": [], "infos": [], "pagination": pagination}
    return {"meta": meta, "data": list(items[number * size : (number + 1) * size])}


def error_envelope(title: str, code: str, path: str | None = None) -> Json:
    """Return an answer that is only an error."""
    error: Json = {"title": title, "code": code}
    if path is not None:
        error["path"] = path
    return {"meta": {"errors": [error], "warnings": [], "infos": []}}


@dataclass(frozen=True, slots=True)
class Links:
    """Make hrefs: the API's for programs, the page's for people."""

    api_base: str
    ui_base: str

    def href(self, kind: str, object_id: str) -> str:
        """Return where an object is read."""
        return f"{self.api_base}/api/{kind}/{object_id}"

    def reference(self, kind: str, object_id: str) -> Json:
        """Return a link to an object."""
        return {"id": object_id, "href": self.href(kind, object_id), "type": kind}

    def trip_page(self, trip: Trip) -> str:
        """Return the deep link of a trip."""
        return f"{self.ui_base}/ui/trips/buying/{trip.id}"


def created_trip_json(trip: Trip, links: Links) -> Json:
    """Return the data of a trip just created."""
    return {**links.reference("trips", trip.id), "tripId": trip.code, "actions": _trip_actions(trip, links)}


def trip_json(trip: Trip, links: Links) -> Json:
    """Return a trip with its RFQs embedded. `canceled` is our guess: no page shows a trip's own status."""
    messages = [message for rfq in trip.rfqs for message in rfq.messages]
    return {
        **created_trip_json(trip, links),
        "externalTripId": trip.wanted.external_trip_id,
        "segments": _segments(trip),
        "criteria": trip.wanted.criteria,
        "sourcing": trip.wanted.sourcing,
        "canceled": trip.is_canceled,
        "createdOn": _iso(trip.created_at),
        "buyerCompany": _BUYER_COMPANY,
        "buyerAccount": _BUYER_ACCOUNT,
        "rfqs": [rfq_json(rfq, links) for rfq in trip.rfqs],
        "links": {
            "rfqs": [links.reference("rfqs", rfq.id) for rfq in trip.rfqs],
            "tripmsgs": [links.reference("tripmsgs", message.id) for message in messages],
        },
    }


def rfq_json(rfq: Rfq, links: Links) -> Json:
    """Return an RFQ with its lifts."""
    return {
        **links.reference("rfqs", rfq.id),
        "tripId": rfq.trip.code,
        "canceled": rfq.is_canceled,
        "createdOn": _iso(rfq.created_at),
        "buyerCompany": _BUYER_COMPANY,
        "buyerAccount": _BUYER_ACCOUNT,
        "sellerCompany": _seller(rfq),
        "segments": _segments(rfq.trip),
        "sellerLift": [_lift_json(lift, links) for lift in rfq.lifts],
        "links": {
            "trips": [links.reference("trips", rfq.trip.id)],
            "tripmsgs": [links.reference("tripmsgs", message.id) for message in rfq.messages],
        },
        "actions": {"viewInAvinode": _action("viewInAvinode", "View in Avinode", "GET", links.trip_page(rfq.trip))},
    }


def quote_json(quote: Quote, links: Links) -> Json:
    """Return a quote; `avinodeGenerated` tells an estimate from an operator's word."""
    aircraft = quote.lift.aircraft
    return {
        **links.reference("quotes", quote.id),
        "avinodeGenerated": quote.is_estimate,
        "sellerPrice": _price(quote),
        "sellerCompany": _seller(quote.lift.rfq),
        "sellerMessage": quote.message,
        "lift": {**_aircraft_json(quote.lift), "maxPax": aircraft.max_pax},
        "createdOn": _iso(quote.created_at),
    }


def message_json(message: Message, links: Links) -> Json:
    """Return a message; only its fields tell a quote, a refusal and a chat apart."""
    rfq = message.rfq
    body: Json = {
        **links.reference("tripmsgs", message.id),
        "tripId": rfq.trip.code,
        "message": message.text,
        "createdOn": _iso(message.created_at),
        "sellerCompany": _seller(rfq),
        "buyerAccount": _BUYER_ACCOUNT,
        "links": {"rfqs": [links.reference("rfqs", rfq.id)]},
    }
    if message.author == "seller":
        body["sellerAccount"] = {"displayName": f"Seller at {rfq.operator.name}"}
    if message.accepted is not None:
        body["rfqAccepted"] = message.accepted
        body["lift"] = [_lift_json(lift, links) for lift in message.lifts]
    if message.quote is not None:
        body["sellerQuote"] = {
            "id": message.quote.id,
            "sellerPrice": _price(message.quote),
            "createdOn": _iso(message.quote.created_at),
        }
    if message.decline_reason is not None:
        body["declineReason"] = message.decline_reason
    return body


def soft_errors(trip: Trip) -> list[Json]:
    """Say which airports are no ICAO codes: the trip is saved all the same."""
    found: list[Json] = []
    for index, segment in enumerate(trip.wanted.segments):
        for end, code in (("start", segment.start_airport.icao), ("end", segment.end_airport.icao)):
            if not _is_icao(code):
                error = {"title": f"The airport '{code}' is unknown", "code": f"{end.upper()}_AIRPORT_INVALID"}
                found.append({**error, "path": f"segments[{index}].{end}Airport.icao"})
    return found


def _is_icao(code: str) -> bool:
    is_letters = len(code) == 4 and code.isascii() and code.isalpha() and code.isupper()
    return is_letters and code[0] not in _NO_REGION and code != "ZZZZ"


def _segments(trip: Trip) -> list[Json]:
    segments: list[Json] = msgspec.to_builtins(trip.wanted.segments)
    return [{**segment, "paxCount": str(segment["paxCount"])} for segment in segments]


def _lift_json(lift: Lift, links: Links) -> Json:
    return {
        "id": lift.id,
        **_aircraft_json(lift),
        "sourcingStatus": int(lift.status),
        "sourcingDisplayStatus": lift.status.name.capitalize(),
        "links": {"quotes": [links.reference("quotes", quote.id) for quote in lift.current_quotes]},
    }


def _aircraft_json(lift: Lift) -> Json:
    aircraft = lift.aircraft
    return {
        "aircraftType": aircraft.type,
        "aircraftCategory": aircraft.category,
        "aircraftTail": aircraft.tail,
    }


def _seller(rfq: Rfq) -> Json:
    return {"id": rfq.operator.id, "displayName": rfq.operator.name}


def _price(quote: Quote) -> Json:
    return {"price": quote.price, "currency": quote.currency}


def _trip_actions(trip: Trip, links: Links) -> Json:
    search = f"{links.ui_base}/ui/search/load/{trip.id}"
    cancel = f"{links.href('trips', trip.id)}/cancel"
    actions = [
        _action("searchInAvinode", "Start a search in Avinode", "GET", search),
        _action("viewInAvinode", "View in Avinode", "GET", links.trip_page(trip)),
    ]
    if not trip.is_canceled:
        actions.append(_action("cancel", "Cancel", "PUT", cancel))
    return {str(action["type"]): action for action in actions}


def _action(kind: str, description: str, method: str, href: str) -> Json:
    return {"type": kind, "description": description, "httpMethod": method, "href": href}


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
