"""The pages a person sees behind a deep link. Plain HTML: no script, nothing fetched from elsewhere."""

from deploy.sandbox.avinode.market.inputs import DECLINE_REASONS
from deploy.sandbox.avinode.market.operators import OPERATORS
from deploy.sandbox.avinode.market.trips import Lift, Message, Rfq, Trip
from deploy.sandbox.avinode.pages.html import Html, document, joined, tag

_OFFERED_OPERATORS = 6
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
.simulated { border: 2px dashed; padding: .5rem 1rem; font-weight: 600; }
section { border-top: 1px solid; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid; padding: .25rem .5rem; text-align: left; }
form { display: inline-block; vertical-align: top; margin: 0 1rem .5rem 0; }
fieldset { margin: .5rem 0; }
label { display: block; min-height: 1.75rem; }
nav a, li a { display: inline-block; min-height: 1.75rem; }
input, select, button { font: inherit; padding: .25rem .5rem; max-width: 100%; min-height: 2.25rem; }
input[type=checkbox] { min-height: 0; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
/* On a telephone a row is a block, and each cell says what it is; by their roles they stay a table. */
@media (max-width: 40rem) {
  table, caption, tbody, tr, td { display: block; border: 0; text-align: left; }
  tr { border: 1px solid; margin-bottom: .5rem; }
  tr:has(th) { display: none; }
  td::before { content: attr(data-name) ": "; font-weight: 600; }
}
"""
_LIFT = ("Aircraft", "Tail", "Status", "Avinode's estimate", "Operator's quote")
_BANNER = tag(
    "p", "Simulated Avinode: a part of Tripthread's sandbox. No operator is real, nothing is sent.", class_="simulated"
)


def trips_page(trips: list[Trip]) -> str:
    """Show a list of all trips."""
    rows = [tag("li", tag("a", f"{trip.code}: {_route(trip)}", href=f"/ui/trips/buying/{trip.id}")) for trip in trips]
    shown = tag("ul", *rows) if rows else tag("p", "No trip has been created yet.")
    return _page("Trips", tag("h1", "Trips"), shown)


def trip_page(trip: Trip) -> str:
    """Show a trip: choose operators and ask them, then answer as each of them would."""
    return _page(
        f"Trip {trip.code}",
        tag("nav", tag("a", "All trips", href="/ui/trips")),
        tag("h1", f"Trip {trip.code}"),
        tag("p", f"{_route(trip)}. Id: {trip.id}. ", "Canceled." if trip.is_canceled else ""),
        *([] if trip.is_canceled else [_operators_form(trip)]),
        *[_rfq_section(rfq) for rfq in trip.rfqs],
        *([] if trip.is_canceled else [_form(f"/ui/trips/buying/{trip.id}/cancel", "Cancel the trip")]),
    )


def error_page(status: int, reason: str) -> str:
    """Say what went wrong."""
    return _page(
        f"Error {status}",
        tag("h1", f"Error {status}"),
        tag("p", reason, role="alert"),
        tag("p", "Go back to correct it, or see ", tag("a", "all trips", href="/ui/trips"), "."),
    )


def _page(title: str, *body: Html) -> str:
    return document(f"{title} (simulated Avinode)", _STYLE, tag("header", _BANNER), tag("main", *body))


def _route(trip: Trip) -> str:
    legs = [
        f"{segment.start_airport.icao} to {segment.end_airport.icao} on {segment.date_time.date}, "
        f"{segment.pax_count} passengers"
        for segment in trip.wanted.segments
    ]
    return "; ".join(legs)


def _operators_form(trip: Trip) -> Html:
    asked = {rfq.operator for rfq in trip.rfqs}
    free = [operator for operator in OPERATORS if operator not in asked][:_OFFERED_OPERATORS]
    choices = [
        tag(
            "label",
            tag("input", type="checkbox", name="operator", value=str(operator.number)),
            f" {operator.name} ({operator.aircraft(0).type}, estimate {operator.aircraft(0).estimate:,} USD)",
        )
        for operator in free
    ]
    chooser = tag("fieldset", tag("legend", "Operators to ask"), *choices)
    return _form(f"/ui/trips/buying/{trip.id}/rfqs", "Send RFQs", chooser)


def _rfq_section(rfq: Rfq) -> Html:
    heading = f"{rfq.operator.name}{' (canceled)' if rfq.is_canceled else ''}"
    return tag(
        "section",
        tag("h2", heading, id=f"h-{rfq.id}"),
        tag("p", f"Request {rfq.id}"),
        _lifts_table(rfq),
        _messages_list(rfq.messages),
        *([] if rfq.is_canceled else _answer_forms(rfq)),
        id=rfq.id,
        aria_labelledby=f"h-{rfq.id}",
    )


def _lifts_table(rfq: Rfq) -> Html:
    head = tag("tr", *[tag("th", name, scope="col") for name in _LIFT], role="row")
    rows = [_lift_row(lift) for lift in rfq.lifts]
    return tag("table", tag("caption", "Aircraft asked for"), head, *rows, role="table")


def _lift_row(lift: Lift) -> Html:
    estimate, *offer = [f"{quote.price:,} {quote.currency}" for quote in lift.current_quotes]
    cells = (lift.aircraft.type, lift.aircraft.tail, lift.status.name.capitalize(), estimate, *(offer or ["none yet"]))
    named = zip(_LIFT, cells, strict=True)
    return tag("tr", *[tag("td", cell, data_name=name, role="cell") for name, cell in named], role="row")


def _messages_list(messages: list[Message]) -> Html:
    items = [tag("li", tag("strong", message.author), f": {_told(message)}") for message in messages]
    return tag("ul", *items, aria_label="Messages")


def _told(message: Message) -> str:
    if message.quote is not None:
        return f"quotes {message.quote.price:,} {message.quote.currency}. {message.text}"
    if message.accepted is False:
        return f"declines ({message.decline_reason}). {message.text}"
    return message.text


def _answer_forms(rfq: Rfq) -> list[Html]:
    base = f"/ui/rfqs/{rfq.id}"
    lifts = tag(
        "select",
        *[tag("option", f"{lift.aircraft.type} {lift.aircraft.tail}", value=lift.id) for lift in rfq.lifts],
        name="lift",
        id=f"lift-{rfq.id}",
    )
    reasons = tag(
        "select",
        *[tag("option", reason, value=reason) for reason in DECLINE_REASONS],
        name="reason",
        id=f"reason-{rfq.id}",
    )
    price = tag("input", type="number", name="price", min="1", step="any", required=True, id=f"price-{rfq.id}")
    currency = tag("input", name="currency", value="USD", pattern="[A-Z]{3}", size="4", id=f"currency-{rfq.id}")
    words = tag("input", name="message", required=True, maxlength="5000", id=f"message-{rfq.id}")
    return [
        _form(
            f"{base}/quote",
            "Quote",
            _labelled("Aircraft", f"lift-{rfq.id}", lifts),
            _labelled("Price", f"price-{rfq.id}", price),
            _labelled("Currency", f"currency-{rfq.id}", currency),
        ),
        _form(f"{base}/decline", "Decline", _labelled("Reason", f"reason-{rfq.id}", reasons)),
        _form(f"{base}/chat", "Send message", _labelled("Message as operator", f"message-{rfq.id}", words)),
        _form(f"{base}/lifts", "Ask for another aircraft"),
        _form(f"{base}/cancel", "Cancel this request"),
    ]


def _labelled(label: str, field_id: str, control: Html) -> Html:
    return joined(tag("label", label, for_=field_id), control)


def _form(action: str, button: str, *fields: Html) -> Html:
    return tag("form", *fields, " ", tag("button", button, type="submit"), method="post", action=action)
