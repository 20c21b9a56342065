"""Every order is a row with what became of it: a trip, a refusal, or another order that came first."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from services.workflow.store.hearing.trips import TripStore
from services.workflow.store.ties.naming import name_trip
from shared.database import Pool, open_pool, reading, transaction
from shared.events import TripAttached
from shared.ids import new_id
from tests.connected.locks import until_blocked
from tests.connected.workflow.stage import Stage, lose_an_answer, running_workflow

NO_SUCH_TRIP = ("lost", "not_found", "There is no such trip.")


async def order(stage: Stage, event: object) -> asyncpg.Record:
    """Return an order's row."""
    row = await stage.owner.fetchrow(
        "SELECT * FROM workflow.requests WHERE promised_trip_id = $1",
        event.trip_id,  # type: ignore[attr-defined]
    )
    assert row is not None
    return row


async def became(stage: Stage, event: object, *expected: str | None) -> None:
    """Wait until an order has this state, code and error."""
    await stage.becomes(
        tuple(expected),
        "SELECT (state, code, error) FROM workflow.requests WHERE promised_trip_id = $1",
        event.trip_id,  # type: ignore[attr-defined]
    )


async def code_at_avinode(stage: Stage) -> str:
    """Let a colleague make a trip in Avinode's own pages."""
    await stage.avinode.switch_on(drop=True)
    code, _ = await stage.avinode.trip_with_rfqs(1)
    await stage.avinode.switch_on()
    return code


async def test_an_attachment_is_attached_once_avinode_has_shown_the_trip(quiet: Stage) -> None:
    code = await code_at_avinode(quiet)
    await quiet.avinode.switch_on(rest_status=503)
    async with running_workflow(quiet.settings):
        first = await quiet.attach(code)
        await quiet.becomes(True, "SELECT error IS NOT NULL FROM workflow.trips")
        await became(quiet, first, "attaching", None, None)
        await quiet.avinode.switch_on()
        await became(quiet, first, "attached", None, None)
        again = await quiet.attach(code)  # its session has it
        other = await quiet.attach(code, "s2")
        for event in (again, other):
            await became(quiet, event, "attached", None, None)
            assert (await order(quiet, event))["trip_id"] == first.trip_id
    row = await order(quiet, first)
    assert (row["kind"], row["reference"], row["segments"], row["pax"]) == ("attachment", code, None, None)


async def test_an_attachment_of_what_avinode_does_not_know_is_refused_with_its_words(stage: Stage) -> None:
    event = await stage.attach("atrip-404")
    await stage.becomes("refused", "SELECT state FROM workflow.requests")
    row = await order(stage, event)
    assert (row["code"], row["trip_id"]) == ("avinode_missing", event.trip_id)
    assert row["error"].startswith("atrip-404: answered 404")


async def test_who_comes_second_has_lost_to_the_trip_that_the_session_has(stage: Stage) -> None:
    first, _ = await stage.created()
    for event in (await stage.request(), await stage.attach("atrip-1")):
        await became(stage, event, "lost", "trip_open", "This session has an open trip already.")
        assert (await order(stage, event))["trip_id"] == first.trip_id
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1
    assert await stage.trips_at_avinode() == 1


async def test_an_order_stays_lost_however_often_it_comes(stage: Stage) -> None:
    await stage.created()
    lost = await stage.request()
    await became(stage, lost, "lost", "trip_open", "This session has an open trip already.")
    await stage.owner.execute(
        "UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp() WHERE session_id = 's1'"
    )
    stage.advanced.clear()
    await stage.publisher.publish(lost)
    await stage.answered(lost.event_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


@pytest.mark.parametrize("reference", ["held by ada", "../webhooks/settings"])
async def test_of_what_is_not_theirs_a_caller_learns_nothing(stage: Stage, reference: str) -> None:
    code = await code_at_avinode(stage)
    first = await stage.attach(code, user_id="ada")
    await became(stage, first, "attached", None, None)
    refused = await stage.attach(code if reference == "held by ada" else reference, user_id="eve")
    await became(stage, refused, *NO_SUCH_TRIP)
    assert (await order(stage, refused))["trip_id"] is None


async def test_whose_trip_turns_out_to_be_somebody_elses_has_lost(quiet: Stage) -> None:
    """Attached here by its code and there by its id, which nobody can tell apart before Avinode is read."""
    code = await code_at_avinode(quiet)
    avinode_trip_id = (await quiet.avinode.read(f"trips/{code}"))["id"]
    await quiet.avinode.switch_on(rest_status=503)
    async with running_workflow(quiet.settings):
        orders: list[TripAttached] = []
        for user_id, reference in (("ada", code), ("eve", avinode_trip_id)):
            orders.append(await quiet.attach(reference, user_id=user_id))
            await quiet.answered(orders[-1].event_id)
        await quiet.avinode.switch_on()
        await became(quiet, orders[0], "attached", None, None)
        await became(quiet, orders[1], *NO_SUCH_TRIP)
    assert (await order(quiet, orders[1]))["trip_id"] is None


async def test_orders_follow_a_trip_that_turns_out_to_be_another(quiet: Stage) -> None:
    requested = await lose_an_answer(quiet)
    async with running_workflow(quiet.settings):
        (trip,) = (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]
        attached = await quiet.attach(trip["tripId"], "s2")
        await became(quiet, attached, "attached", None, None)
        await became(quiet, requested, "created", None, None)
    assert attached.trip_id != requested.trip_id
    for event in (attached, requested):
        assert (await order(quiet, event))["trip_id"] == requested.trip_id


async def test_a_user_sees_their_own_orders_and_nobody_elses(stage: Stage) -> None:
    first, _ = await stage.created()
    lost = await stage.request()
    await became(stage, lost, "lost", "trip_open", "This session has an open trip already.")
    async with open_pool(stage.settings.reader_database_url, "test") as pool:
        for user_id, expected in (("ada", {first.trip_id, lost.trip_id}), ("eve", set())):
            async with reading(pool, user_id) as db:
                rows = await db.fetch("SELECT promised_trip_id FROM workflow.requests")
                assert {row["promised_trip_id"] for row in rows} == expected


@pytest.fixture
async def pool(quiet: Stage) -> AsyncIterator[Pool]:
    async with open_pool(quiet.settings.workflow_database_url, "test", 4) as opened:
        yield opened


async def tie(stage: Stage, *, is_open: bool, avinode_trip_id: str | None = None) -> UUID:
    """Make a trip of the session s1 of ada."""
    trip_id = new_id()
    await stage.owner.execute(
        "INSERT INTO workflow.trips (trip_id, avinode_trip_id) VALUES ($1, $2)", trip_id, avinode_trip_id
    )
    await stage.owner.execute(
        """
        INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, open, ended_at)
        VALUES ('ada', 's1', $1, $2, CASE WHEN NOT $2 THEN clock_timestamp() END)
        """,
        trip_id,
        is_open,
    )
    return trip_id


async def test_orders_that_meet_a_merge_wait_for_it(quiet: Stage, pool: Pool) -> None:
    """The trip that their session has becomes another one: they follow it, and none is left without a row."""
    kept, other = await tie(quiet, is_open=False), await tie(quiet, is_open=True, avinode_trip_id="atrip-5")
    same = TripAttached(user_id="ada", session_id="s1", trip_id=new_id(), avinode_trip_id="atrip-5")
    for event, state in ((same, "attaching"), (quiet.requested(), "lost")):
        async with transaction(pool) as db:
            await name_trip(db, kept, "atrip-5", None, shared=False)
            placing = asyncio.create_task(TripStore(pool, shared=False).record([event]))
            await until_blocked(quiet.owner)
        assert [outcome.trip_id for outcome in await placing] == [kept]
        row = await order(quiet, event)
        assert (row["state"], row["trip_id"]) == (state, kept)
        await quiet.owner.execute("UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp()")
        await quiet.owner.execute("UPDATE workflow.trips SET avinode_trip_id = NULL")
        other = await tie(quiet, is_open=True, avinode_trip_id="atrip-5")
    assert other != kept


async def test_an_order_whose_place_an_older_workflow_takes_is_lost(quiet: Stage, pool: Pool) -> None:
    """An older workflow takes another lock, so its trip is seen only when ours is refused for it."""
    event = quiet.requested()
    async with transaction(pool) as db:
        first = new_id()
        await db.execute("INSERT INTO workflow.trips (trip_id) VALUES ($1)", first)
        await db.execute(
            "INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id) VALUES ('ada', 's1', $1)", first
        )
        placing = asyncio.create_task(TripStore(pool, shared=False).record([event]))
        await until_blocked(quiet.owner)
    assert [outcome.trip_id for outcome in await placing] == [first]
    row = await order(quiet, event)
    assert (row["state"], row["code"], row["trip_id"]) == ("lost", "trip_open", first)
