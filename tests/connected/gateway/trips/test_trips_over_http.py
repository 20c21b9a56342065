"""Trips from the API to Avinode and back: each caller learns what became of theirs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from shared.topology import WORKFLOW_TRIPS
from tests.connected.brokers import waiting
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.stage import Stage as Gateway
from tests.connected.gateway.stage import open_stage as open_gateway
from tests.connected.workflow.stage import Stage, lose_an_answer, running_workflow
from tests.dates import FLIGHT_DAY
from tests.waiting import PATIENCE_S, until

TRIP = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY, "time": "09:30"}], "pax": 4}


@asynccontextmanager
async def gateway_of(stage: Stage, **changes: Any) -> AsyncIterator[Gateway]:
    """Run a gateway beside the stage's workflow, whose users have the sessions s1 and s2."""
    rows = Rows(stage.owner)
    for user in ("ada", "bob"):
        for session_id in ("s1", "s2"):
            await rows.session(session_id, user=user)
    patient = {"stored_wait_s": PATIENCE_S, **changes}
    async with open_gateway(stage.settings.model_copy(update=patient)) as gateway:
        hearing = asyncio.create_task(gateway.outcomes.run())
        yield gateway
        gateway.outcomes.shut_down()
        await hearing


@pytest.fixture
async def gateway(stage: Stage) -> AsyncIterator[Gateway]:
    async with gateway_of(stage) as gateway:
        yield gateway


async def begin(gateway: Gateway, body: Any, session_id: str = "s1", user: str = "ada") -> httpx2.Response:
    return await gateway.post(f"/api/chat/sessions/{session_id}/trips", body, user=user)


async def trips_at_avinode(stage: Stage, count: int) -> list[str]:
    """Let colleagues make trips in Avinode's own pages; returns their ids."""
    await stage.avinode.switch_on(drop=True)
    codes = [(await stage.avinode.trip_with_rfqs(1))[0] for _ in range(count)]
    await stage.avinode.switch_on()
    return [(await stage.avinode.read(f"trips/{code}"))["id"] for code in codes]


def became(answer: httpx2.Response) -> tuple[int, str | None]:
    """Say shortly what a caller was told: the status, and the problem or how Avinode has the trip."""
    body = answer.json()
    return answer.status_code, body["code"] if "code" in body else body["trip"]["outcome"]


async def at_once(quiet: Stage, gateway: Gateway, orders: list[tuple[str, str, str]]) -> list[httpx2.Response]:
    """Let users attach trips to sessions while nobody works, and then all be worked."""
    asked = [
        asyncio.create_task(begin(gateway, {"avinode_trip_id": reference}, session_id, user))
        for user, session_id, reference in orders
    ]

    async def published() -> bool:
        return await waiting(quiet.settings, WORKFLOW_TRIPS) == len(orders)

    await until(published, "the orders in the queue")
    async with running_workflow(quiet.settings):
        return await asyncio.gather(*asked)


async def test_an_attached_trip_is_answered_as_avinode_has_it(stage: Stage, gateway: Gateway) -> None:
    (name,) = await trips_at_avinode(stage, 1)
    answer = await begin(gateway, {"avinode_trip_id": name})
    trip = answer.json()["trip"]
    assert (answer.status_code, trip["current_step"]) == (201, "requesting_quotes")
    assert (trip["departure_airport"], trip["arrival_airport"], len(trip["trip_code"])) == ("KTEB", "KPBI", 6)
    assert (await begin(gateway, {"avinode_trip_id": name})).status_code == 200


async def test_a_trip_that_avinode_does_not_know_is_answered_as_refused(stage: Stage, gateway: Gateway) -> None:
    answer = await begin(gateway, {"avinode_trip_id": "atrip-404"})
    trip = answer.json()["trip"]
    assert (answer.status_code, trip["status"], trip["outcome"]) == (201, "archived", "cancelled")
    assert trip["problem"].startswith("atrip-404: answered 404")
    assert (await gateway.get(f"/api/trips/{trip['id']}", user="ada")).json() == trip
    assert (await begin(gateway, TRIP)).status_code == 201


async def test_of_trips_that_one_session_attaches_at_once_it_gets_one(quiet: Stage) -> None:
    names = await trips_at_avinode(quiet, 4)
    async with gateway_of(quiet) as gateway:
        answers = await at_once(quiet, gateway, [("ada", "s1", name) for name in names])
        assert sorted(map(became, answers), key=str) == [(201, None), *[(409, "trip_open")] * 3]
        (kept,) = (await gateway.get("/api/trips", user="ada")).json()["trips"]
    assert {answer.json()["trip_id"] for answer in answers if answer.status_code == 409} == {kept["id"]}


async def test_a_trip_that_was_given_up_is_no_reason_to_say_nothing_to_others(quiet: Stage) -> None:
    async with gateway_of(quiet) as gateway:
        orders = [("ada", "s1", f"atrip-{number}") for number in range(4)]
        answers = await at_once(quiet, gateway, orders)
        assert set(map(became, answers)) <= {(201, "cancelled"), (409, "trip_open")}
        shared = [("ada", session_id, "atrip-404") for session_id in ("s1", "s2")]
        assert set(map(became, await at_once(quiet, gateway, shared))) == {(201, "cancelled")}


async def test_of_two_users_who_attach_one_trip_at_once_one_gets_it(quiet: Stage) -> None:
    (name,) = await trips_at_avinode(quiet, 1)
    async with gateway_of(quiet) as gateway:
        answers = await at_once(quiet, gateway, [("ada", "s1", name), ("bob", "s1", name)])
        assert sorted(map(became, answers), key=str) == [(201, None), (404, "not_found")]
        listed = [(await gateway.get("/api/trips", user=user)).json()["trips"] for user in ("ada", "bob")]
    assert [len(trips) for trips in listed] == [int(answer.status_code == 201) for answer in answers]


@pytest.mark.parametrize("by", ["id", "tripId"])
async def test_an_unconfirmed_trip_is_attached_to_the_session_that_asked_for_it(quiet: Stage, by: str) -> None:
    event = await lose_an_answer(quiet)
    async with gateway_of(quiet) as gateway, running_workflow(quiet.settings):
        refused = await begin(gateway, TRIP)
        assert became(refused) == (409, "trip_open")
        assert "attach" in refused.json()["detail"]
        (made,) = (await quiet.avinode.call("GET", "/sim/trips")).body["trips"]
        answer = await begin(gateway, {"avinode_trip_id": made[by]})
        trip = answer.json()["trip"]
        assert (answer.status_code, trip["id"], trip["avinode_trip_id"]) == (201, str(event.trip_id), made["id"])
        assert (trip["request"]["state"], trip["session_ended_at"], trip["problem"]) == ("created", None, None)
        assert len((await gateway.get("/api/trips", user="ada")).json()["trips"]) == 1
        assert "attach" not in (await begin(gateway, TRIP)).json()["detail"]
    assert await quiet.trips_at_avinode() == 1


async def test_an_unconfirmed_trip_gives_way_to_another(quiet: Stage) -> None:
    event = await lose_an_answer(quiet)
    (name,) = await trips_at_avinode(quiet, 1)
    async with gateway_of(quiet) as gateway, running_workflow(quiet.settings):
        answer = await begin(gateway, {"avinode_trip_id": name})
        assert (answer.status_code, answer.json()["trip"]["avinode_trip_id"]) == (201, name)
        lost = (await gateway.get(f"/api/trips/{event.trip_id}", user="ada")).json()
        assert (lost["request"]["state"], lost["session_ended_at"] is None) == ("unconfirmed", False)
        session = (await gateway.get("/api/chat/sessions/s1", user="ada")).json()["session"]
        assert session["trip"]["id"] == answer.json()["trip"]["id"]


async def test_an_unconfirmed_trip_does_not_give_way_to_a_strangers(quiet: Stage) -> None:
    event = await lose_an_answer(quiet)
    (name,) = await trips_at_avinode(quiet, 1)
    async with gateway_of(quiet) as gateway, running_workflow(quiet.settings):
        assert became(await begin(gateway, {"avinode_trip_id": name}, user="bob")) == (201, None)
        await quiet.answered((await quiet.attach(name)).event_id)  # as by a gateway that did not know of bob's yet
        kept = (await gateway.get(f"/api/trips/{event.trip_id}", user="ada")).json()
        assert (kept["conversation_id"], kept["session_ended_at"]) == ("s1", None)


async def test_what_avinode_does_not_know_frees_a_session_of_its_unconfirmed_trip(quiet: Stage) -> None:
    await lose_an_answer(quiet)
    async with gateway_of(quiet) as gateway, running_workflow(quiet.settings):
        assert became(await begin(gateway, {"avinode_trip_id": "atrip-404"})) == (201, "cancelled")
        assert became(await begin(gateway, TRIP)) == (201, None)


async def test_who_did_not_wait_finds_out_why_their_order_came_to_nothing(quiet: Stage) -> None:
    (name,) = await trips_at_avinode(quiet, 1)
    orders = [("ada", TRIP), ("ada", {"avinode_trip_id": name}), ("bob", {"avinode_trip_id": name})]
    async with gateway_of(quiet, stored_wait_s=0) as gateway:
        promised = []
        for user, body in orders:
            answer = await begin(gateway, body, user=user)
            assert (answer.status_code, answer.json()["stored"]) == (202, False)
            promised.append((user, answer.json()["trip"]["id"]))
        await quiet.attach(name, "s2", "cyd")  # the last of all
        async with running_workflow(quiet.settings):
            await quiet.becomes(0, "SELECT count(*) FROM workflow.requests WHERE state IN ('intended', 'attaching')")
            await quiet.becomes(4, "SELECT count(*) FROM workflow.requests WHERE state NOT IN ('sending')")
        found = [(await gateway.get(f"/api/trips/{trip_id}", user=user)).json() for user, trip_id in promised]
        assert [trip["problem"] for trip in found] == [None, "This session has an open trip already.", None]
        assert [trip["id"] for trip in found] == [trip_id for _, trip_id in promised]
        assert [trip["outcome"] for trip in found] == [None, "cancelled", None]
        assert len((await gateway.get("/api/trips", user="ada")).json()["trips"]) == 1
        for user, trip_id in promised:
            other = "bob" if user == "ada" else "ada"
            assert (await gateway.get(f"/api/trips/{trip_id}", user=other)).status_code == 404


async def test_a_promised_id_is_found_when_its_trip_turns_out_to_be_another(quiet: Stage) -> None:
    event = await lose_an_answer(quiet)
    (name,) = await trips_at_avinode(quiet, 1)
    (made,) = [trip for trip in (await quiet.avinode.call("GET", "/sim/trips")).body["trips"] if trip["id"] != name]
    async with gateway_of(quiet, stored_wait_s=0) as gateway:
        answer = await begin(gateway, {"avinode_trip_id": made["id"]}, "s2")
        promised = answer.json()["trip"]["id"]
        async with running_workflow(quiet.settings):
            await quiet.becomes(
                "created", "SELECT state FROM workflow.requests WHERE request_id = $1", event.request_id
            )
        trip = (await gateway.get(f"/api/trips/{promised}", user="ada")).json()
        assert (trip["id"], trip["conversation_id"]) == (str(event.trip_id), "s2")
        assert promised != str(event.trip_id)
