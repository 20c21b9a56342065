"""Rows that turn out to be one trip become one with all that is known of it; trips of different users never do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from aiohttp import web

from services.workflow.avinode.resources import Trip
from services.workflow.facts import Found, Quote, Rfq
from services.workflow.rereading import Rereading
from services.workflow.store.facts.store import FactStore
from services.workflow.store.hearing.trips import TripStore
from services.workflow.store.intents.requests import RequestStore
from shared.database import open_pool
from shared.events import TripAttached
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.workflow.stage import Stage, running_workflow, serving

TIES = """
    SELECT s.user_id, t.avinode_trip_id, t.trip_code FROM workflow.trip_sessions s JOIN workflow.trips t USING (trip_id)
    ORDER BY s.user_id
"""


async def test_a_code_that_comes_a_second_time_is_the_newer_trips_and_joins_nobody(quiet: Stage) -> None:
    made: list[str] = []

    async def create(request: web.Request) -> web.Response:
        if request.method == "POST":
            made.append(f"atrip-{len(made) + 1}")
        asked = request.path.rpartition("/")[2]
        return answer(id=asked if asked.startswith("atrip-") else made[-1], tripId="SIM001")

    async with avinode_is(quiet, create) as settings, running_workflow(settings):
        for user_id in ("ada", "bob"):
            await quiet.created(user_id=user_id)
    assert [tuple(tie) for tie in await quiet.owner.fetch(TIES)] == [
        ("ada", "atrip-1", None),
        ("bob", "atrip-2", "SIM001"),
    ]


async def test_an_answer_about_another_trip_than_the_one_asked_for_is_not_taken(quiet: Stage) -> None:
    async def mistake(request: web.Request) -> web.Response:
        return answer(id="atrip-2", tripId="SIM002")

    async with avinode_is(quiet, mistake) as settings, running_workflow(settings):
        for user_id, reference in (("ada", "atrip-1"), ("bob", "atrip-2"), ("eve", "SIM003")):
            await quiet.attach(reference, user_id=user_id)
        await quiet.becomes(2, "SELECT count(*) FROM workflow.trips WHERE error LIKE 'asked for %'")
        await quiet.becomes(True, "SELECT last_checked_at IS NOT NULL FROM workflow.trips WHERE trip_code = 'SIM002'")
    assert [tuple(tie) for tie in await quiet.owner.fetch(TIES)] == [
        ("ada", "atrip-1", None),
        ("bob", "atrip-2", "SIM002"),
        ("eve", None, "SIM003"),
    ]


async def test_an_rfq_that_names_no_trip_stays_with_its_own_whatever_a_notice_says(quiet: Stage) -> None:
    async def forgetful(request: web.Request) -> web.Response:
        kind, _, asked = request.path.removeprefix("/api/").partition("/")
        if kind == "trips":
            return answer(id=asked, tripId=asked.replace("atrip-", "SIM00"))
        return answer(id=asked, sellerLift=[])

    async with avinode_is(quiet, forgetful) as settings, running_workflow(settings):
        for user_id, reference in (("ada", "atrip-1"), ("eve", "atrip-2")):
            await quiet.attach(reference, user_id=user_id)
        await quiet.becomes(2, "SELECT count(*) FROM workflow.trips WHERE trip_code IS NOT NULL")
        for number in (1, 2):  # a notice may be forged
            notice = f'{{"href": "{settings.avinode_base_url}/rfqs/arfq-1", "tripId": "SIM00{number}"}}'
            await quiet.notify(notice.encode())
            await quiet.becomes(number, "SELECT count(*) FROM workflow.deliveries WHERE state = 'done'")
    assert await quiet.owner.fetchval("SELECT trip_code FROM workflow.trips JOIN workflow.rfqs USING (trip_id)") == (
        "SIM001"
    )


async def test_what_is_known_of_a_trip_outlives_its_becoming_one_with_another(quiet: Stage) -> None:
    """A request's answer comes late: the trip was attached meanwhile, and has an offer."""
    async with open_pool(quiet.settings.workflow_database_url, "test") as pool:
        trips, facts = TripStore(pool, shared=False), FactStore(pool, shared=False, rereading=Rereading())
        requests = RequestStore(pool, shared=False, rereading=Rereading())
        requested = quiet.requested("s1")
        attached = TripAttached(user_id="ada", session_id="s2", trip_id=new_id(), avinode_trip_id="SIM001")
        await trips.record([requested, attached])
        intent = await requests.begin_sending()
        assert intent is not None
        await facts.add_trip(attached.trip_id, trip())
        await facts.add(attached.trip_id, await an_offer(facts))
        assert await step_of(quiet, attached.trip_id) == "analyzing_options"

        outcomes = await requests.created(intent, trip(), None)

    assert await step_of(quiet, requested.trip_id) == "analyzing_options"
    assert {(one.session_id, one.trip_id) for one in outcomes} == {
        ("s1", requested.trip_id),
        ("s2", requested.trip_id),
    }
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1
    assert await quiet.owner.fetchval("SELECT quotes_received_count FROM workflow.trips") == 1


async def test_a_trip_that_becomes_another_s_moves_the_time_stamp_of_that_one(quiet: Stage) -> None:
    """By which whoever listens hears of it where the outcome is lost."""
    async with open_pool(quiet.settings.workflow_database_url, "test") as pool:
        facts = FactStore(pool, shared=False, rereading=Rereading())
        by_id, by_code = (
            TripAttached(user_id="ada", session_id=name, trip_id=new_id(), avinode_trip_id=name)
            for name in ("atrip-1", "SIM001")
        )
        await TripStore(pool, shared=False).record([by_id, by_code])
        await facts.add_trip(by_id.trip_id, replace(trip(), trip_code=None))
        before = await facts.clock()
        kept, outcomes = await facts.add_trip(by_code.trip_id, trip())
    assert (kept, len(outcomes)) == (by_id.trip_id, 2)
    assert await quiet.owner.fetchval("SELECT updated_at FROM workflow.trips") > before


async def step_of(stage: Stage, trip_id: UUID) -> Any:
    return await stage.owner.fetchval("SELECT step FROM workflow.trips WHERE trip_id = $1", trip_id)


async def an_offer(facts: FactStore) -> Found:
    at = await facts.clock()
    quote = Quote(quote_id="aquote-1", rfq_id="arfq-1", estimate=False, fetched_at=at)
    return Found(rfqs=(Rfq(rfq_id="arfq-1", fetched_at=at),), quotes=(quote,))


def trip() -> Trip:
    return Trip("atrip-1", "SIM001", None, False, None, [], None, (), (), ())


def answer(**data: Any) -> web.Response:
    return web.json_response({"meta": {"errors": []}, "data": data})


@asynccontextmanager
async def avinode_is(
    stage: Stage, handler: Callable[[web.Request], Awaitable[web.Response]]
) -> AsyncIterator[Settings]:
    """Put one handler in the place of Avinode; returns the settings to run the workflow with."""
    async with serving(handler) as url:
        yield stage.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
