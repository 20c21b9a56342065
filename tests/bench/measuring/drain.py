"""How fast a consumer empties a full queue into the tables."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import asyncpg

from deploy.supervisor.machine.child import Child
from shared.events import MessageEvent
from shared.settings import Settings
from tests.bench.running.servers import process, resident_mib
from tests.bench.workload.load import conversations, fill

PATIENCE_S = 300.0


@dataclass(frozen=True)
class Drain:
    messages_per_s: float
    resident_mib: float


async def drain(
    settings: Settings, owner: asyncpg.Connection, consumer: Sequence[str], count: int, *, sessions_exist: bool = False
) -> Drain:
    """Fill the queue, let a consumer empty it in a process of its own, and return how fast that went.

    The rate is that of the middle eight tenths, by the rows' own time stamps: neither the start of a process nor the
    last acknowledgement counts, for nobody.
    """
    await owner.execute("TRUNCATE chat.sessions, chat.traces CASCADE")
    messages = list(islice(conversations(), count))
    await fill(settings, messages)
    if sessions_exist:
        await _make_sessions(owner, messages)
    await owner.execute("CHECKPOINT")
    with process(consumer, settings) as child:
        await until_stored(owner, count, child)
        assert child.pid is not None
        memory = resident_mib(child.pid)
    seconds = await owner.fetchval(
        """
        SELECT extract(epoch FROM at[2] - at[1])::float8 FROM (
            SELECT percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY stored_at) AS at FROM chat.messages
        ) AS middle
        """
    )
    return Drain(0.8 * count / seconds, memory)


async def _make_sessions(owner: asyncpg.Connection, messages: Sequence[MessageEvent]) -> None:
    sessions = {(event.user_id, event.session_id): event.created_at for event in messages}
    await owner.executemany(
        """
        INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at) VALUES ($1, $2, $3, $3)
        """,
        [(*session, at) for session, at in sessions.items()],
    )


async def until_stored(owner: asyncpg.Connection, count: int, consumer: Child) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await owner.fetchval("SELECT count(*) FROM chat.messages") < count:
            assert consumer.running, f"{consumer.name} has ended"
            await asyncio.sleep(0.25)
