"""What deleted sessions and erased users had goes in portions, and a trip with its last session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest

from services.workflow.store.hearing.trips import TripStore
from services.workflow.store.sweeps import Gone, SweepStore
from services.workflow.store.ties.naming import name_trip
from services.workflow.sweeping.jobs import Sweeper
from shared.database import Pool, open_pool, transaction
from shared.events import SessionDeleted, TripReleased, UserErased
from shared.ids import new_id, user_hash
from shared.jobs import ledger
from tests.connected.locks import until_blocked
from tests.connected.workflow.deletion.test_deletion import at, attached, commit, deleted, erased, reference_of
from tests.connected.workflow.stage import Stage, running_workflow
from tests.waiting import PATIENCE_S

UNDONE = """
    SELECT (SELECT count(*) FROM workflow.deleted_sessions WHERE swept_at IS NULL)
        + (SELECT count(*) FROM workflow.erased_users WHERE done_at IS NULL)
"""
OF_TRIPS = ("trip_messages", "quotes", "lifts", "rfqs", "notes", "proposals", "proposal_sends")
TABLES = ("trips", "trip_sessions", "requests", *OF_TRIPS)
PORTION = 2


@pytest.fixture
async def pool(quiet: Stage) -> AsyncIterator[Pool]:
    async with open_pool(quiet.settings.workflow_database_url, "workflow") as pool:
        yield pool


@pytest.fixture
def trips(pool: Pool) -> TripStore:
    return TripStore(pool, shared=True)


async def counts(stage: Stage) -> dict[str, int]:
    """Count the rows of every table of trips."""
    return {table: await stage.owner.fetchval(f"SELECT count(*) FROM workflow.{table}") for table in TABLES}  # noqa: S608


async def sweep_once(pool: Pool) -> bool:
    """Sweep one portion, as a process does that has just begun."""
    sweeper = Sweeper(pool, SweepStore(pool, PORTION))
    return await sweeper.sweep_session() or await sweeper.sweep_user()


async def sweep(stage: Stage, pool: Pool) -> list[dict[str, int]]:
    """Sweep until everything is done; returns what was left after each portion."""
    left = [await counts(stage)]
    async with asyncio.timeout(PATIENCE_S):
        while await stage.owner.fetchval(UNDONE):
            await sweep_once(pool)
            left.append(await counts(stage))
    return left


async def fill(stage: Stage, trip_id: UUID, rows: int) -> None:
    """Give a trip so many RFQs of three lifts, quotes, messages and proposals."""
    await stage.owner.execute(
        f"""
        INSERT INTO workflow.rfqs (rfq_id, trip_id, fetched_at)
            SELECT '{trip_id}/' || n, '{trip_id}', now() FROM generate_series(1, {rows}) AS n;
        INSERT INTO workflow.lifts (lift_id, rfq_id, trip_id, fetched_at)
            SELECT rfq_id || m, rfq_id, trip_id, now() FROM workflow.rfqs, generate_series(1, 3) AS m
            WHERE trip_id = '{trip_id}';
        INSERT INTO workflow.quotes (quote_id, rfq_id, trip_id, lift_id, estimate, fetched_at)
            SELECT rfq_id, rfq_id, trip_id, rfq_id, true, now() FROM workflow.rfqs WHERE trip_id = '{trip_id}';
        INSERT INTO workflow.trip_messages (avinode_message_id, trip_id, kind, fetched_at)
            SELECT rfq_id, trip_id, 'chat', now() FROM workflow.rfqs WHERE trip_id = '{trip_id}';
        INSERT INTO workflow.notes (trip_id, kind, subject, told_at)
            SELECT trip_id, 'decline', rfq_id, now() FROM workflow.rfqs WHERE trip_id = '{trip_id}';
        INSERT INTO workflow.proposals (proposal_id, trip_id, user_id, session_id, quote_ids, prepared_at, accepted_at,
            changed_at, changed_by, event_id)
            SELECT gen_random_uuid(), trip_id, 'cyd', 's', '{{}}', now(), now(), now(), gen_random_uuid(),
                gen_random_uuid()
            FROM workflow.rfqs WHERE trip_id = '{trip_id}';
        INSERT INTO workflow.proposal_sends (event_id, proposal_id, trip_id, user_id, session_id, created_at)
            SELECT gen_random_uuid(), proposal_id, trip_id, user_id, session_id, now() FROM workflow.proposals
            WHERE trip_id = '{trip_id}'
        """  # noqa: S608
    )


def filled(rows: int) -> dict[str, int]:
    """Return how many rows `fill` leaves."""
    return dict.fromkeys(OF_TRIPS, rows) | {"lifts": 3 * rows}


@pytest.mark.parametrize("gone", [deleted("s1"), erased()])
async def test_trip_of_one_session_goes_in_portions_with_all_that_it_has(
    quiet: Stage, trips: TripStore, pool: Pool, gone: SessionDeleted | UserErased
) -> None:
    order = attached("atrip-1", "s1", seconds=1)
    lost = [attached("atrip-9", "s1", seconds=2) for _ in range(5)]
    other = quiet.requested("s1", "bob", accepted_at=at(1))
    await commit(trips, order, *lost, other)
    for event in (order, other):
        await fill(quiet, event.trip_id, 5)

    await commit(trips, gone)
    left = await sweep(quiet, pool)

    assert left[0] == {"trips": 2, "trip_sessions": 2, "requests": 7} | filled(10)
    assert left[-1] == {"trips": 1, "trip_sessions": 1, "requests": 1} | filled(5)
    assert all(after[table] >= before[table] - PORTION for before, after in pairwise(left) for table in TABLES)
    assert await quiet.owner.fetchval("SELECT trip_id FROM workflow.trips") == other.trip_id


async def test_trip_of_two_sessions_goes_with_the_second(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    first = attached("atrip-1", "s1", seconds=1)
    await commit(trips, first, attached("atrip-1", "s2", seconds=1))
    await fill(quiet, first.trip_id, 3)

    await commit(trips, deleted("s1"))
    left = (await sweep(quiet, pool))[-1]
    assert left == {"trips": 1, "trip_sessions": 1, "requests": 1} | filled(3)
    assert await reference_of(quiet, attached("atrip-1", "s2")) == "atrip-1"

    await commit(trips, deleted("s2"))
    assert (await sweep(quiet, pool))[-1] == dict.fromkeys(TABLES, 0)


async def test_trip_of_two_users_stays_with_the_one_who_was_not_erased(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    first = attached("atrip-1", "s1", seconds=1)
    own = [quiet.requested(f"own{place}", accepted_at=at(1)) for place in range(3)]
    await commit(trips, first, attached("atrip-1", user="bob", seconds=1), *own)
    await commit(trips, deleted("own0", seconds=2), deleted("own1", seconds=12))
    new = quiet.requested("new", accepted_at=at(11))
    await commit(trips, erased(seconds=9), new)

    await sweep(quiet, pool)

    ties = await quiet.owner.fetch("SELECT user_id, session_id, trip_id FROM workflow.trip_sessions ORDER BY user_id")
    assert [tuple(row) for row in ties] == [("ada", "new", new.trip_id), ("bob", "s1", first.trip_id)]
    assert {row["trip_id"] for row in await quiet.owner.fetch("SELECT trip_id FROM workflow.trips")} == {
        first.trip_id,
        new.trip_id,
    }
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.requests WHERE user_id = 'ada'") == 1
    assert await quiet.owner.fetchval("SELECT array_agg(session_id) FROM workflow.deleted_sessions") == ["own1"]
    [line] = await quiet.owner.fetch("SELECT user_hash, user_id FROM workflow.erased_users")
    assert tuple(line) == (user_hash("ada"), None)
    assert await commit(trips, *own, first) == []


async def test_trip_with_many_sessions_of_an_erased_user_goes_in_portions(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    await commit(trips, *(attached("atrip-1", f"s{place}", seconds=1) for place in range(7)))
    await commit(trips, erased())

    left = await sweep(quiet, pool)

    assert left[-1] == dict.fromkeys(TABLES, 0)
    assert all(after["trip_sessions"] >= before["trip_sessions"] - PORTION for before, after in pairwise(left))


async def test_whoever_attaches_a_trip_that_is_being_swept_has_another_row(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    first = attached("atrip-1", "s1", seconds=1)
    await commit(trips, first)
    await fill(quiet, first.trip_id, 5)
    await commit(trips, deleted("s1"))
    async with asyncio.timeout(PATIENCE_S):
        while (await counts(quiet))["trip_messages"] == 5:
            await sweep_once(pool)

    again = attached("atrip-1", "s2", user="bob", seconds=10)
    await commit(trips, again)
    await sweep(quiet, pool)

    assert await reference_of(quiet, again) == "atrip-1"
    assert await counts(quiet) == {"trips": 1, "trip_sessions": 1, "requests": 1} | filled(0)


@pytest.mark.parametrize("is_swept_first", [True, False])
@pytest.mark.parametrize("has_another", [True, False])
async def test_tie_that_is_committed_beside_a_sweep_keeps_its_trip(
    quiet: Stage, trips: TripStore, pool: Pool, is_swept_first: bool, has_another: bool
) -> None:
    """Both wait for the trip's row; with another session of the trip, the new tie is to that very row."""
    first, again = attached("atrip-1", "s1", seconds=1), attached("atrip-1", "s2", user="bob", seconds=10)
    await commit(trips, first, *([attached("atrip-1", "s3", seconds=1)] if has_another else []))
    await commit(trips, deleted("s1"))
    async with holding(quiet, first.trip_id):
        jobs = [SweepStore(pool).untie(Gone("ada", "s1")), commit(trips, again)]
        tasks = []
        for count, job in enumerate(jobs if is_swept_first else reversed(jobs), start=1):
            tasks.append(asyncio.create_task(job))
            await until_blocked(quiet.owner, count)
    await asyncio.gather(*tasks)
    await sweep(quiet, pool)

    assert await reference_of(quiet, again) == "atrip-1"
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


async def test_session_that_is_deleted_while_its_trip_is_attached_by_another_leaves_it(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    first, again = attached("atrip-1", "s1", seconds=1), attached("atrip-1", "s2", user="bob", seconds=10)
    await commit(trips, first, again)
    await fill(quiet, first.trip_id, 3)
    await commit(trips, deleted("s1"))

    await sweep(quiet, pool)

    assert await counts(quiet) == {"trips": 1, "trip_sessions": 1, "requests": 1} | filled(3)


async def test_notices_that_wait_for_a_trip_that_goes_wait_no_more(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    order = attached("ABC123", "s1", seconds=1)
    await commit(trips, order)
    await quiet.owner.execute(
        """
        INSERT INTO workflow.deliveries (delivery_id, source, payload, received_at, event_id, state, trip_code)
        SELECT gen_random_uuid(), 'avinode', '', now(), gen_random_uuid(), state, trip_code
        FROM unnest('{unmatched,done,unmatched}'::text[], '{ABC123,ABC123,XYZ789}'::text[]) AS old (state, trip_code)
        """
    )
    await commit(trips, deleted("s1"))

    await sweep(quiet, pool)

    rows = await quiet.owner.fetch("SELECT state, trip_code FROM workflow.deliveries ORDER BY state, trip_code")
    assert [tuple(row) for row in rows] == [("done", "ABC123"), ("ignored", "ABC123"), ("unmatched", "XYZ789")]


async def test_order_of_somebody_from_whom_the_trip_was_taken_stays_when_the_trip_goes(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    first, taken = attached("atrip-1", seconds=1), attached("atrip-1", user="bob", seconds=1)
    await commit(trips, first, taken)
    await commit(trips, TripReleased(trip_id=first.trip_id, user_ids=("bob",), operator="root"))
    await commit(trips, erased())

    await sweep(quiet, pool)

    [row] = await quiet.owner.fetch("SELECT user_id, state, code, trip_id FROM workflow.requests")
    assert tuple(row) == ("bob", "lost", "trip_released", None)
    assert (await counts(quiet))["trips"] == 0


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("gone", [deleted("s1", user="eve"), erased("eve")])
async def test_trip_that_was_taken_from_somebody_stays_so_when_the_order_that_says_it_goes(
    quiet: Stage, pool: Pool, is_shared: bool, gone: SessionDeleted | UserErased
) -> None:
    trips = TripStore(pool, shared=is_shared)
    first = attached("atrip-1", "s1", user="eve", seconds=1)
    await commit(trips, first, *([attached("atrip-1", "b1", user="bob", seconds=1)] if is_shared else []))
    await commit(trips, TripReleased(trip_id=first.trip_id, user_ids=("eve",), operator="root"))

    await commit(trips, gone)
    for _ in range(2):  # swept not yet, and swept
        again = attached("atrip-1", f"s{new_id().hex}", user="eve", seconds=20)
        await commit(trips, again)
        assert await reference_of(quiet, again) is None
        await sweep(quiet, pool)
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips") == int(is_shared)
    await commit(trips, stranger := attached("atrip-1", user="cleo", seconds=20))
    assert await reference_of(quiet, stranger) == "atrip-1"


async def test_trip_that_was_taken_is_known_by_each_of_its_names(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    """It was attached and taken by its code; by its id, and its code again, once these are known to be one trip."""
    first = attached("ABC123", "s1", user="eve", seconds=1)
    await commit(trips, first)
    await commit(trips, TripReleased(trip_id=first.trip_id, user_ids=("eve",), operator="root"))
    by_id = attached("atrip-1", "s2", user="eve", seconds=2)
    await commit(trips, by_id)
    assert await reference_of(quiet, by_id) == "atrip-1"  # nobody can know

    async with transaction(pool) as db:
        await name_trip(db, by_id.trip_id, "atrip-1", "ABC123", shared=True)
    assert await reference_of(quiet, by_id) is None
    await commit(trips, deleted("s1", user="eve"), deleted("s2", user="eve"))
    await sweep(quiet, pool)
    for name in ("atrip-1", "ABC123"):
        await commit(trips, again := attached(name, f"by-{name}", user="eve", seconds=20))
        assert await reference_of(quiet, again) is None
    assert (await counts(quiet))["trips"] == 0

    await commit(trips, newer := attached("ABC123", user="bob", seconds=20))  # the code comes a second time
    async with transaction(pool) as db:
        await name_trip(db, newer.trip_id, "atrip-2", "ABC123", shared=True)
    await commit(trips, other := attached("ABC123", "s9", user="eve", seconds=21))
    assert await reference_of(quiet, other) == "atrip-2"


async def test_trip_that_was_taken_before_it_had_a_name_is_known_when_it_has_one(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    order = quiet.requested("s1", "eve", accepted_at=at(1))
    await commit(trips, order)
    await commit(trips, TripReleased(trip_id=order.trip_id, user_ids=("eve",), operator="root"))
    await commit(trips, deleted("s1", user="eve"))
    await sweep(quiet, pool)
    async with transaction(pool) as db:
        assert await name_trip(db, order.trip_id, "atrip-1", "ABC123", shared=True) is None

    await commit(trips, again := attached("ABC123", "s2", user="eve", seconds=20))

    assert await reference_of(quiet, again) is None


async def test_sweep_waits_for_whoever_may_not_have_seen_the_tombstone(
    quiet: Stage, trips: TripStore, pool: Pool
) -> None:
    order = attached("atrip-1", "s1", seconds=1)
    await commit(trips, order)
    async with pool.acquire() as late:
        writing = late.transaction()
        await writing.start()
        await late.fetchval("SELECT count(*) FROM workflow.deleted_sessions")
        await commit(trips, deleted("s1"), erased("bob"))
        for _ in range(3):
            assert not await sweep_once(pool)
        await late.execute(
            """
            INSERT INTO workflow.requests (request_id, kind, promised_trip_id, trip_id, user_id, session_id, reference,
                state, event_id) VALUES ($1, 'attachment', $1, $2, 'ada', 's1', 'atrip-1', 'attached', $1)
            """,
            new_id(),
            order.trip_id,
        )
        assert not await sweep_once(pool)
        await writing.commit()

    assert (await sweep(quiet, pool))[-1] == dict.fromkeys(TABLES, 0)


async def test_notes_are_found_in_portions(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    users = [f"u{place}" for place in range(5)]
    await commit(trips, *(deleted(f"s{place}") for place in range(5)), *(erased(user) for user in users))
    store = SweepStore(pool, PORTION)
    for found in (2, 4, 5):
        await store.next_session()
        await ledger.next_erasure(pool, "workflow.erased_users", PORTION)
        for table in ("deleted_sessions", "erased_users"):
            noted = f"SELECT count(*) FROM workflow.{table} WHERE noted_at <> 'infinity'"  # noqa: S608
            assert await quiet.owner.fetchval(noted) == found


async def test_erasure_after_one_that_is_done_is_done_too(quiet: Stage, trips: TripStore, pool: Pool) -> None:
    await commit(trips, erased(seconds=1), quiet.requested("s1", accepted_at=at(2)))
    await sweep(quiet, pool)
    assert (await counts(quiet))["trips"] == 1
    await commit(trips, erased(seconds=3))

    assert (await sweep(quiet, pool))[-1] == dict.fromkeys(TABLES, 0)


async def test_trip_that_was_swept_is_read_at_avinode_no_more(quiet: Stage) -> None:
    settings = quiet.settings.model_copy(update={"trip_reread_s": 0.05, "trip_reread_longest_s": 0.05})
    async with running_workflow(settings):
        _, gone = await quiet.created("s1")
        _, stays = await quiet.created("s2")
        await quiet.called("GET", f"/trips/{gone}", times=2)
        await quiet.publisher.publish(SessionDeleted(user_id="ada", session_id="s1"))
        await quiet.becomes(1, "SELECT count(*) FROM workflow.trips")
        await quiet.becomes(True, "SELECT swept_at IS NOT NULL FROM workflow.deleted_sessions")
        so_far = len(await quiet.calls("GET", f"/trips/{gone}"))
        await quiet.called("GET", f"/trips/{stays}", times=len(await quiet.calls("GET", f"/trips/{stays}")) + 5)

        assert len(await quiet.calls("GET", f"/trips/{gone}")) - so_far <= 1  # one that was under way
        rfqs = await quiet.send_rfqs(gone, 1)  # a colleague goes on with it at Avinode
        assert rfqs
        await quiet.becomes(True, "SELECT count(*) > 0 FROM workflow.deliveries WHERE state = 'unmatched'")

    assert await quiet.trips_at_avinode() == 2
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.rfqs") == 0


@asynccontextmanager
async def holding(stage: Stage, trip_id: UUID) -> AsyncIterator[None]:
    """Hold a trip's row."""
    connection = await asyncpg.connect(stage.settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", trip_id)
            yield
    finally:
        await connection.close()
