"""Avinode's REST API, the part a broker's system uses."""

from aiohttp import web

from deploy.sandbox.avinode.faults import FaultSwitch
from deploy.sandbox.avinode.market.errors import InvalidInputError, UnknownIdError
from deploy.sandbox.avinode.market.inputs import Cancel, CancelOrder, NewTrip, NewWebhook, read_json
from deploy.sandbox.avinode.market.market import Market
from deploy.sandbox.avinode.resources import (
    Json,
    Links,
    created_trip_json,
    envelope,
    message_json,
    page,
    quote_json,
    rfq_json,
    soft_errors,
    trip_json,
)
from deploy.sandbox.avinode.webhooks.settings import Webhook, Webhooks
from deploy.sandbox.bodies import read_body


class RestApi:
    """Answer the REST endpoints; the gate before them checks headers and turns errors into answers."""

    def __init__(self, market: Market, webhooks: Webhooks, links: Links, faults: FaultSwitch) -> None:
        self._market = market
        self._faults = faults
        self._webhooks = webhooks
        self._links = links

    def routes(self) -> list[web.RouteDef]:
        """List the endpoints, below `/api`."""
        return [
            web.post("/trips", self.create_trip),
            web.get("/trips/{id}", self.show_trip),
            web.put("/trips/{id}/cancel", self.cancel_trip),
            web.get("/rfqs/{id}", self.show_rfq),
            web.put("/rfqs/{id}/cancel", self.cancel_rfq),
            web.get("/tripmsgs/{id}", self.show_message),
            web.get("/quotes/{id}", self.show_quote),
            web.post("/webhooks/settings", self.create_webhook),
            web.get("/webhooks/settings", self.list_webhooks),
            web.put("/webhooks/settings/{id}", self.change_webhook),
        ]

    async def create_trip(self, request: web.Request) -> web.Response:
        """Create a trip. A doubtful airport is a soft error: the trip is there, the answer is 200 and says so."""
        trip = self._market.create_trip(read_json(await read_body(request), NewTrip))
        errors = soft_errors(trip)
        body = {**envelope(created_trip_json(trip, self._links), errors), "tripId": trip.code}
        return web.json_response(body, status=200 if errors else 201)

    async def show_trip(self, request: web.Request) -> web.Response:
        """Show a trip, by id or by code."""
        return _answer(trip_json(self._market.trip(request.match_info["id"]), self._links))

    async def cancel_trip(self, request: web.Request) -> web.Response:
        """Cancel a trip and its RFQs; once more is the same."""
        trip = self._market.trip(request.match_info["id"])
        self._market.cancel_trip(trip, await _cancel_order(request))
        return _answer(trip_json(trip, self._links))

    async def show_rfq(self, request: web.Request) -> web.Response:
        """Show an RFQ; a trip's code instead of an id gives the list of its RFQs, as the real API does."""
        reference = request.match_info["id"]
        try:
            return _answer(rfq_json(self._market.rfq(reference), self._links))
        except UnknownIdError:
            trip = self._market.trip(reference)
            return self._paged(request, [rfq_json(rfq, self._links) for rfq in trip.rfqs])

    async def cancel_rfq(self, request: web.Request) -> web.Response:
        """Cancel an RFQ; once more is the same."""
        rfq = self._market.rfq(request.match_info["id"])
        self._market.cancel_rfq(rfq, await _cancel_order(request))
        return _answer(rfq_json(rfq, self._links))

    async def show_message(self, request: web.Request) -> web.Response:
        """Show a message."""
        return _answer(message_json(self._market.message(request.match_info["id"]), self._links))

    async def show_quote(self, request: web.Request) -> web.Response:
        """Show a quote."""
        return _answer(quote_json(self._market.quote(request.match_info["id"]), self._links))

    async def create_webhook(self, request: web.Request) -> web.Response:
        """Set up a webhook."""
        webhook = self._webhooks.add(read_json(await read_body(request), NewWebhook))
        return web.json_response(envelope(self._webhook_json(webhook)), status=201)

    async def list_webhooks(self, request: web.Request) -> web.Response:
        """List the company's webhooks."""
        return self._paged(request, [self._webhook_json(webhook) for webhook in self._webhooks.list_all()])

    async def change_webhook(self, request: web.Request) -> web.Response:
        """Change a webhook, or make it inactive."""
        setting = read_json(await read_body(request), NewWebhook)
        return _answer(self._webhook_json(self._webhooks.replace(request.match_info["id"], setting)))

    def _paged(self, request: web.Request, items: list[Json]) -> web.Response:
        """Show the page that is asked for by `page[size]` and `page[number]`; the first 50 where none is."""
        size, number = (_whole(request, name, usual) for name, usual in (("page[size]", 50), ("page[number]", 0)))
        most = self._faults.current.page_size or 1000
        return web.json_response(page(items, min(max(size, 1), most), number))

    def _webhook_json(self, webhook: Webhook) -> Json:
        """Show a webhook, never its secret."""
        setting = webhook.setting
        return {
            "id": webhook.id,
            "href": self._links.href("webhooks/settings", webhook.id),
            "type": "settings",
            "targetURI": setting.target_uri,
            "displayName": setting.display_name,
            "active": setting.active,
            "clientIdentifier": setting.client_identifier,
            "clientAuthenticationType": setting.client_authentication_type,
            "eventTypes": setting.event_types,
        }


def _whole(request: web.Request, name: str, usual: int) -> int:
    """Read a number of a query."""
    text = request.query.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        msg = f"{name} is no number"
        raise InvalidInputError(msg, name)
    return int(text)


def _answer(data: object) -> web.Response:
    return web.json_response(envelope(data))


async def _cancel_order(request: web.Request) -> CancelOrder:
    asked = read_json(await read_body(request), Cancel)
    if asked.id not in {None, request.match_info["id"]}:
        msg = "the id in the body is another than the one in the path"
        raise InvalidInputError(msg, "id")
    return CancelOrder(asked.reason, asked.message_to_seller)
