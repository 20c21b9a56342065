"""Avinode's HTTP face, wired: `/api`, `/ui` and `/sim` over one market, and the courier that tells of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Middleware

from deploy.sandbox.avinode.calls import CallLog
from deploy.sandbox.avinode.faults import FaultSwitch
from deploy.sandbox.avinode.market.ids import IdMaker, first_number
from deploy.sandbox.avinode.market.market import Market
from deploy.sandbox.avinode.pages.routes import MarketPages
from deploy.sandbox.avinode.problems import as_problems
from deploy.sandbox.avinode.resources import Links
from deploy.sandbox.avinode.rest.gate import Gate
from deploy.sandbox.avinode.rest.oauth import PATH, Tokens
from deploy.sandbox.avinode.rest.routes import RestApi
from deploy.sandbox.avinode.sim.backstage import Backstage
from deploy.sandbox.avinode.sim.market_sim import MarketSim
from deploy.sandbox.avinode.webhooks.courier import Courier
from deploy.sandbox.avinode.webhooks.deliveries import DeliveryLog
from deploy.sandbox.avinode.webhooks.settings import Webhooks, webhook_from_environment
from deploy.sandbox.settings import SandboxSettings

_MAX_BODY = 2**20


def make_avinode_app(settings: SandboxSettings, local_url: str) -> web.Application:
    """Wire the Avinode stand-in; `local_url` is where it listens."""
    api_base = (settings.avinode_public_url or local_url).rstrip("/")
    links = Links(api_base, (settings.avinode_ui_url or api_base).rstrip("/"))
    faults, deliveries, calls = FaultSwitch(), DeliveryLog(), CallLog()
    ids = IdMaker(first_number(_now()))
    webhooks = Webhooks(ids)
    courier = Courier(webhooks, deliveries, faults, links, _now)
    market = Market(courier.announce, _now, ids)
    if (from_environment := webhook_from_environment(settings)) is not None:
        webhooks.add(from_environment)

    app = web.Application(middlewares=[as_problems], client_max_size=_MAX_BODY)
    app.on_response_prepare.append(_mark_simulated)
    app.cleanup_ctx.append(_running(courier))
    app.router.add_get("/healthz", _tell_health)
    app.router.add_get("/", _lead_to_trips)
    tokens = Tokens(settings, _now)
    api_gate = Gate(settings, calls, faults, tokens).middleware()
    rest = [*RestApi(market, webhooks, links, faults).routes(), web.post(PATH, tokens.give)]
    _mount(app, "/api", rest, api_gate)
    _mount(app, "/ui", MarketPages(market).routes())
    backstage = Backstage(faults, deliveries, courier, calls)
    _mount(app, "/sim", [*MarketSim(market, links).routes(), *backstage.routes()])
    return app


def _mount(app: web.Application, prefix: str, routes: list[web.RouteDef], *middlewares: Middleware) -> None:
    part = web.Application(middlewares=middlewares, client_max_size=_MAX_BODY)
    part.add_routes(routes)
    app.add_subapp(prefix, part)


def _running(courier: Courier) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(_: web.Application) -> AsyncIterator[None]:
        sending = asyncio.create_task(courier.run())
        yield
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending

    return run


def _now() -> datetime:
    return datetime.now(UTC)


async def _tell_health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "simulator": "avinode"})


async def _lead_to_trips(_: web.Request) -> web.Response:
    return web.Response(status=303, headers={"Location": "/ui/trips"})


async def _mark_simulated(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Simulator"] = "avinode-sim"
