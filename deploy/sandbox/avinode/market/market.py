"""The rules of the marketplace: who may do what to a trip, and what the broker is told of it. No I/O."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from deploy.sandbox.avinode.market.errors import RefusedError, UnknownIdError
from deploy.sandbox.avinode.market.ids import IdMaker, trip_code
from deploy.sandbox.avinode.market.inputs import (
    DECLINE_REASONS,
    CancelOrder,
    ChatOrder,
    DeclineOrder,
    EventType,
    NewTrip,
    QuoteOrder,
)
from deploy.sandbox.avinode.market.operators import OPERATORS, Operator
from deploy.sandbox.avinode.market.trips import Lift, LiftStatus, Message, Notice, Quote, Rfq, Trip

T = TypeVar("T")


class Market:
    """Keep the marketplace. Each change tells `announce` what Avinode would tell the broker's webhooks."""

    def __init__(self, announce: Callable[[Notice], None], clock: Callable[[], datetime], ids: IdMaker) -> None:
        self._announce = announce
        self._clock = clock
        self._ids = ids
        self._trips: dict[str, Trip] = {}
        self._trips_by_code: dict[str, Trip] = {}
        self._rfqs: dict[str, Rfq] = {}
        self._quotes: dict[str, Quote] = {}
        self._messages: dict[str, Message] = {}

    @property
    def trips(self) -> list[Trip]:
        """List the trips, oldest first."""
        return list(self._trips.values())

    def trip(self, reference: str) -> Trip:
        """Find a trip by its id or its code."""
        return _known(self._trips.get(reference) or self._trips_by_code.get(reference), reference)

    def rfq(self, rfq_id: str) -> Rfq:
        """Find an RFQ."""
        return _known(self._rfqs.get(rfq_id), rfq_id)

    def quote(self, quote_id: str) -> Quote:
        """Find a quote, an estimate or one that was revised since."""
        return _known(self._quotes.get(quote_id), quote_id)

    def message(self, message_id: str) -> Message:
        """Find a message."""
        return _known(self._messages.get(message_id), message_id)

    def create_trip(self, wanted: NewTrip) -> Trip:
        """Create a trip. Nobody is told: no operator has been asked yet."""
        trip_id = self._ids.take("atrip")
        trip = Trip(trip_id, trip_code(trip_id), wanted, self._clock())
        self._trips[trip.id] = self._trips_by_code[trip.code] = trip
        return trip

    def send_rfqs(self, trip: Trip, operators: list[Operator]) -> list[Rfq]:
        """Send a request to each operator."""
        if trip.is_canceled:
            msg = f"trip {trip.id} is canceled"
            raise RefusedError(msg)
        asked = {rfq.operator for rfq in trip.rfqs}
        if again := [operator.name for operator in operators if operator in asked]:
            msg = f"already asked: {', '.join(again)}"
            raise RefusedError(msg)
        return [self._send_rfq(trip, operator) for operator in operators]

    def next_operators(self, trip: Trip, count: int) -> list[Operator]:
        """Pick the first operators this trip has not asked yet."""
        asked = {rfq.operator for rfq in trip.rfqs}
        free = [operator for operator in OPERATORS if operator not in asked]
        if count > len(free):
            msg = f"only {len(free)} operators are left to ask"
            raise RefusedError(msg)
        return free[:count]

    def add_lift(self, rfq: Rfq) -> Lift:
        """Ask the operator for another aircraft; the same RFQ is announced again."""
        _refuse_canceled(rfq)
        lift = self._make_lift(rfq)
        self._announce_rfq(rfq)
        return lift

    def submit_quote(self, rfq: Rfq, order: QuoteOrder) -> Message:
        """Quote a lift; said again, it is a revision: a new message and a new quote."""
        _refuse_canceled(rfq)
        lift = _lift(rfq, order.lift)
        quote = self._make_quote(lift, order.price, order.currency, order.message)
        lift.status = LiftStatus.ACCEPTED
        message = Message(
            self._ids.take("asellermsg"),
            rfq,
            "seller",
            order.message,
            self._clock(),
            accepted=True,
            quote=quote,
            lifts=(lift,),
        )
        return self._post(message, "TripRequestSellerResponse")

    def decline(self, rfq: Rfq, order: DeclineOrder) -> Message:
        """Decline one lift, or all of the RFQ."""
        _refuse_canceled(rfq)
        lifts = tuple(rfq.lifts) if order.lift is None else (_lift(rfq, order.lift),)
        for lift in lifts:
            lift.status = LiftStatus.DECLINED
        message = Message(
            self._ids.take("asellermsg"),
            rfq,
            "seller",
            order.message or order.reason,
            self._clock(),
            accepted=False,
            lifts=lifts,
            decline_reason=order.reason if order.reason in DECLINE_REASONS else "OTHER",
        )
        return self._post(message, "TripRequestSellerResponse")

    def chat(self, rfq: Rfq, order: ChatOrder) -> Message:
        """Write a message that answers nothing."""
        kind = "asellermsg" if order.author == "seller" else "abuyermsg"
        message = Message(self._ids.take(kind), rfq, order.author, order.message, self._clock())
        return self._post(message, "TripChatFromSeller" if order.author == "seller" else "TripChatMine")

    def cancel_rfq(self, rfq: Rfq, order: CancelOrder) -> None:
        """Cancel a request; its id is announced again, and only a look at it tells why."""
        if rfq.is_canceled:
            return
        rfq.is_canceled = True
        if order.message:
            self._keep(Message(self._ids.take("abuyermsg"), rfq, "buyer", order.message, self._clock()))
        self._announce_rfq(rfq)

    def cancel_trip(self, trip: Trip, order: CancelOrder) -> None:
        """Cancel a trip and all its requests."""
        trip.is_canceled = True
        for rfq in trip.rfqs:
            self.cancel_rfq(rfq, order)

    def _send_rfq(self, trip: Trip, operator: Operator) -> Rfq:
        rfq = Rfq(self._ids.take("arfq"), trip, operator, self._clock())
        self._rfqs[rfq.id] = rfq
        trip.rfqs.append(rfq)
        self._make_lift(rfq)
        self._keep(Message(self._ids.take("abuyermsg"), rfq, "buyer", "Simulated request.", self._clock()))
        self._announce_rfq(rfq)
        return rfq

    def _make_lift(self, rfq: Rfq) -> Lift:
        aircraft = rfq.operator.aircraft(len(rfq.lifts))
        lift = Lift(self._ids.take("asellerlift"), rfq, aircraft)
        self._make_quote(lift, aircraft.estimate, "USD", message="")
        rfq.lifts.append(lift)
        return lift

    def _make_quote(self, lift: Lift, price: float, currency: str, message: str) -> Quote:
        """Add a quote to a lift; its first is Avinode's own estimate."""
        revision = len(lift.quotes)
        quote = Quote(self._ids.take("aquote"), lift, revision, price, currency, message, self._clock())
        lift.quotes.append(quote)
        self._quotes[quote.id] = quote
        return quote

    def _keep(self, message: Message) -> Message:
        self._messages[message.id] = message
        message.rfq.messages.append(message)
        return message

    def _post(self, message: Message, event: EventType) -> Message:
        self._keep(message)
        self._announce(Notice(event, "tripmsgs", message.id, message.rfq.trip.code))
        return message

    def _announce_rfq(self, rfq: Rfq) -> None:
        self._announce(Notice("TripRequestMine", "rfqs", rfq.id, rfq.trip.code))


def _known(found: T | None, reference: str) -> T:
    if found is None:
        msg = f"nothing has the id {reference}"
        raise UnknownIdError(msg)
    return found


def _refuse_canceled(rfq: Rfq) -> None:
    if rfq.is_canceled:
        msg = f"{rfq.id} is canceled and can't be answered any more"
        raise RefusedError(msg)


def _lift(rfq: Rfq, lift_id: str | None) -> Lift:
    if lift_id is None:
        return rfq.lifts[0]
    found = next((lift for lift in rfq.lifts if lift.id == lift_id), None)
    return _known(found, lift_id)
