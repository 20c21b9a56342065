"""`/sim`, backstage: switch faults on, and see what was sent and what was asked."""

from dataclasses import asdict

import msgspec
from aiohttp import web

from deploy.sandbox.avinode.calls import CallLog
from deploy.sandbox.avinode.faults import Faults, FaultSwitch
from deploy.sandbox.avinode.market.errors import InvalidInputError
from deploy.sandbox.avinode.market.inputs import RedeliveryOrder, read_json
from deploy.sandbox.avinode.resources import Json
from deploy.sandbox.avinode.webhooks.courier import Courier
from deploy.sandbox.avinode.webhooks.deliveries import Attempt, Delivery, DeliveryLog
from deploy.sandbox.bodies import read_body


class Backstage:
    """Faults, deliveries and calls: what only a tester may see and do."""

    def __init__(self, faults: FaultSwitch, deliveries: DeliveryLog, courier: Courier, calls: CallLog) -> None:
        self._faults = faults
        self._deliveries = deliveries
        self._courier = courier
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """List the endpoints, below `/sim`."""
        return [
            web.get("/faults", self.show_faults),
            web.put("/faults", self.replace_faults),
            web.get("/deliveries", self.list_deliveries),
            web.post("/redeliver", self.redeliver),
            web.get("/calls", self.list_calls),
        ]

    async def show_faults(self, _: web.Request) -> web.Response:
        """Show the faults in force."""
        return web.json_response(msgspec.to_builtins(self._faults.current))

    async def replace_faults(self, request: web.Request) -> web.Response:
        """Replace the faults; an empty object clears them."""
        self._faults.current = read_json(await read_body(request), Faults)
        return web.json_response(msgspec.to_builtins(self._faults.current))

    async def list_deliveries(self, request: web.Request) -> web.Response:
        """Show every delivery after `since`, with its attempts and their answers."""
        found = self._deliveries.since(_since(request))
        return web.json_response({"deliveries": [_delivery_json(delivery) for delivery in found]})

    async def redeliver(self, request: web.Request) -> web.Response:
        """Send a delivery once more."""
        delivery = self._deliveries.find(read_json(await read_body(request), RedeliveryOrder).id)
        self._courier.redeliver(delivery)
        return web.json_response({"id": delivery.id, "state": delivery.state}, status=202)

    async def list_calls(self, request: web.Request) -> web.Response:
        """Show the REST calls received after `since`."""
        calls = self._calls.since(_since(request))
        return web.json_response({"calls": [{**asdict(call), "at": call.at.isoformat()} for call in calls]})


def _since(request: web.Request) -> int:
    since = request.query.get("since", "0")
    if not (since.isascii() and since.isdigit() and len(since) < 18):
        msg = "since must be an id"
        raise InvalidInputError(msg, "since")
    return int(since)


def _delivery_json(delivery: Delivery) -> Json:
    return {
        "id": delivery.id,
        "event": delivery.notice.event,
        "object_id": delivery.notice.id,
        "trip_code": delivery.notice.trip_code,
        "webhook_id": delivery.webhook_id,
        "target": delivery.target,
        "body": msgspec.json.decode(delivery.body),
        "created_at": delivery.created_at.isoformat(),
        "state": delivery.state,
        "attempt_count": delivery.attempt_count,
        "attempts": [_attempt_json(attempt) for attempt in delivery.attempts],
    }


def _attempt_json(attempt: Attempt) -> Json:
    return {**asdict(attempt), "at": attempt.at.isoformat()}
