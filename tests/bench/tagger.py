"""The tagger's budgets: how fast it drains its queue beside the logger, and how fast it gives tags to new sessions.

Of 11 both drain the same conversations, of which each hears its part: the logger questions and answers, the tagger
questions, four of five of them in sessions that have their tag. Of 12 every message is a first one, and neither side
has a broker: what is compared is to tag a group by one transaction, or each session by its own.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Sequence
from itertools import islice

import asyncpg

from services.tagger.handlers import SessionHandler
from services.tagger.store import Store
from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from shared.database import open_pool
from shared.events import MessagePosted
from shared.ids import model_id, new_id
from shared.settings import Settings
from shared.topology import TAGGER_SESSIONS
from tests.bench.measuring.budgets import DRAIN_TAGS, TAGS
from tests.bench.measuring.drain import PATIENCE_S, drain
from tests.bench.running.servers import private_servers, process
from tests.bench.workload.load import conversations, fill
from tests.connected.brokers import waiting

LOGGER = ("deploy.cli", "serve", "logger")
TAGGER = ("deploy.cli", "serve", "tagger")
MODEL = "sandbox-small"
CONNECTIONS = 10
ALONE = 2000  # first messages that are tagged one by one
SPREAD = 200  # users


async def run(options: argparse.Namespace) -> None:
    drains: tuple[list[float], list[float]] = ([], [])
    tags: dict[str, tuple[list[float], list[float]]] = {place: ([], []) for place in TAGS}
    drained: dict[str, list[float]] = {place: [] for place in TAGS}
    with private_servers() as settings:
        async with open_connection(settings, "bench", Declaring().declare):
            pass  # no gateway runs here, which makes the queues
        owner = await asyncpg.connect(settings.database_url)
        await _register(owner)
        for _ in range(options.rounds):
            drains[0].append(await _drain_tags(settings, owner, _questions(options.messages)))
            drains[1].append((await drain(settings, owner, LOGGER, options.messages)).messages_per_s)
            for place, (ours, theirs) in tags.items():
                firsts = _firsts(options.messages, 1 if place == "hot" else SPREAD)
                ours.append(await _tag_groups(settings, owner, firsts))
                theirs.append(await _tag_alone(settings, owner, firsts[:ALONE]))
                drained[place].append(await _drain_tags(settings, owner, firsts))
        await owner.close()
    DRAIN_TAGS.report(*drains)
    for place, budget in TAGS.items():
        budget.report(*tags[place], drained_from_the_queue=[round(rate) for rate in drained[place]])


async def _register(owner: asyncpg.Connection) -> None:
    key = model_id("openai", MODEL)
    await owner.execute(
        """
        INSERT INTO tagging.models (model_id, provider, name, short_id, registered_at, stamped_at, stamped_by)
        VALUES ($1, 'openai', $2, $3, now(), now(), $1)
        """,
        key,
        MODEL,
        key.hex[:6],
    )


def _questions(count: int) -> list[MessagePosted]:
    """Return what the tagger hears of as many questions, as they come in conversations."""
    return list(islice((event for event in conversations() if isinstance(event, MessagePosted)), count))


def _firsts(count: int, users: int) -> list[MessagePosted]:
    """Return as many first messages of sessions."""
    return [
        event.model_copy(update={"user_id": f"user-{place % users}", "session_id": str(new_id())})
        for place, event in enumerate(_questions(count))
    ]


async def _drain_tags(settings: Settings, owner: asyncpg.Connection, messages: Sequence[MessagePosted]) -> float:
    """Let a tagger empty its full queue in a process of its own, and return how many messages it took a second.

    By the tags' own time stamps: from the end of the first tenth of the sessions to the end of the ninth, since neither
    the start of a process nor the last acknowledgement counts.
    """
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters")
    sessions = len({event.session_id for event in messages})
    await fill(settings, messages, TAGGER_SESSIONS)
    await owner.execute("CHECKPOINT")
    with process(TAGGER, settings) as child:
        async with asyncio.timeout(PATIENCE_S):
            while await owner.fetchval("SELECT count(*) FROM tagging.session_tags") < sessions:
                assert child.running, "the tagger has ended"
                await asyncio.sleep(0.1)
        await _until_empty(settings)
    seconds: float = await owner.fetchval(
        """
        SELECT extract(epoch FROM at[2] - at[1])::float8 FROM (
            SELECT percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY tagged_at) AS at FROM tagging.session_tags
        ) AS middle
        """
    )
    return 0.8 * len(messages) / seconds


async def _until_empty(settings: Settings) -> None:
    """Wait until everything is acknowledged, so that no other round finds it there."""
    async with asyncio.timeout(PATIENCE_S):
        while await waiting(settings, TAGGER_SESSIONS):
            await asyncio.sleep(0.1)


async def _tag_groups(settings: Settings, owner: asyncpg.Connection, messages: Sequence[MessagePosted]) -> float:
    """Tag these group by group, as the tagger does, and return how many that were a second."""
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters")
    await owner.execute("CHECKPOINT")
    size = settings.group_size
    async with open_pool(settings.tagger_database_url, "bench", 1) as pool:
        handler = SessionHandler(Store(pool))
        gc.collect()
        gc.freeze()  # what waits to be tagged is in no tagger's memory, and not to be gone through for garbage
        began = time.perf_counter()
        for start in range(0, len(messages), size):
            await handler.commit(messages[start : start + size])
        return len(messages) / (time.perf_counter() - began)


async def _tag_alone(settings: Settings, owner: asyncpg.Connection, messages: Sequence[MessagePosted]) -> float:
    """Tag each session by a transaction of its own, ten at a time, and return how many that were a second."""
    await owner.execute("TRUNCATE tagging.session_tags, tagging.counters")
    await owner.execute("CHECKPOINT")
    key, waiting = model_id("openai", MODEL), list(reversed(messages))
    async with asyncpg.create_pool(settings.tagger_database_url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:

        async def work() -> None:
            async with pool.acquire() as db:
                while waiting:
                    await _tag_one(db, waiting.pop(), key)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return len(messages) / (time.perf_counter() - began)


async def _tag_one(db: asyncpg.pool.PoolConnectionProxy, event: MessagePosted, key: object) -> None:
    async with db.transaction():
        number = await db.fetchval(
            """
            INSERT INTO tagging.counters AS c (user_id, model_id, last_number) VALUES ($1, $2, 1)
            ON CONFLICT (user_id, model_id) DO UPDATE SET last_number = c.last_number + 1 RETURNING last_number
            """,
            event.user_id,
            key,
        )
        await db.execute(
            """
            INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            event.user_id,
            event.session_id,
            key,
            number,
            f"chat_model_{number:03d}",
            event.event_id,
        )
