"""`/sim`: play the marketplace by HTTP, as a colleague at the broker's or as an operator."""

from aiohttp import web

from deploy.sandbox.avinode.market.inputs import (
    CancelOrder,
    ChatOrder,
    DeclineOrder,
    LiftOrder,
    NewTrip,
    QuoteOrder,
    RfqsOrder,
    read_json,
)
from deploy.sandbox.avinode.market.market import Market
from deploy.sandbox.avinode.market.trips import Rfq
from deploy.sandbox.avinode.resources import Json, Links, trip_json
from deploy.sandbox.bodies import read_body


class MarketSim:
    """Act in the market as a colleague or an operator would."""

    def __init__(self, market: Market, links: Links) -> None:
        self._market = market
        self._links = links

    def routes(self) -> list[web.RouteDef]:
        """List the endpoints, below `/sim`."""
        return [
            web.get("/trips", self.list_trips),
            web.post("/trips", self.create_trip),
            web.post("/trips/{id}/rfqs", self.send_rfqs),
            web.post("/trips/{id}/cancel", self.cancel_trip),
            web.post("/rfqs/{id}/lifts", self.add_lift),
            web.post("/rfqs/{id}/quote", self.submit_quote),
            web.post("/rfqs/{id}/decline", self.decline),
            web.post("/rfqs/{id}/chat", self.chat),
            web.post("/rfqs/{id}/cancel", self.cancel_rfq),
        ]

    async def list_trips(self, _: web.Request) -> web.Response:
        """Show all trips, as `GET /api/trips/{id}` would."""
        return web.json_response({"trips": [trip_json(trip, self._links) for trip in self._market.trips]})

    async def create_trip(self, request: web.Request) -> web.Response:
        """Create a trip as a colleague in Avinode would: the broker's system hears of it by its RFQs only."""
        trip = self._market.create_trip(read_json(await read_body(request), NewTrip))
        return web.json_response({"trip_id": trip.id, "trip_code": trip.code}, status=201)

    async def send_rfqs(self, request: web.Request) -> web.Response:
        """Send requests to operators not asked yet."""
        trip = self._market.trip(request.match_info["id"])
        order = read_json(await read_body(request), RfqsOrder)
        rfqs = self._market.send_rfqs(trip, self._market.next_operators(trip, order.operators))
        body = {"trip_id": trip.id, "trip_code": trip.code, "rfqs": [_rfq_ids(rfq) for rfq in rfqs]}
        return web.json_response(body, status=201)

    async def cancel_trip(self, request: web.Request) -> web.Response:
        """Cancel a trip and its RFQs."""
        trip = self._market.trip(request.match_info["id"])
        self._market.cancel_trip(trip, read_json(await read_body(request), CancelOrder))
        return web.json_response({"trip_id": trip.id, "canceled": True})

    async def add_lift(self, request: web.Request) -> web.Response:
        """Ask for another aircraft."""
        rfq = self._rfq(request)
        read_json(await read_body(request), LiftOrder)
        lift = self._market.add_lift(rfq)
        body = {"rfq_id": rfq.id, "lift_id": lift.id, "estimate_id": lift.quotes[0].id}
        return web.json_response(body, status=201)

    async def submit_quote(self, request: web.Request) -> web.Response:
        """Quote as the operator; again is a revision."""
        rfq = self._rfq(request)
        message = self._market.submit_quote(rfq, read_json(await read_body(request), QuoteOrder))
        body: Json = {"rfq_id": rfq.id, "message_id": message.id, "lift_id": message.lifts[0].id}
        if message.quote is not None:
            body |= {"quote_id": message.quote.id, "revision": message.quote.revision}
        return web.json_response(body, status=201)

    async def decline(self, request: web.Request) -> web.Response:
        """Decline as the operator."""
        rfq = self._rfq(request)
        message = self._market.decline(rfq, read_json(await read_body(request), DeclineOrder))
        body = {"rfq_id": rfq.id, "message_id": message.id, "lift_ids": [lift.id for lift in message.lifts]}
        return web.json_response(body, status=201)

    async def chat(self, request: web.Request) -> web.Response:
        """Write a message as the operator, or as a colleague with `"from": "buyer"`."""
        rfq = self._rfq(request)
        message = self._market.chat(rfq, read_json(await read_body(request), ChatOrder))
        return web.json_response({"rfq_id": rfq.id, "message_id": message.id}, status=201)

    async def cancel_rfq(self, request: web.Request) -> web.Response:
        """Cancel a request."""
        rfq = self._rfq(request)
        self._market.cancel_rfq(rfq, read_json(await read_body(request), CancelOrder))
        return web.json_response({"rfq_id": rfq.id, "canceled": True})

    def _rfq(self, request: web.Request) -> Rfq:
        return self._market.rfq(request.match_info["id"])


def _rfq_ids(rfq: Rfq) -> Json:
    return {
        "id": rfq.id,
        "operator": rfq.operator.name,
        "lift_ids": [lift.id for lift in rfq.lifts],
        "estimate_ids": [lift.quotes[0].id for lift in rfq.lifts],
    }
