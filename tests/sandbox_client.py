"""What tests of the simulated Avinode share: a client of it, and a webhook's receiver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from tests.dates import FLIGHT_DAY
from tests.waiting import PATIENCE_S

SEGMENT: dict[str, Any] = {
    "startAirport": {"icao": "KTEB"},
    "endAirport": {"icao": "KPBI"},
    "dateTime": {"date": FLIGHT_DAY, "time": "09:30", "departure": True, "local": True},
    "paxCount": "6",
    "paxSegment": True,
}
TRIP: dict[str, Any] = {"segments": [SEGMENT], "criteria": {}, "sourcing": True, "externalTripId": "session-1"}


def now(offset: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + offset).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def headers(**changed: str | None) -> dict[str, str]:
    """Make the headers REST wants; underscores stand for dashes, None leaves one out."""
    sent = {
        "X-Avinode-ApiToken": "app-token",
        "Authorization": "Bearer company-token",
        "X-Avinode-SentTimestamp": now(),
        "X-Avinode-Product": "Tripthread-v0",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return {name: value for name, value in sent.items() if value is not None}


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


class Avinode:
    """A client of one simulated Avinode."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def call(self, method: str, path: str, body: Any = None, *, sent: dict[str, str] | None = None) -> Answer:
        async with self.http.request(method, self.url + path, json=body, headers=sent) as response:
            return Answer(response.status, await response.json(content_type=None), response.headers)

    async def rest(self, method: str, path: str, body: Any = None, **changed: str | None) -> Answer:
        return await self.call(method, path, body, sent=headers(**changed))

    async def read(self, path: str) -> Any:
        answer = await self.rest("GET", f"/api/{path}")
        assert answer.status == 200, answer.body
        return answer.body["data"]

    async def act(self, path: str, body: Any = None) -> Any:
        answer = await self.call("POST", f"/sim/{path}", body or {})
        assert answer.status < 300, answer.body
        return answer.body

    async def switch_on(self, **faults: Any) -> None:
        assert (await self.call("PUT", "/sim/faults", faults)).status == 200

    async def trip_with_rfqs(self, operators: int = 1) -> tuple[str, list[str]]:
        trip = (await self.rest("POST", "/api/trips", TRIP)).body["data"]
        sent = await self.act(f"trips/{trip['id']}/rfqs", {"operators": operators})
        return trip["tripId"], [rfq["id"] for rfq in sent["rfqs"]]

    async def deliveries(self) -> list[Any]:
        deliveries: list[Any] = (await self.call("GET", "/sim/deliveries")).body["deliveries"]
        return deliveries

    async def deliveries_when(self, is_reached: Callable[[list[Any]], bool]) -> list[Any]:
        """Wait until the deliveries are as expected."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_reached(shown := await self.deliveries()):
                await asyncio.sleep(0.02)
        return shown


def all_delivered(deliveries: list[Any]) -> bool:
    return all(delivery["state"] == "delivered" for delivery in deliveries)


@dataclass
class Receiver:
    """A webhook's target: keeps what comes, and answers as told, then 200."""

    answers: list[int] = field(default_factory=list)
    delay_s: float = 0
    received: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _now: int = 0
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        async with self._more:
            self.received.append((dict(request.headers), await request.json()))
            self._more.notify_all()
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(self.delay_s)
        self._now -= 1
        return web.Response(status=self.answers.pop(0) if self.answers else 200, headers={"Location": "/elsewhere"})

    async def bodies(self, count: int) -> list[Any]:
        """Wait for that many deliveries."""
        async with asyncio.timeout(PATIENCE_S), self._more:
            await self._more.wait_for(lambda: len(self.received) >= count)
        return [body for _, body in self.received]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Serve a webhook's target."""
    target = Receiver()
    app = web.Application()
    app.router.add_post("/hook", target.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield target
    await runner.cleanup()


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Avinode]:
    given = SandboxSettings(llm_port=0, avinode_port=0, **settings)
    async with serving(given) as addresses, aiohttp.ClientSession() as http:
        yield Avinode(addresses.avinode, http)


@asynccontextmanager
async def running_for(receiver: Receiver) -> AsyncIterator[Avinode]:
    """Serve an Avinode that checks its callers and tells the receiver everything."""
    async with running(
        avinode_webhook_target=receiver.url,
        avinode_webhook_user="hook-user",
        avinode_webhook_password=SecretStr("hook-password"),
        avinode_api_token=SecretStr("app-token"),
        avinode_auth_token=SecretStr("company-token"),
    ) as client:
        yield client
