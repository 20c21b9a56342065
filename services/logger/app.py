"""Wire the logger: its queues, its tables, its outcomes."""

from services.logger.dead_letters.known import read_letter
from services.logger.handlers import ChatHandler, ConsumerHandler, DeadLetterHandler
from services.logger.searching.indexing import indexing
from services.logger.store import Store
from services.logger.sweeping.jobs import sweeping
from shared import topology
from shared.consuming.decoding import decode_event
from shared.consuming.group_commit import GroupCommit
from shared.database import open_pool, probe
from shared.process.service import Service
from shared.publishing.publisher import Publisher
from shared.settings import Settings


async def main(settings: Settings) -> None:
    """Run the logger until a signal."""
    async with (
        Service(settings, "logger") as service,
        open_pool(settings.logger_database_url, settings.instance, settings.database_pool_size) as pool,
        Publisher(settings, "logger") as publisher,
    ):
        store, sweeper = Store(pool), sweeping(pool, settings)
        chat, letters, consumers = (
            ChatHandler(store, sweeper.wake),
            DeadLetterHandler(store),
            ConsumerHandler(store, publisher),
        )
        service.check("publisher", publisher.fault)
        service.check("database", lambda: probe(pool, "chat"))
        await service.run(
            GroupCommit(settings, topology.LOGGER_CHAT, decode=decode_event, commit=chat.commit, publisher=publisher),
            GroupCommit(settings, topology.DEAD, decode=read_letter, commit=letters.commit, publisher=publisher),
            GroupCommit(
                settings,
                topology.LOGGER_CONSUMERS,
                decode=decode_event,
                commit=consumers.commit,
                publisher=publisher,
            ),
            sweeper,
            indexing(pool),
        )
