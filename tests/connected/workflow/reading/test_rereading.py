"""Trips are read again as often as that is worth a call: new ones first, old ones and deleted ones not at all."""

from typing import Any

import asyncpg
import orjson
from aiohttp import web

from shared.settings import Settings
from tests.connected.workflow.stage import Stage, open_stage, running_workflow, serving
from tests.waiting import until_true

READ = "SELECT last_checked_at IS NOT NULL FROM workflow.trips WHERE trip_id = $1"
NEVER = "SELECT due_at = 'infinity' FROM workflow.trips WHERE trip_id = $1"
WAIT_S = "SELECT extract(epoch FROM due_at - last_checked_at)::float8 FROM workflow.trips WHERE trip_id = $1"
DUE_SINCE = "UPDATE workflow.trips SET due_at = clock_timestamp() - interval '1 hour' WHERE trip_id = $1"


async def crowd(stage: Stage, count: int) -> None:
    """Write open trips that are long due to be read again."""
    await stage.owner.execute(
        """
        WITH trip AS (
            INSERT INTO workflow.trips (trip_id, avinode_trip_id, last_checked_at, due_at)
            SELECT gen_random_uuid(), 'atrip-9' || number, now() - interval '2 hours', now() - interval '1 hour'
            FROM generate_series(1, $1) AS number RETURNING trip_id
        )
        INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id) SELECT 'eve', trip_id::text, trip_id FROM trip
        """,
        count,
    )


async def test_a_new_trip_is_read_before_all_that_were_read_once(quiet: Stage) -> None:
    await crowd(quiet, 300)
    code, _ = await quiet.avinode.trip_with_rfqs(1)
    slow = quiet.settings.model_copy(update={"avinode_calls_per_s": 5.0, "avinode_burst": 1})
    async with running_workflow(slow):
        await quiet.called("GET", "/api/trips/", 2)  # those of before have begun to be read
        event = await quiet.attach(code)
        await quiet.becomes(True, READ, event.trip_id)
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.trips WHERE due_at < now()") > 200


async def test_a_new_trip_does_not_wait_until_a_long_one_is_read(settings: Settings, owner: asyncpg.Connection) -> None:
    links = {"tripmsgs": [{"id": f"asellermsg-{number}"} for number in range(300)]}
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path.rpartition("/")[2])
        data = {"id": asked[-1], "tripId": "LONG01" if asked[-1] == "atrip-91" else "NEW001"}
        return web.json_response({"data": data | ({"links": links} if asked[-1] == "atrip-91" else {})})

    async with open_stage(settings, owner) as stage, serving(answer) as url:
        slow = {"avinode_base_url": f"{url}/api", "avinode_calls_per_s": 20.0, "avinode_burst": 1}
        async with running_workflow(stage.settings.model_copy(update=slow)):
            await crowd(stage, 1)
            await until_true(lambda: "asellermsg-0" in asked)
            event = await stage.attach("atrip-2")
            await stage.becomes(True, READ, event.trip_id)
            read = asked.index("atrip-2")
    assert read < 200


async def test_a_trip_where_things_happen_is_read_again_before_quiet_ones(quiet: Stage) -> None:
    await crowd(quiet, 40)
    slow = quiet.settings.model_copy(update={"avinode_calls_per_s": 10.0, "avinode_burst": 1})
    await quiet.owner.execute("UPDATE workflow.trips SET last_activity_at = now() - interval '1 day'")
    await quiet.owner.execute(
        """
        UPDATE workflow.trips SET last_activity_at = now(), due_at = now() - interval '1 minute'
        WHERE avinode_trip_id IN ('atrip-937', 'atrip-938', 'atrip-939', 'atrip-940')
        """
    )
    async with running_workflow(slow):
        await quiet.called("GET", "/api/trips/", 8)
    read = [call.rpartition("-")[2] for call in await quiet.calls("GET", "/api/trips/")]
    active = [place for place, number in enumerate(read) if number in ("937", "938", "939", "940")]
    assert len(active) == 4
    assert max(active) < 6  # every fourth is the one that has been due longest
    assert len(set(read[:4]) - {"937", "938", "939", "940"}) == 1


async def test_an_outage_that_outlives_the_notices_is_made_up_for(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, avinode_trip_id = await quiet.created()
        await quiet.becomes(True, READ, event.trip_id)
    await quiet.avinode.switch_on(drop=True)  # as after 48 hours in vain
    rfqs = await quiet.send_rfqs(avinode_trip_id, 2)
    await quiet.avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500})
    await quiet.owner.execute(
        """
        UPDATE workflow.trips SET due_at = due_at - interval '49 hours',
            last_checked_at = last_checked_at - interval '49 hours',
            last_activity_at = last_activity_at - interval '49 hours'
        """
    )
    async with running_workflow(quiet.settings):  # which reads a trip every five minutes at the soonest
        await quiet.stands(event.trip_id, "analyzing_options", 2, 2, 1)
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.deliveries") == 0


async def test_a_trip_is_left_alone_for_as_long_as_it_has_been_quiet(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, _ = await quiet.created()
        await quiet.becomes(True, READ, event.trip_id)
        assert 299 < await quiet.owner.fetchval(WAIT_S, event.trip_id) < 301
        await quiet.owner.execute("UPDATE workflow.trips SET last_activity_at = now() - interval '50 minutes'")
        await read_again(quiet, event.trip_id)
        assert 2999 < await quiet.owner.fetchval(WAIT_S, event.trip_id) < 3060
        await quiet.owner.execute("UPDATE workflow.trips SET last_activity_at = now() - interval '50 days'")
        await read_again(quiet, event.trip_id)
        assert 21599 < await quiet.owner.fetchval(WAIT_S, event.trip_id) < 21601


async def test_a_trip_whose_flights_are_over_is_read_once_more_and_then_left_alone(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, _ = await quiet.created()
        await quiet.becomes(True, READ, event.trip_id)
        over = [{"from": "KTEB", "to": "KPBI", "date": "2020-01-01", "time": None}]
        await quiet.owner.execute("UPDATE workflow.trips SET route = $1", as_json(over))
        await read_again(quiet, event.trip_id)
        await quiet.becomes(True, NEVER, event.trip_id)
        await quiet.avinode.switch_on(rest_status=404)
        await read_again(quiet, event.trip_id)  # as where a notice asks for it
        await quiet.becomes(True, NEVER, event.trip_id)


async def test_a_trip_that_is_gone_from_avinode_is_asked_for_no_more_often_than_one_that_is_there(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, _ = await quiet.created()
        await quiet.becomes(True, READ, event.trip_id)
        await quiet.owner.execute("UPDATE workflow.trips SET last_activity_at = now() - interval '50 days'")
        await quiet.avinode.switch_on(rest_status=404)
        await quiet.owner.execute(DUE_SINCE, event.trip_id)
        await quiet.becomes(True, "SELECT error LIKE 'answered 404%' FROM workflow.trips")
        await quiet.becomes(True, "SELECT due_at > now() + interval '5 hours' FROM workflow.trips")


async def test_a_trip_of_deleted_sessions_is_read_no_more_until_somebody_attaches_it(quiet: Stage) -> None:
    async with running_workflow(quiet.settings):
        event, avinode_trip_id = await quiet.created()
        await quiet.becomes(True, READ, event.trip_id)
        await quiet.owner.execute("UPDATE workflow.trip_sessions SET deleted_at = now()")
        before = len(await quiet.calls("GET", avinode_trip_id))
        await quiet.owner.execute(DUE_SINCE, event.trip_id)
        await quiet.becomes(True, NEVER, event.trip_id)
        await quiet.created("s2")  # whatever was due was worked
        assert len(await quiet.calls("GET", avinode_trip_id)) == before
        await quiet.attach(avinode_trip_id, "s3")
        await quiet.called("GET", avinode_trip_id, before + 1)
        await quiet.becomes(False, NEVER, event.trip_id)


async def test_an_old_notice_of_an_unknown_trip_is_tried_no_more_and_worked_when_the_trip_appears(quiet: Stage) -> None:
    code, _ = await quiet.avinode.trip_with_rfqs(2)
    async with running_workflow(quiet.settings):
        await quiet.becomes(2, "SELECT count(*) FROM workflow.deliveries WHERE state = 'unmatched'")
        old = "UPDATE workflow.deliveries SET received_at = received_at - $1::float8 * interval '1 day', due_at = now()"
        await quiet.owner.execute(old, 29.0)
        await quiet.becomes(2, "SELECT count(*) FROM workflow.deliveries WHERE due_at > now() AND due_at < 'infinity'")
        await quiet.owner.execute(old, 2.0)
        await quiet.becomes(2, "SELECT count(*) FROM workflow.deliveries WHERE due_at = 'infinity'")
        event = await quiet.attach(code)
        await quiet.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
        await quiet.becomes(2, "SELECT count(*) FROM workflow.deliveries WHERE state = 'done'")


async def read_again(stage: Stage, trip_id: object) -> None:
    """Let a trip be due, and wait until it was looked at."""
    await stage.owner.execute(DUE_SINCE, trip_id)
    await stage.becomes(True, "SELECT due_at > now() FROM workflow.trips WHERE trip_id = $1", trip_id)


def as_json(value: Any) -> str:
    """Spell a value as the owner's connection takes it, which knows no jsonb."""
    return orjson.dumps(value).decode()
