"""Wire the gateway: its turns, what it reads, what it hears, and the public HTTP API."""

from services.gateway.api import create_api
from services.gateway.memory import Memory
from services.gateway.outcomes import Outcomes
from services.gateway.parts import Parts
from services.gateway.reading.reader import Reader
from services.gateway.receipts import Receipts
from services.gateway.routes.chat import Chat
from services.gateway.runner import Runner
from services.gateway.server import PublicServer
from services.gateway.store import Store
from services.gateway.throttle import Throttle
from services.gateway.turns import Turns
from services.gateway.upstream import open_upstream
from shared.database import open_pool, probe
from shared.publisher import Publisher
from shared.service import Service
from shared.settings import Settings

ADMIN_POOL_SIZE = 3


async def main(settings: Settings) -> None:
    """Run the gateway until a signal."""
    async with (
        Service(settings, "gateway") as service,
        open_pool(settings.gateway_database_url, settings.instance, settings.database_pool_size) as own_pool,
        open_pool(settings.reader_database_url, settings.instance, settings.database_pool_size) as reader_pool,
        open_pool(settings.admin_database_url, settings.instance, ADMIN_POOL_SIZE) as admin_pool,
        Publisher(settings, "gateway") as publisher,
        open_upstream(settings) as upstream,
    ):
        store, reader, receipts = Store(own_pool), Reader(reader_pool), Receipts()
        runner = Runner(settings, store, publisher, upstream)
        outcomes = Outcomes(settings, receipts)
        parts = Parts(settings, publisher, store, reader, Reader(admin_pool), receipts, service.faults)
        turns = Turns(store, publisher, runner)
        chat = Chat(parts, turns=turns, memory=Memory(reader_pool, store), throttle=Throttle(settings))
        api = create_api(parts, chat, outcomes.describe_events())

        service.check("broker", lambda: publisher.away)
        service.check("database", lambda: probe(own_pool))
        await service.run(runner, outcomes, PublicServer(settings, api))
