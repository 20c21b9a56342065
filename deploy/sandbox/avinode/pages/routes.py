"""`/ui`: the deep-link page and the endpoints its forms post to; each leads back to the page."""

from urllib.parse import parse_qsl

from aiohttp import web

from deploy.sandbox.avinode.market.errors import InvalidInputError
from deploy.sandbox.avinode.market.inputs import CancelOrder, ChatOrder, DeclineOrder, QuoteOrder, T, read_form
from deploy.sandbox.avinode.market.market import Market
from deploy.sandbox.avinode.market.operators import OPERATORS, Operator
from deploy.sandbox.avinode.market.trips import Rfq, Trip
from deploy.sandbox.avinode.pages.pages import trip_page, trips_page
from deploy.sandbox.bodies import read_body

_MAX_FIELDS = 100
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}


class MarketPages:
    """Answer what a person's browser asks."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[web.RouteDef]:
        """List the endpoints, below `/ui`."""
        return [
            web.get("/trips", self.show_trips),
            web.get("/search/load/{id}", self.open_search),
            web.get("/trips/buying/{id}", self.show_trip),
            web.post("/trips/buying/{id}/rfqs", self.send_rfqs),
            web.post("/trips/buying/{id}/cancel", self.cancel_trip),
            web.post("/rfqs/{id}/lifts", self.add_lift),
            web.post("/rfqs/{id}/quote", self.submit_quote),
            web.post("/rfqs/{id}/decline", self.decline),
            web.post("/rfqs/{id}/chat", self.chat),
            web.post("/rfqs/{id}/cancel", self.cancel_rfq),
        ]

    async def show_trips(self, _: web.Request) -> web.Response:
        """Show all trips."""
        return _shown(trips_page(self._market.trips))

    async def show_trip(self, request: web.Request) -> web.Response:
        """Show a trip, by id or by code."""
        return _shown(trip_page(self._market.trip(request.match_info["id"])))

    async def open_search(self, request: web.Request) -> web.Response:
        """Lead to the trip's page: there is nothing to search for in a simulation."""
        return _back_to(self._market.trip(request.match_info["id"]))

    async def send_rfqs(self, request: web.Request) -> web.Response:
        """Send requests to the operators ticked."""
        trip = self._market.trip(request.match_info["id"])
        chosen = [value for name, value in await _fields(request) if name == "operator"]
        self._market.send_rfqs(trip, [_operator(number) for number in dict.fromkeys(chosen)])
        return _back_to(trip)

    async def cancel_trip(self, request: web.Request) -> web.Response:
        """Cancel a trip."""
        trip = self._market.trip(request.match_info["id"])
        self._market.cancel_trip(trip, CancelOrder())
        return _back_to(trip)

    async def add_lift(self, request: web.Request) -> web.Response:
        """Ask an operator for another aircraft."""
        rfq = self._rfq(request)
        self._market.add_lift(rfq)
        return _back_to(rfq.trip, rfq)

    async def submit_quote(self, request: web.Request) -> web.Response:
        """Quote as the operator."""
        rfq = self._rfq(request)
        self._market.submit_quote(rfq, await _form(request, QuoteOrder))
        return _back_to(rfq.trip, rfq)

    async def decline(self, request: web.Request) -> web.Response:
        """Decline as the operator."""
        rfq = self._rfq(request)
        self._market.decline(rfq, await _form(request, DeclineOrder))
        return _back_to(rfq.trip, rfq)

    async def chat(self, request: web.Request) -> web.Response:
        """Write to the broker as the operator."""
        rfq = self._rfq(request)
        self._market.chat(rfq, await _form(request, ChatOrder))
        return _back_to(rfq.trip, rfq)

    async def cancel_rfq(self, request: web.Request) -> web.Response:
        """Cancel a request, as a colleague at the broker's."""
        rfq = self._rfq(request)
        self._market.cancel_rfq(rfq, CancelOrder())
        return _back_to(rfq.trip, rfq)

    def _rfq(self, request: web.Request) -> Rfq:
        return self._market.rfq(request.match_info["id"])


async def _form(request: web.Request, expected: type[T]) -> T:
    return read_form(dict(await _fields(request)), expected)


async def _fields(request: web.Request) -> list[tuple[str, str]]:
    """Read the fields as our own forms send them: URL-encoded UTF-8."""
    body = (await read_body(request)).decode(errors="replace")
    try:
        return parse_qsl(body, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        msg = "there are too many fields"
        raise InvalidInputError(msg) from error


def _operator(number: str) -> Operator:
    if not (number.isascii() and number.isdigit() and len(number) < 4 and int(number) < len(OPERATORS)):
        msg = "there is no such operator"
        raise InvalidInputError(msg, "operator")
    return OPERATORS[int(number)]


def _shown(page: str) -> web.Response:
    return web.Response(text=page, content_type="text/html", headers=_HEADERS)


def _back_to(trip: Trip, rfq: Rfq | None = None) -> web.Response:
    anchor = f"#{rfq.id}" if rfq else ""
    return web.Response(status=303, headers={"Location": f"/ui/trips/buying/{trip.id}{anchor}"})
