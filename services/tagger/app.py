"""Wire the tagger: its queue, its tables, its outcomes."""

from services.tagger.handlers import SessionHandler
from services.tagger.store import Store
from services.tagger.sweeping import Sweeper, sweeping
from shared import topology
from shared.consuming.decoding import decode_event
from shared.consuming.group_commit import GroupCommit
from shared.database import open_pool, probe
from shared.process.service import Service
from shared.publishing.publisher import Publisher
from shared.settings import Settings


async def main(settings: Settings) -> None:
    """Run the tagger until a signal."""
    async with (
        Service(settings, "tagger") as service,
        open_pool(settings.tagger_database_url, settings.instance, settings.database_pool_size) as pool,
        Publisher(settings, "tagger") as publisher,
    ):
        sessions = SessionHandler(Store(pool, tracks_new=settings.track_new_models))
        service.check("publisher", publisher.fault)
        service.check("database", lambda: probe(pool, "tagging"))
        await service.run(
            GroupCommit(
                settings,
                topology.TAGGER_SESSIONS,
                decode=decode_event,
                commit=sessions.commit,
                publisher=publisher,
                begin=sessions.forget,
            ),
            sweeping(pool, Sweeper(pool, publisher)),
        )
