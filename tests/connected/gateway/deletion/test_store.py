"""What is accepted at the same time as something else, on a real PostgreSQL with the gateway's own role."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from deploy.commands.erase import erase
from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.noted import NotedDeletions
from services.gateway.deletion.store import DeletionStore
from services.gateway.deletion.sweeping import DeletionSweeper
from services.gateway.deletion.sweeps import SweepStore
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.writes.announcing import Announcing
from services.gateway.writes.receipts import Receipts
from shared.database import Pool, open_pool
from shared.ids import new_id
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.waiting import until

QUESTION = '{"message_id": "q", "content": "Hello"}'
ANSWER = '{"content": "x", "parts": [], "status": "complete", "error": null, "trace": {}, "revision": 0}'


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(settings.gateway_database_url, "test", size=4) as pool:
        yield pool


async def a_turn(owner: asyncpg.Connection, state: str, question: str = QUESTION, user_id: str = "ann") -> UUID:
    turn_id = new_id()
    ended = state != "running"
    await owner.execute(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at, answer, answered_at)
        VALUES ($1, $5, 's', 'x', 'o', $2, now() + interval '1 minute', $1, 'm', 'openai', $3, now(), $4,
            CASE WHEN $4::jsonb IS NOT NULL THEN now() END)
        """,
        turn_id,
        state,
        question,
        ANSWER if ended else None,
        user_id,
    )
    return turn_id


async def test_two_deletions_of_one_session_at_once_are_one(pool: Pool, owner: asyncpg.Connection) -> None:
    store = DeletionStore(pool)
    async with owner.transaction():
        first = new_id()
        await owner.execute(
            "INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id) VALUES ('ann', 's', $1, $1)",
            first,
        )
        second = asyncio.create_task(store.delete([("ann", "s")], new_id()))
        await until_blocked(owner)
    assert [deletion.event_id for deletion in await second] == [first]


async def test_of_two_erasures_at_once_the_later_moment_counts(pool: Pool, owner: asyncpg.Connection) -> None:
    store = DeletionStore(pool)
    await store.erase(["ann"], new_id())
    async with owner.transaction():
        await owner.execute("SELECT FROM gateway.erasures FOR UPDATE")
        second = asyncio.create_task(store.erase(["ann"], new_id()))
        await until_blocked(owner)
        later = await owner.fetchval("UPDATE gateway.erasures SET erased_at = clock_timestamp() RETURNING erased_at")
    assert (await second)[0].erased_at > later


async def test_what_is_being_erased_is_neither_taken_for_a_message_nor_run_again(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    turns, readings = TurnStore(pool), TurnReadings(pool)
    turn_id = await a_turn(owner, "interrupted", QUESTION.replace("Hello", "Hi"))
    known = await turns.find(turn_id)
    assert known is not None
    await DeletionStore(pool).erase(["ann"], new_id())
    assert await turns.take("ann", "s", "user", "Hi") is None
    assert await turns.rerun(known, "another") is None
    assert (await readings.session(["ann"], "s")).turns == []
    assert await turns.running(["ann"], "s") is None


async def test_what_is_deleted_is_not_run_again(pool: Pool, owner: asyncpg.Connection) -> None:
    turns = TurnStore(pool)
    known = await turns.find(await a_turn(owner, "interrupted"))
    assert known is not None
    await DeletionStore(pool).delete([("ann", "s")], new_id())
    assert await turns.rerun(known, "another") is None


class _NoOneRuns(RunningTurns):
    def __init__(self) -> None:
        """Run nothing, and stop nothing."""


def sweeper_of(pool: Pool, settings: Settings) -> DeletionSweeper:
    store, noted, turns = DeletionStore(pool), NotedDeletions(pool), TurnStore(pool)
    publisher, receipts = Publisher(settings, "test"), Receipts()
    deleting = Deleting(
        store,
        noted,
        turns,
        _NoOneRuns(),
        publisher=publisher,
        receipts=receipts,
        announcing=Announcing(publisher, receipts),
        unfit=Unfit(),
    )
    return DeletionSweeper(store, SweepStore(pool), noted, turns, deleting)


async def test_a_running_turn_that_cannot_be_read_holds_up_nothing_else(
    pool: Pool, owner: asyncpg.Connection, settings: Settings
) -> None:
    await a_turn(owner, "running", '{"something": "else"}')
    await a_turn(owner, "complete", user_id="bob")
    await DeletionStore(pool).delete([("ann", "s"), ("bob", "s")], new_id())
    sweeper = sweeper_of(pool, settings)

    async def swept() -> bool:
        await sweeper.sweep_sessions()
        rows = await owner.fetch("SELECT user_id FROM gateway.deletions WHERE swept_at IS NOT NULL")
        return [row["user_id"] for row in rows] == ["bob"]

    await until(swept, "the sweep of the other session")


async def test_erasures_that_wait_for_another_service_hold_up_none_here(
    pool: Pool, owner: asyncpg.Connection, settings: Settings
) -> None:
    await owner.execute(
        """
        INSERT INTO gateway.erasures (user_hash, user_id, event_id, correlation_id, swept_at, noted_at)
        SELECT tripthread.user_hash(i::text), i, gen_random_uuid(), gen_random_uuid(), now(), now()
        FROM generate_series(1, 500) i
        """
    )
    await a_turn(owner, "complete")
    await DeletionStore(pool).erase(["ann"], new_id())
    sweeper = sweeper_of(pool, settings)

    async def swept() -> bool:
        await sweeper.sweep_users()
        return bool(await owner.fetchval("SELECT swept_at IS NOT NULL FROM gateway.erasures WHERE user_id = 'ann'"))

    await until(swept, "the sweep of the last")
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 0


@pytest.mark.parametrize("user", ["", "x" * 256, "a\nb"])
async def test_nobody_is_called_so_and_erased(settings: Settings, owner: asyncpg.Connection, user: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        await erase(settings, user)
    assert await owner.fetchval("SELECT count(*) FROM gateway.erasures") == 0


async def test_an_erasure_by_a_gateway_that_knew_of_no_links_takes_the_visitors_with_it(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    await owner.execute("INSERT INTO gateway.linked_visitors (visitor_id, user_id) VALUES ('visitor_1', 'ann')")
    erased_at = await owner.fetchval(
        """
        INSERT INTO gateway.erasures (user_hash, user_id, event_id, correlation_id, told_at)
        VALUES (tripthread.user_hash('ann'), 'ann', gen_random_uuid(), gen_random_uuid(), now()) RETURNING erased_at
        """
    )
    for _ in range(2):
        await SweepStore(pool).sweep_user("ann", erased_at)
    rows = await owner.fetch("SELECT user_id, told_at IS NULL AS is_to_be_told FROM gateway.erasures ORDER BY user_id")
    assert [tuple(row) for row in rows] == [("ann", False), ("visitor_1", True)]
    assert await owner.fetchval("SELECT count(*) FROM gateway.linked_visitors") == 0
