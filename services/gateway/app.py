"""Wire the gateway: its turns, what it reads, what it hears, and the public HTTP API."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from services.gateway.account.limits.counting import Counting
from services.gateway.api import create_api
from services.gateway.http.documents.routes import Documents
from services.gateway.http.handed import handed_over
from services.gateway.http.operations import Ask
from services.gateway.http.server.worker import PublicServer
from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.elsewhere.peer_routes import PeerRoutes
from services.gateway.turns.elsewhere.peers import open_peers
from services.gateway.turns.here.runner import Runner
from services.gateway.wiring.account import account
from services.gateway.wiring.admin import admin
from services.gateway.wiring.background import Background, background
from services.gateway.wiring.chat import chat
from services.gateway.wiring.models import models
from services.gateway.wiring.parts import Links, Parts, Pools
from services.gateway.wiring.sessions import sessions
from services.gateway.wiring.trips import trips
from services.gateway.writes.outcomes import Outcomes
from shared.broker.declaring import Declaring
from shared.database import READ_STATEMENT_TIMEOUT_MS, Pool, open_pool, probe
from shared.process.service import Service
from shared.publishing.publisher import Publisher
from shared.settings import Settings

ADMIN_POOL_SIZE = 3
LOCK_TIMEOUT_MS = 1000  # one claim that is stuck elsewhere must not hold up those that are grouped with its repeat


@dataclass(frozen=True)
class Gateway:
    """What runs, and what is served."""

    runner: Runner
    counting: Counting
    background: Background
    documents: Documents
    api: FastAPI

    @property
    def outcomes(self) -> Outcomes:
        return self.background.outcomes


async def main(settings: Settings) -> None:
    """Run the gateway until a signal."""
    size = settings.database_pool_size
    peer_routes = PeerRoutes(settings)
    async with (
        Service(settings, "gateway", peer_routes.routes()) as service,
        open_pool(settings.gateway_database_url, settings.instance, size, lock_timeout_ms=LOCK_TIMEOUT_MS) as own,
        _reading_pool(settings, settings.reader_database_url, size) as reader,
        _reading_pool(settings, settings.admin_database_url, ADMIN_POOL_SIZE) as admin,
        Publisher(settings, "gateway", Declaring()) as publisher,
        open_upstreams(settings) as upstreams,
        open_peers(settings) as peers,
    ):
        gateway = wire(settings, Pools(own, reader, admin), Links(publisher, upstreams, peers), service.condition)
        peer_routes.serve(gateway.runner)
        service.check("broker", lambda: publisher.fault() or gateway.outcomes.away(), degrades=True)
        service.check("database", partial(_database_fault, own, reader, admin))
        gateway.documents.prepare()
        public = PublicServer(settings, gateway.api)
        await service.run(
            gateway.background.registration,
            gateway.runner,
            gateway.background.sweeper,
            gateway.outcomes,
            gateway.background.looking,
            gateway.background.census,
            gateway.background.drift,
            gateway.counting,
            *gateway.background.titling,
            public,
        )


async def _database_fault(own: Pool, reader: Pool, admin: Pool) -> str | None:
    """Ask by each of the gateway's logins; the one that has something to say is told."""
    faults = await asyncio.gather(probe(own, "gateway"), probe(reader), probe(admin))
    return next(filter(None, faults), None)


def _reading_pool(settings: Settings, url: str, size: int) -> AbstractAsyncContextManager[Pool]:
    return open_pool(url, settings.instance, size, statement_timeout_ms=READ_STATEMENT_TIMEOUT_MS)


def wire(settings: Settings, pools: Pools, links: Links, ask: Ask) -> Gateway:
    """Make everything, and hand each subject its own."""
    parts = Parts(settings, pools, links)
    of_trips = trips(parts)
    subjects = (
        *account(parts),
        *chat(parts, of_trips.toolkit),
        *sessions(parts),
        *of_trips.subjects,
        *models(parts),
        *admin(parts),
    )
    api = create_api(settings, subjects, ask)
    return Gateway(parts.runner, parts.counting, background(parts), handed_over(api, Documents), api)
