"""The logger, with a note of when each event was committed: `python -m tests.bench.running.timed_logger FILE`."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared import topology
from shared.consuming.decoding import decode_event
from shared.consuming.group_commit import GroupCommit
from shared.database import open_pool
from shared.events import Event, Outcome
from shared.process.service import Service
from shared.publishing.publisher import Publisher
from shared.settings import Settings


async def main(settings: Settings, committed: dict[str, int]) -> None:
    """Do as services/logger/app.py; the monotonic clock is the same for all processes of a machine."""
    async with (
        Service(settings, "logger") as service,
        open_pool(settings.logger_database_url, settings.instance, settings.database_pool_size) as pool,
        Publisher(settings, "logger") as publisher,
    ):
        chat = ChatHandler(Store(pool))

        async def commit(events: Sequence[Event]) -> Sequence[Outcome]:
            outcomes = await chat.commit(events)
            now = time.monotonic_ns()
            committed.update((str(event.event_id), now) for event in events)
            return outcomes

        await service.run(
            GroupCommit(settings, topology.LOGGER_CHAT, decode=decode_event, commit=commit, publisher=publisher)
        )


if __name__ == "__main__":
    noted: dict[str, int] = {}
    uvloop.run(main(Settings(), noted))
    Path(sys.argv[1]).write_text(json.dumps(noted))
