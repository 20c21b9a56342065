"""Trips are attached, shared or kept from strangers, and read again whether or not anybody told of a change."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from services.workflow.avinode.resources import Trip
from services.workflow.facts import Found, Rfq
from services.workflow.rereading import Rereading
from services.workflow.store.facts.store import FactStore
from services.workflow.store.hearing.trips import TripStore
from shared.database import open_pool
from shared.events import TripAdvanced, TripAttached, TripRequested
from shared.ids import new_id
from tests.connected.workflow.stage import QUICK, Stage, long_ago, running_workflow
from tests.connected.workflow.trip_facts import everything
from tests.dates import FLIGHT_DAY

OPEN = "SELECT count(*) FROM workflow.trip_sessions WHERE open"


async def trip_at_avinode(stage: Stage, operators: int = 2) -> tuple[str, str]:
    """Let a colleague make a trip in Avinode's own pages; returns its id and its code."""
    await stage.avinode.switch_on(drop=True)
    code, _ = await stage.avinode.trip_with_rfqs(operators)
    await stage.avinode.switch_on()
    return (await stage.avinode.read(f"trips/{code}"))["id"], code


@pytest.mark.parametrize("by", ["id", "code", "lower-case code"])
async def test_an_attached_trip_is_read_at_once(stage: Stage, by: str) -> None:
    avinode_trip_id, code = await trip_at_avinode(stage)
    event = await stage.attach({"id": avinode_trip_id, "code": code, "lower-case code": code.lower()}[by])
    await stage.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
    trip = await stage.owner.fetchrow("SELECT * FROM workflow.trips")
    assert trip is not None
    assert (trip["avinode_trip_id"], trip["trip_code"], trip["pax"]) == (avinode_trip_id, code, 6)
    assert trip["route"] == f'[{{"to": "KPBI", "date": "{FLIGHT_DAY}", "from": "KTEB", "time": "09:30"}}]'
    assert (await stage.answered(event.event_id))["trip_id"] == str(event.trip_id)


async def test_attaching_twice_is_attaching_once(stage: Stage) -> None:
    _, code = await trip_at_avinode(stage)
    event = await stage.attach(code)
    await stage.answered(event.event_id)
    stage.advanced.clear()
    await stage.publisher.publish(event)
    assert (await stage.answered(event.event_id))["trip_id"] == str(event.trip_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trip_sessions") == 1


async def test_two_sessions_of_one_user_share_a_trip(stage: Stage) -> None:
    avinode_trip_id, code = await trip_at_avinode(stage)
    first = await stage.attach(code, "s1")
    await stage.stands(first.trip_id, "requesting_quotes", 2, 2, 0)
    second = await stage.attach(avinode_trip_id, "s2")
    assert (await stage.answered(second.event_id))["trip_id"] == str(first.trip_id)
    assert await stage.owner.fetchval(OPEN) == 2
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


async def test_a_stranger_attaches_nothing(stage: Stage) -> None:
    avinode_trip_id, code = await trip_at_avinode(stage)
    first = await stage.attach(code, user_id="ada")
    await stage.stands(first.trip_id, "requesting_quotes", 2, 2, 0)
    for reference in (code, avinode_trip_id):
        refused = await stage.attach(reference, user_id="eve")
        assert (await stage.answered(refused.event_id))["trip_id"] == str(refused.trip_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trip_sessions WHERE user_id = 'eve'") == 0
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


async def test_a_stranger_attaches_where_trips_are_shared(quiet: Stage) -> None:
    _, code = await trip_at_avinode(quiet)
    async with running_workflow(quiet.settings.model_copy(update={"trips_shared": True})):
        first = await quiet.attach(code, user_id="ada")
        second = await quiet.attach(code, user_id="bob")
        assert (await quiet.answered(second.event_id))["trip_id"] == str(first.trip_id)
    assert await quiet.owner.fetchval(OPEN) == 2


async def test_a_session_with_an_open_trip_attaches_no_other(stage: Stage) -> None:
    first, _ = await stage.created()
    _, code = await trip_at_avinode(stage)
    second = await stage.attach(code)
    assert (await stage.answered(second.event_id))["trip_id"] == str(first.trip_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


@pytest.mark.parametrize("reference", ["atrip-404", "NOSUCH"])
async def test_a_trip_that_avinode_does_not_know_is_given_up(stage: Stage, reference: str) -> None:
    event = await stage.attach(reference)
    await stage.becomes("cancelled", "SELECT outcome FROM workflow.trips WHERE trip_id = $1", event.trip_id)
    assert "404" in await stage.owner.fetchval("SELECT error FROM workflow.trips")
    assert await stage.owner.fetchval(OPEN) == 0
    _, code = await trip_at_avinode(stage)
    again = await stage.attach(code)
    await stage.stands(again.trip_id, "requesting_quotes", 2, 2, 0)


async def test_what_is_no_trips_name_attaches_nothing(stage: Stage) -> None:
    event = await stage.attach("../webhooks/settings")
    await stage.answered(event.event_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 0


@pytest.mark.parametrize(("other", "sessions"), [("ada", ["s1", "s2"]), ("eve", ["s1"])])
async def test_a_trip_attached_by_its_code_and_by_its_id_at_once_is_one_trip(
    quiet: Stage, other: str, sessions: list[str]
) -> None:
    avinode_trip_id, code = await trip_at_avinode(quiet)
    async with open_pool(quiet.settings.workflow_database_url, "test") as pool:
        for session_id, user_id, reference in (("s1", "ada", code), ("s2", other, avinode_trip_id)):
            event = TripAttached(user_id=user_id, session_id=session_id, trip_id=new_id(), avinode_trip_id=reference)
            await TripStore(pool, shared=False).record([event])
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips") == 2
    async with running_workflow(quiet.settings):
        await quiet.becomes(1, "SELECT count(*) FROM workflow.trips")
        await quiet.becomes(2, "SELECT operators_contacted_count FROM workflow.trips")
    ties = await quiet.owner.fetch("SELECT session_id, open FROM workflow.trip_sessions ORDER BY session_id")
    assert [tuple(tie) for tie in ties] == [(session_id, True) for session_id in sessions]


async def test_what_one_session_asks_for_at_once_makes_one_trip(quiet: Stage) -> None:
    wanted: list[TripRequested | TripAttached] = [quiet.requested() for _ in range(6)]
    wanted += [
        TripAttached(user_id="ada", session_id="s1", trip_id=new_id(), avinode_trip_id=f"atrip-{number}")
        for number in range(6)
    ]
    async with open_pool(quiet.settings.workflow_database_url, "test") as pool:
        store = TripStore(pool, shared=False)
        trips = await asyncio.gather(*(store.record([event]) for event in wanted))
    assert len({outcome.trip_id for (outcome,) in trips}) == 1
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1


async def test_lost_notices_are_made_up_for_by_reading_again(quiet: Stage) -> None:
    often = quiet.settings.model_copy(update={"trip_reread_s": 0.3, "trip_reread_longest_s": 0.3})
    await quiet.avinode.switch_on(drop=True)
    async with running_workflow(often):
        event, avinode_trip_id = await quiet.created()
        rfqs = await quiet.send_rfqs(avinode_trip_id, 3)
        await quiet.stands(event.trip_id, "requesting_quotes", 3, 3, 0)
    await quiet.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    await quiet.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 31000})
    await quiet.avinode.act(f"rfqs/{rfqs[1]}/decline", {"reason": "CREW_NOT_AVAILABLE"})
    await quiet.avinode.switch_on(drop=True, rest_hang_ms=60)  # time enough for an untold quote to be seen
    async with running_workflow(often):
        await quiet.stands(event.trip_id, "analyzing_options", 3, 2, 1)
        (told,) = await quiet.told(1)
        assert "31,000 USD" in told.content  # the price that was replaced meanwhile is no news
        await quiet.becomes(5, "SELECT count(*) FROM workflow.quotes")  # Avinode's three estimates too
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.deliveries") == 0
    reread = await everything(quiet)

    # The same by notices alone is the same in every table.
    await quiet.owner.execute("TRUNCATE workflow.rfqs CASCADE")
    await quiet.owner.execute("TRUNCATE workflow.trip_messages")
    await quiet.owner.execute("UPDATE workflow.trips SET due_at = 'infinity'")
    async with running_workflow(quiet.settings):
        for delivery in await quiet.avinode.deliveries():
            await quiet.avinode.act("redeliver", {"id": delivery["id"]})
        await quiet.becomes(6, "SELECT count(*) FROM workflow.deliveries WHERE state = 'done'")
    told_by_notices = await everything(quiet)
    assert told_by_notices == reread


async def test_an_open_trip_is_read_again_and_a_closed_one_is_not(quiet: Stage) -> None:
    often = quiet.settings.model_copy(update={"trip_reread_s": 0.1, "trip_reread_longest_s": 0.1})
    async with running_workflow(often):
        _, avinode_trip_id = await quiet.created()
        await quiet.called("GET", f"/trips/{avinode_trip_id}", 3)
        await quiet.avinode.act(f"trips/{avinode_trip_id}/cancel")
        await quiet.becomes("cancelled", "SELECT outcome FROM workflow.trips")
        closed_at = len(await quiet.calls("GET", f"/trips/{avinode_trip_id}"))
        await quiet.created("s2")
        await quiet.called("GET", "/trips/atrip-", closed_at + 3)
    assert len(await quiet.calls("GET", f"/trips/{avinode_trip_id}")) == closed_at


async def test_a_trip_that_cannot_be_read_says_why_until_it_can(quiet: Stage) -> None:
    often = quiet.settings.model_copy(update={"trip_reread_s": 0.1, "trip_reread_longest_s": 0.1})
    async with running_workflow(often, replace(QUICK, answer_s=0.3)):
        await quiet.created()
        for faults in ({"rest_status": 500}, {"rest_hang_ms": 60_000}, {"rest_status": 429}, {"rest_status": 404}):
            await quiet.avinode.switch_on(**faults)
            await quiet.becomes(True, "SELECT error IS NOT NULL FROM workflow.trips")
            await quiet.avinode.switch_on()
            await quiet.becomes(True, "SELECT error IS NULL FROM workflow.trips")
    assert await quiet.owner.fetchval("SELECT step FROM workflow.trips") == "searching_aircraft"
    assert await quiet.owner.fetchval(OPEN) == 1


async def test_of_two_fetches_the_newer_wins_and_the_step_never_goes_back(quiet: Stage) -> None:
    async with open_pool(quiet.settings.workflow_database_url, "test") as pool:
        facts = FactStore(pool, shared=False, rereading=Rereading())
        event = TripAttached(user_id="ada", session_id="s1", trip_id=new_id(), avinode_trip_id="SIM001")
        await TripStore(pool, shared=False).record([event])
        now = await facts.clock()
        for canceled, at in ((True, now), (False, long_ago()), (True, now)):
            await facts.add(event.trip_id, Found(rfqs=(Rfq(rfq_id="arfq-1", canceled=canceled, fetched_at=at),)))
            assert await quiet.owner.fetchval("SELECT canceled FROM workflow.rfqs")
        assert await facts.add(event.trip_id, Found()) == []
        await facts.add_trip(event.trip_id, bare_trip())
        assert await quiet.owner.fetchval("SELECT step FROM workflow.trips") == "requesting_quotes"


async def test_what_is_announced_of_a_trip_moves_its_time_stamp_and_nothing_else_does(quiet: Stage) -> None:
    """By which whoever listens hears of it where the outcome is lost."""
    async with open_pool(quiet.settings.workflow_database_url, "test") as pool:
        facts = FactStore(pool, shared=False, rereading=Rereading())
        event = TripAttached(user_id="ada", session_id="s1", trip_id=new_id(), avinode_trip_id="SIM001")
        await TripStore(pool, shared=False).record([event])
        postpone = partial(facts.postpone, event.trip_id, "busy", 1.0)
        read, linked = bare_trip(), replace(bare_trip(), deep_link="https://avinode.test/1")
        steps: list[Callable[[], Awaitable[list[TripAdvanced]]]] = [postpone, postpone]
        steps += [partial(_read, facts, event, trip) for trip in (read, read, linked)]
        news = []
        for step in steps:
            before = await quiet.owner.fetchval("SELECT updated_at FROM workflow.trips")
            news.append(bool(await step()))
            after = await quiet.owner.fetchval("SELECT updated_at FROM workflow.trips")
            assert (after != before) is news[-1]
    assert news == [True, False, True, False, True]


async def _read(facts: FactStore, event: TripAttached, trip: Trip) -> list[TripAdvanced]:
    return (await facts.add_trip(event.trip_id, trip))[1]


def bare_trip() -> Trip:
    return Trip(
        avinode_trip_id="atrip-1",
        trip_code="SIM001",
        external_trip_id=None,
        canceled=False,
        deep_link=None,
        route=[],
        pax=None,
        rfqs=(),
        rfq_ids=(),
        message_ids=(),
    )


async def test_a_proposal_is_the_last_step(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, avinode_trip_id = await quiet.created()
        await quiet.owner.execute(
            """
            INSERT INTO workflow.proposals (proposal_id, trip_id, user_id, session_id, quote_ids, prepared_at,
                accepted_at, changed_at, changed_by, event_id)
            VALUES (gen_random_uuid(), $1, 'ada', 's1', '{}', now(), now(), now(), $1, $1)
            """,
            event.trip_id,
        )
        await quiet.avinode.act(f"trips/{avinode_trip_id}/rfqs", {"operators": 1})
        await quiet.stands(event.trip_id, "proposal_ready", 1, 1, 0)
