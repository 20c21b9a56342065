"""Trips over HTTP: asked for, attached, repeated."""

import asyncio
from typing import Any

import httpx2
import pytest

from services.gateway.trips.records.expected import expected_trip
from shared.events import TripAdvanced, TripAttached, TripRequested
from shared.ids import new_id
from tests.dates import FLIGHT_DAY
from tests.pure.gateway.samples import facts, minutes, stored
from tests.service.gateway.fakes import World
from tests.service.gateway.fakes.orders import order_of
from tests.waiting import until_true

PATH = "/api/chat/sessions/s1/trips"
LEG = {"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY, "time": "09:30"}
TRIP = {
    "segments": [LEG],
    "pax": 4,
    "criteria": {"category": "midsize"},
}


@pytest.fixture
def world() -> World:
    return World(sessions=[facts("s1", stored=stored()), facts("s2", stored=stored())])


async def post(world: World, body: Any, path: str = PATH, **headers: str) -> httpx2.Response:
    async with world.client("u1") as client:
        return await client.post(path, json=body, headers={name.replace("_", "-"): v for name, v in headers.items()})


async def test_a_trip_is_asked_for_and_answered_once_it_is_stored(world: World) -> None:
    answer = await post(world, TRIP)
    assert answer.status_code == 201
    (event,) = world.published
    assert isinstance(event, TripRequested)
    assert (event.user_id, event.session_id, event.pax) == ("u1", "s1", 4)
    assert event.segments[0].model_dump() == {
        "from_icao": "KTEB",
        "to_icao": "KPBI",
        "date": FLIGHT_DAY,
        "time": "09:30",
    }
    body = answer.json()
    assert body["stored"] is True
    trip = body["trip"]
    assert trip["id"] == str(event.trip_id)
    assert (trip["conversation_id"], trip["iso_agent_id"]) == ("s1", "u1")
    assert (trip["departure_airport"], trip["arrival_airport"], trip["departure_date"]) == (
        "KTEB",
        "KPBI",
        FLIGHT_DAY,
    )
    assert trip["segments"] == [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY, "time": "09:30"}]
    assert trip["request"]["criteria"] == {"category": "midsize"}


async def test_a_trip_that_is_not_stored_in_time_is_answered_whole(world: World) -> None:
    stored_answer = await post(world, TRIP, Idempotency_Key="k")
    world.trips, world.published, world.consumers_away = [], [], True
    answer = await post(world, TRIP, Idempotency_Key="k")
    assert (answer.status_code, answer.json()["stored"]) == (202, False)
    assert answer.json()["trip"].keys() == stored_answer.json()["trip"].keys()
    assert answer.json()["trip"]["id"] == stored_answer.json()["trip"]["id"]


async def test_who_prefers_not_to_wait_does_not(world: World) -> None:
    answer = await post(world, TRIP, Prefer="respond-async, wait=100")
    assert (answer.status_code, answer.json()["stored"]) == (202, False)


async def test_a_session_has_one_open_trip(world: World) -> None:
    first = await post(world, TRIP)
    second = await post(world, TRIP)
    assert (second.status_code, second.json()["code"]) == (409, "trip_open")
    assert second.json()["trip_id"] == first.json()["trip"]["id"]
    assert len(world.published) == 1
    assert (await post(world, TRIP, "/api/chat/sessions/s2/trips")).status_code == 201


async def test_a_flight_that_goes_nowhere_is_refused(world: World) -> None:
    answer = await post(world, {"segments": [LEG, {**LEG, "from": "KPBI"}], "pax": 4})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "segments.1.to", "detail": "must be another airport than `from`"}]
    assert world.published == []


async def test_once_a_trip_is_over_the_session_may_have_another(world: World) -> None:
    await post(world, TRIP)
    world.trips[0] = world.trips[0].model_copy(update={"session_ended_at": minutes(0)})
    assert (await post(world, TRIP)).status_code == 201


async def test_a_repeat_by_key_is_answered_with_the_trip_that_is_there(world: World) -> None:
    first, again = await post(world, TRIP, Idempotency_Key="k"), await post(world, TRIP, Idempotency_Key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len(world.published) == 1


@pytest.mark.parametrize("body", [{"avinode_trip_id": "atrip-2"}, TRIP])
async def test_a_key_that_attached_what_was_no_trip_may_begin_another(world: World, body: Any) -> None:
    await post(world, {"avinode_trip_id": "atrip-1"}, Idempotency_Key="k")
    given_up = {"session_ended_at": minutes(0), "outcome": "cancelled", "avinode_trip_id": None}
    world.trips[0] = world.trips[0].model_copy(update=given_up)
    first, again = await post(world, body, Idempotency_Key="k"), await post(world, body, Idempotency_Key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["trip"]["id"] != str(world.trips[0].id)
    mistyped = await post(world, {"avinode_trip_id": "atrip-1"}, Idempotency_Key="k")
    assert (mistyped.status_code, mistyped.json()["trip"]["id"]) == (200, str(world.trips[0].id))


@pytest.mark.parametrize("reference", ["atrip-64956150", "A1B2C3"])
async def test_a_trip_is_attached_by_either_name_and_found_by_it(world: World, reference: str) -> None:
    answer = await post(world, {"avinode_trip_id": reference.lower()})
    assert answer.status_code == 201
    (event,) = world.published
    assert isinstance(event, TripAttached)
    assert event.avinode_trip_id == reference
    async with world.client("u1") as client:
        found = await client.get(f"/api/trips/{reference}")
        listed = await client.get("/api/trips", params={"avinode_trip_id": reference})
        by_id = await client.get(f"/api/trips/{event.trip_id}")
    assert found.json() == by_id.json() == answer.json()["trip"]
    assert [trip["id"] for trip in listed.json()["trips"]] == [str(event.trip_id)]


async def test_attaching_the_same_trip_again_changes_nothing(world: World) -> None:
    await post(world, {"avinode_trip_id": "atrip-1"})
    again = await post(world, {"avinode_trip_id": "atrip-1"})
    other = await post(world, {"avinode_trip_id": "atrip-2"})
    assert (again.status_code, other.status_code) == (200, 409)
    assert len(world.published) == 1


@pytest.mark.parametrize(
    ("became", "answered"),
    [
        ({"state": "refused", "code": "avinode_missing"}, (201, None)),
        ({"state": "lost", "code": "trip_open", "error": "It has one."}, (409, "trip_open")),
        ({"state": "lost", "code": "not_found", "trip_id": None}, (404, "not_found")),
    ],
)
async def test_an_order_is_answered_by_what_its_row_says(
    world: World, became: dict[str, Any], answered: tuple[int, str | None]
) -> None:
    world.consumers_away = True
    asking = asyncio.create_task(post(world, {"avinode_trip_id": "atrip-1"}))
    await until_true(lambda: bool(world.published))
    (event,) = world.published
    assert isinstance(event, TripAttached)
    theirs = {"id": new_id(), "avinode_trip_id": None, "session_ended_at": minutes(0), "outcome": "cancelled"}
    world.trips.append(expected_trip(event, 0).model_copy(update=theirs))
    world.orders.append(order_of(event, **{"trip_id": theirs["id"], **became}))
    world.receipts.hint(TripAdvanced(user_id="u1", session_id="s1", trip_id=new_id(), causes=(event.event_id,)))
    answer = await asking
    body = answer.json()
    assert (answer.status_code, body.get("code")) == answered
    if answered[0] != 404:
        assert (body["trip"]["id"] if "trip" in body else body["trip_id"]) == str(theirs["id"])


async def test_an_order_that_lost_is_found_by_the_id_it_was_promised(world: World) -> None:
    world.consumers_away = True
    accepted = await post(world, TRIP, Prefer="respond-async", Idempotency_Key="k")
    promised = accepted.json()["trip"]
    async with world.client("u1") as client, world.client("u2") as stranger:
        assert (await client.get(f"/api/trips/{promised['id']}")).status_code == 404
        (event,) = world.published
        assert isinstance(event, TripRequested)
        lost = {"trip_id": new_id(), "state": "lost", "code": "trip_open", "error": "It has one."}
        world.orders.append(order_of(event, **lost))
        shown = (await client.get(f"/api/trips/{promised['id']}")).json()
        assert (await stranger.get(f"/api/trips/{promised['id']}")).status_code == 404
    assert (shown["status"], shown["outcome"], shown["problem"]) == ("archived", "cancelled", "It has one.")
    assert (shown["request"]["state"], shown["segments"]) == ("lost", promised["segments"])
    assert shown.keys() == promised.keys()
    assert (await post(world, TRIP, Idempotency_Key="k")).status_code == 409  # the same order is the same answer


async def test_a_trip_of_somebody_elses_does_not_exist(world: World) -> None:
    world.held_by_others.add("atrip-1")
    answer = await post(world, {"avinode_trip_id": "atrip-1"})
    assert (answer.status_code, world.published) == (404, [])
    world.settings = world.settings.model_copy(update={"trips_shared": True})
    assert (await post(world, {"avinode_trip_id": "atrip-1"})).status_code == 201


async def test_a_trip_for_an_unknown_session_is_not_found(world: World) -> None:
    assert (await post(world, TRIP, "/api/chat/sessions/unknown/trips")).status_code == 404
    assert world.published == []


async def test_without_a_broker_nothing_is_accepted(world: World) -> None:
    world.broker_away = True
    answer = await post(world, TRIP)
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_away")
    assert int(answer.headers["retry-after"]) > 0
