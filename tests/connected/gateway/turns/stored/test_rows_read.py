"""What a turn costs the database does not grow with what was said before it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from deploy.doctor.database import check_database
from services.gateway.turns.stored.claims import Claim, Lost, claim_turns
from services.gateway.turns.stored.outbox import Outbox
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn, text_parts
from shared.database import Pool, open_pool
from shared.settings import Settings
from tests.pure.gateway.samples import claim
from tests.waiting import until

LONG = 5000  # turns of ann's session; bob has as many sessions of one turn


@dataclass
class Watched:
    """A store whose statements' reading and writing is counted."""

    store: TurnStore
    readings: TurnReadings
    pool: Pool  # of one connection
    owner: asyncpg.Connection

    async def rows_read(self) -> int:
        """Count the rows of `gateway.turns`, in the table and its indexes, that the store's statements went through."""
        await self.pool.execute("SELECT pg_stat_force_next_flush()")
        return int(
            await self.owner.fetchval(
                """
                SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid)
                FROM pg_stat_user_tables t WHERE relid = 'gateway.turns'::regclass
                """
            )
        )

    async def is_alone(self) -> bool:
        """Tell whether the only connections to this database are the store's and the owner's."""
        others = await self.owner.fetchval(
            """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND backend_type = 'client backend' AND pid <> ALL (ARRAY[$1, pg_backend_pid()])
            """,
            await self.pool.fetchval("SELECT pg_backend_pid()"),
        )
        return bool(others == 0)

    async def updates(self) -> tuple[int, int]:
        """Count the updates of `gateway.turns`, and those of them that touched no index."""
        await self.pool.execute("SELECT pg_stat_force_next_flush()")
        row = await self.owner.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'gateway.turns'::regclass"
        )
        return (row["n_tup_upd"], row["n_tup_hot_upd"]) if row else (0, 0)


async def say(owner: asyncpg.Connection, turns: int) -> None:
    """Store so many ended turns of ann's session, and as many sessions of one turn of bob's."""
    await owner.execute(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at, question_published, answer, answered_at, answer_published)
        SELECT gen_random_uuid(), user_id, CASE user_id WHEN 'ann' THEN 's1' ELSE number::text END, '', 'gone',
            'complete', now(), gen_random_uuid(), 'm', 'p', '{"message_id": "m", "content": "hello"}',
            now() + number * interval '1 ms' - interval '2 days', true,
            '{"content": "hi", "parts": [], "status": "complete"}',
            now() + number * interval '1 ms' - interval '2 days', true
        FROM generate_series(1, $1) number, unnest(ARRAY['ann', 'bob']) user_id
        """,
        turns,
    )


@pytest.fixture
async def unwatched(settings: Settings, owner: asyncpg.Connection) -> AsyncIterator[Watched]:
    async with open_pool(settings.gateway_database_url, "test", size=1) as pool:
        yield Watched(TurnStore(pool), TurnReadings(pool), pool, owner)


@pytest.fixture
async def watched(unwatched: Watched) -> Watched:
    await say(unwatched.owner, LONG)
    await unwatched.owner.execute("VACUUM ANALYZE gateway.turns")
    await unwatched.owner.execute("SELECT pg_stat_force_next_flush()")  # of what the VACUUM has read
    await unwatched.owner.execute("SELECT pg_stat_reset()")
    return unwatched


async def test_claiming_a_long_session_reads_few_rows(watched: Watched) -> None:
    [newest], _ = await watched.readings.session(["ann"], "s1", limit=1)
    before = await watched.rows_read()
    claimed = await watched.store.claim(claim(known_until=newest.place))
    assert isinstance(claimed, Turn)
    assert await watched.rows_read() - before < 20


@pytest.mark.parametrize("recalled", [False, True], ids=["read", "recalled"])
async def test_claims_that_were_planned_for_an_empty_table_read_few_rows(unwatched: Watched, recalled: bool) -> None:
    def claims(numbers: range) -> list[Claim]:
        return [claim(user_id="ann", session_id=f"new-{number}", is_recalled=recalled) for number in numbers]

    async with claim_turns(unwatched.pool, claims(range(1))):
        await say(unwatched.owner, LONG)
    before = await unwatched.rows_read()
    async with claim_turns(unwatched.pool, claims(range(1, 9))) as claimed:
        # Nobody can recall a session that nothing was said in.
        assert all(turn is Lost.STALE if recalled else isinstance(turn, Turn) for turn in claimed)
    assert await unwatched.rows_read() - before < 8 * 20


async def test_reading_a_long_session_reads_what_is_shown(watched: Watched) -> None:
    turns, _ = await watched.readings.session(["ann", "nobody"], "s1", limit=10)
    assert [turn.place for turn in turns] == sorted((turn.place for turn in turns), reverse=True)
    assert len(turns) == 10
    assert await watched.rows_read() < 40


async def test_the_doctor_reads_what_is_running_or_untold(watched: Watched, settings: Settings) -> None:
    await watched.store.claim(claim(session_id="s2"))
    before = await watched.rows_read()
    found = [finding async for finding in check_database(settings)]
    assert {"turns past their lease", "messages not told"} <= {finding.subject for finding in found}
    await until(watched.is_alone, "the doctor's connections to end, which tell of their reading then")
    assert await watched.rows_read() - before < 20


async def test_a_renewal_and_a_checkpoint_touch_no_index(watched: Watched) -> None:
    claimed = await watched.store.claim(claim(session_id="s2"))
    assert isinstance(claimed, Turn)
    for _ in range(5):
        await watched.store.renew([(claimed.turn_id, 1)])
        await watched.store.checkpoint([(claimed.turn_id, 1, 0, text_parts("so far"))])
    assert await watched.updates() == (10, 10)


async def test_looking_for_old_turns_reads_no_new_ones(watched: Watched) -> None:
    await watched.owner.execute(
        "UPDATE gateway.turns SET asked_at = now(), answered_at = now() + interval '1 ms', stored_at = now()"
    )
    await watched.owner.execute("VACUUM FULL ANALYZE gateway.turns")
    await watched.owner.execute("SELECT pg_stat_force_next_flush()")
    before = await watched.rows_read()
    assert await Outbox(watched.pool, watched.pool).trim() == 0
    assert await watched.rows_read() - before < LONG
