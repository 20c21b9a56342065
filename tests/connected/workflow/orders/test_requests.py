"""A requested trip is created at Avinode once, or it is shown why not, whatever breaks in between."""

import json
from dataclasses import replace

import pytest
from aiohttp import web

from deploy.supervisor.machine.ports import free_port
from shared.events import Segment
from tests.connected.workflow.stage import QUICK, Stage, lose_an_answer, running_workflow, serving
from tests.dates import FLIGHT_DAY
from tests.waiting import until_true

STATE = "SELECT state FROM workflow.requests WHERE request_id = $1"


async def test_a_requested_trip_has_its_names_and_its_deep_link(stage: Stage) -> None:
    event, avinode_trip_id = await stage.created()
    trip = await stage.owner.fetchrow("SELECT * FROM workflow.trips WHERE trip_id = $1", event.trip_id)
    assert trip is not None
    assert trip["avinode_trip_id"] == avinode_trip_id
    assert len(trip["trip_code"]) == 6
    assert trip["deep_link"].startswith(f"{stage.avinode.url}/ui/")
    flight = {"to": "KPBI", "date": FLIGHT_DAY, "from": "KTEB", "time": "09:30"}
    assert json.loads(trip["route"]) == [flight]
    assert (trip["pax"], trip["step"], trip["last_checked_at"] is None) == (6, "searching_aircraft", False)
    shown = await stage.avinode.read(f"trips/{avinode_trip_id}")
    assert shown["externalTripId"] == str(event.request_id)
    assert shown["segments"][0]["paxCount"] == "6"


async def test_a_request_is_answered_at_once_and_when_avinode_has_it(stage: Stage) -> None:
    event, _ = await stage.created()

    def heard() -> list[tuple[str, str, str]]:
        told = [one for one in stage.advanced if str(event.event_id) in one["causes"]]
        return [(one["user_id"], one["session_id"], one["trip_id"]) for one in told]

    await until_true(lambda: heard() == 2 * [("ada", "s1", str(event.trip_id))])


async def test_a_request_that_comes_twice_is_one_trip(stage: Stage) -> None:
    event, _ = await stage.created()
    stage.advanced.clear()
    await stage.publisher.publish(event)
    assert (await stage.answered(event.event_id))["trip_id"] == str(event.trip_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.requests") == 1
    assert await stage.trips_at_avinode() == 1


async def test_a_session_with_an_open_trip_gets_no_second(stage: Stage) -> None:
    event, _ = await stage.created()
    second = await stage.request()
    assert (await stage.answered(second.event_id))["trip_id"] == str(event.trip_id)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.trips") == 1
    await stage.created("s2")
    await stage.created("s1", user_id="bob")  # the same session id is another's session
    assert await stage.trips_at_avinode() == 3


async def test_many_requests_of_one_session_at_once_make_one_trip(quiet: Stage) -> None:
    async with running_workflow(quiet.settings), running_workflow(quiet.settings):
        events = [await quiet.request() for _ in range(20)]
        answers = {(await quiet.answered(event.event_id))["trip_id"] for event in events}
        assert len(answers) == 1
        await quiet.becomes(1, "SELECT count(*) FROM workflow.requests WHERE state = 'created'")
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.requests WHERE state = 'lost'") == 19
    assert await quiet.trips_at_avinode() == 1


async def test_a_soft_error_creates_the_trip_and_is_shown(stage: Stage) -> None:
    unknown = Segment(from_icao="ZZZZ", to_icao="KPBI", date=FLIGHT_DAY)
    event = await stage.request(segments=(unknown,))
    await stage.becomes("created", STATE, event.request_id)
    assert "ZZZZ" in await stage.owner.fetchval("SELECT error FROM workflow.requests")


async def test_a_request_that_avinode_refuses_is_shown_and_frees_its_session(stage: Stage) -> None:
    impossible = Segment(from_icao="KTEB", to_icao="KPBI", date="2030-02-31")
    event = await stage.request(segments=(impossible,))
    await stage.becomes("refused", STATE, event.request_id)
    trip = await stage.owner.fetchrow("SELECT outcome, error FROM workflow.trips")
    assert trip is not None
    assert (trip["outcome"], "400" in trip["error"]) == ("cancelled", True)
    await stage.created()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_a_request_that_was_surely_not_acted_on_is_sent_again(stage: Stage, status: int) -> None:
    await stage.avinode.switch_on(rest_status=status)
    event = await stage.request()
    await stage.becomes(True, "SELECT attempts > 1 FROM workflow.requests")
    assert str(status) in await stage.owner.fetchval("SELECT error FROM workflow.trips")
    await stage.avinode.switch_on()
    await stage.becomes("created", STATE, event.request_id)
    assert await stage.owner.fetchval("SELECT error FROM workflow.trips") is None
    assert await stage.trips_at_avinode() == 1


@pytest.mark.parametrize("status", [200, 408, 409, 500, 502, 504])
async def test_a_request_that_may_have_been_acted_on_is_never_sent_again(stage: Stage, status: int) -> None:
    await stage.avinode.switch_on(rest_status=status)
    event = await stage.request()
    await stage.becomes("unconfirmed", STATE, event.request_id)
    await stage.avinode.switch_on()
    await stage.created("s2")  # the work goes on
    assert len(await stage.calls("POST", "/api/trips")) == 2
    assert await stage.owner.fetchval(STATE, event.request_id) == "unconfirmed"
    assert str(status) in await stage.owner.fetchval(
        "SELECT error FROM workflow.trips WHERE trip_id = $1", event.trip_id
    )


async def test_an_answer_that_breaks_off_leaves_the_request_unconfirmed(quiet: Stage) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201, headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"data": {"id": "atr')
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(break_off) as url:
        changed = quiet.settings.model_copy(update={"avinode_base_url": f"{url}/api"})
        async with running_workflow(changed):
            event = await quiet.request()
            await quiet.becomes("unconfirmed", STATE, event.request_id)


async def test_a_request_waits_for_an_avinode_that_does_not_listen(quiet: Stage) -> None:
    nowhere = quiet.settings.model_copy(update={"avinode_base_url": f"http://127.0.0.1:{free_port()}/api"})
    async with running_workflow(nowhere):
        event = await quiet.request()
        await quiet.becomes(True, "SELECT attempts > 1 AND state = 'intended' FROM workflow.requests")
    async with running_workflow(quiet.settings):
        await quiet.becomes("created", STATE, event.request_id)
    assert await quiet.trips_at_avinode() == 1


async def test_a_request_without_an_answer_is_unconfirmed_and_at_most_one_trip(quiet: Stage) -> None:
    await quiet.avinode.switch_on(rest_hang_ms=60_000)
    async with running_workflow(quiet.settings, replace(QUICK, answer_s=0.3)):
        event = await quiet.request()
        await quiet.becomes("unconfirmed", STATE, event.request_id)
        await quiet.avinode.switch_on()
        await quiet.created("s2")
    assert len(await quiet.calls("POST", "/api/trips")) == 2


async def test_an_unconfirmed_trip_turns_up_by_a_notice(quiet: Stage) -> None:
    event = await lose_an_answer(quiet)
    async with running_workflow(quiet.settings):
        (trip,) = (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]
        await quiet.avinode.act(f"trips/{trip['id']}/rfqs", {"operators": 2})
        await quiet.becomes("created", STATE, event.request_id)
        await quiet.stands(event.trip_id, "requesting_quotes", 2, 2, 0)
        assert await quiet.owner.fetchval("SELECT avinode_trip_id FROM workflow.trips") == trip["id"]


async def test_an_unconfirmed_trip_turns_up_by_an_attachment(quiet: Stage) -> None:
    event = await lose_an_answer(quiet)
    async with running_workflow(quiet.settings):
        (trip,) = (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]
        await quiet.attach(trip["tripId"], "s2")
        await quiet.becomes("created", STATE, event.request_id)
        await quiet.becomes(1, "SELECT count(*) FROM workflow.trips")
        ties = await quiet.owner.fetch("SELECT session_id, trip_id, open FROM workflow.trip_sessions ORDER BY 1")
        assert [tuple(tie) for tie in ties] == [("s1", event.trip_id, True), ("s2", event.trip_id, True)]


async def test_notices_of_others_trips_cost_one_question_each(quiet: Stage) -> None:
    await lose_an_answer(quiet)
    before = len(await quiet.calls("GET"))
    async with running_workflow(quiet.settings):
        await quiet.avinode.trip_with_rfqs(3)
        await quiet.becomes(True, "SELECT min(attempts) > 1 FROM workflow.deliveries WHERE state = 'unmatched'")
    assert len(await quiet.calls("GET")) == before + 1
