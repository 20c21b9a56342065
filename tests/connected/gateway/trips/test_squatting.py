"""Whoever names a trip first has it: so visitors name none, guessing does not pay, and an operator may take it back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import pytest
from prometheus_client import REGISTRY

from shared.events import TripReleased
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.stage import Stage as Gateway
from tests.connected.gateway.trips.test_trips_over_http import TRIP, begin, gateway_of, trips_at_avinode
from tests.connected.workflow.stage import Stage
from tests.processes import ROOT, environment_of
from tests.waiting import until

GUESSES = 3


@pytest.fixture
async def gateway(stage: Stage) -> AsyncIterator[Gateway]:
    async with gateway_of(stage, trip_guesses_per_hour=GUESSES) as gateway:
        yield gateway


async def visitor(gateway: Gateway, stage: Stage) -> dict[str, str]:
    """Make a visitor who has a session `v1`; returns the cookie."""
    made = await gateway.http.post("/api/auth/visitor")
    gateway.http.cookies.clear()
    visitor_id = made.json()["visitor_id"]
    await Rows(stage.owner).session("v1", user=visitor_id)
    return {"Cookie": f"visitor={made.cookies['visitor']}"}


async def order(gateway: Gateway, body: object, headers: dict[str, str]) -> httpx2.Response:
    return await gateway.http.post("/api/chat/sessions/v1/trips", json=body, headers=headers)


def attach(reference: str) -> dict[str, str]:
    return {"avinode_trip_id": reference}


def release(gateway: Gateway, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", "trips", "release", name]
    env = {**os.environ, **environment_of(gateway.settings)}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def wrong_guesses() -> float:
    return REGISTRY.get_sample_value("tripthread_trip_guesses_total") or 0.0


async def holders(stage: Stage) -> list[str]:
    rows = await stage.owner.fetch("SELECT user_id FROM workflow.trip_sessions WHERE deleted_at IS NULL ORDER BY 1")
    return [row["user_id"] for row in rows]


async def test_visitors_order_nothing_and_whoever_has_signed_in_does_in_a_visitors_session(
    gateway: Gateway, stage: Stage
) -> None:
    cookie = await visitor(gateway, stage)
    for body in (TRIP, attach("atrip-1")):
        refused, unknown = await order(gateway, body, cookie), await order(gateway, body, {})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (unknown.status_code, "set-cookie" in unknown.headers) == (401, False)
    assert await stage.owner.fetchval("SELECT count(*) FROM workflow.requests") == 0
    assert (await order(gateway, TRIP, gateway.as_user("ada") | cookie)).status_code == 201


async def test_visitors_order_where_that_is_said(stage: Stage) -> None:
    async with gateway_of(stage, visitor_trips=True) as gateway:
        assert (await order(gateway, TRIP, await visitor(gateway, stage))).status_code == 201


async def test_one_may_order_so_much_a_minute(stage: Stage) -> None:
    async with gateway_of(stage, trip_orders_per_minute=2) as gateway:
        statuses = [(await begin(gateway, TRIP, session_id)).status_code for session_id in ("s1", "s1", "s2")]
        assert statuses == [201, 409, 429]
        assert (await begin(gateway, TRIP, user="bob")).status_code == 201


async def test_a_strangers_trip_is_a_wrong_guess_and_so_is_one_that_avinode_does_not_know(
    gateway: Gateway, stage: Stage
) -> None:
    counted = wrong_guesses()
    theirs, right = await trips_at_avinode(stage, 2)
    assert (await begin(gateway, attach(theirs), user="bob")).status_code == 201
    assert (await begin(gateway, attach(theirs))).status_code == 404
    for number in (1, 2):
        await begin(gateway, attach(f"atrip-{number}"))
    refused = await begin(gateway, attach(right))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) > 60
    assert wrong_guesses() == counted + GUESSES
    assert (await begin(gateway, TRIP)).status_code == 201  # that is no guess
    assert (await begin(gateway, attach(right), "s2", user="bob")).status_code == 201


async def test_a_guess_whose_answer_nobody_waits_for_counts_when_it_has_one(gateway: Gateway, stage: Stage) -> None:
    headers = gateway.as_user("ada") | {"Prefer": "respond-async"}

    async def ask(reference: str) -> int:
        answer = await gateway.http.post("/api/chat/sessions/s1/trips", json=attach(reference), headers=headers)
        return answer.status_code

    (right,) = await trips_at_avinode(stage, 1)
    for number in range(1, GUESSES + 1):
        assert await ask(f"atrip-{number}") == 202
        await stage.becomes(number, "SELECT count(*) FROM workflow.requests WHERE code = 'avinode_missing'")
    assert await ask(right) == 429


async def test_guesses_without_an_answer_are_taken_for_wrong_until_there_is_one(gateway: Gateway, stage: Stage) -> None:
    right = await trips_at_avinode(stage, GUESSES + 1)
    await stage.avinode.switch_on(rest_status=503)
    headers = gateway.as_user("ada") | {"Prefer": "respond-async"}
    for number, reference in enumerate(right[:-1]):
        await Rows(stage.owner).session(f"g{number}", user="ada")
        path = f"/api/chat/sessions/g{number}/trips"
        assert (await gateway.http.post(path, json=attach(reference), headers=headers)).status_code == 202
    assert (await begin(gateway, attach(right[-1]))).status_code == 429
    await stage.avinode.switch_on()
    await stage.becomes(GUESSES, "SELECT count(*) FROM workflow.requests WHERE state = 'attached'")
    assert (await begin(gateway, attach(right[-1]))).status_code == 201


async def test_an_operator_takes_a_trip_from_whoever_guessed_it(gateway: Gateway, stage: Stage) -> None:
    (reference,) = await trips_at_avinode(stage, 1)
    squatted = await begin(gateway, attach(reference))
    trip_id = squatted.json()["trip"]["id"]
    assert (await begin(gateway, attach(reference), user="bob")).status_code == 404

    done = await asyncio.to_thread(release, gateway, reference)
    assert (done.returncode, done.stdout) == (0, f"{trip_id}  released from ada\n")
    await until(lambda: _is_free(stage), "the release")

    assert (await begin(gateway, attach(reference))).status_code == 404  # though nobody holds it now
    assert (await begin(gateway, attach(reference), user="bob")).status_code == 201
    for name in (reference, trip_id):
        assert (await gateway.get(f"/api/trips/{name}", user="bob")).status_code == 200
    assert (await gateway.get(f"/api/trips/{reference}", user="ada")).status_code == 404
    shown = (await gateway.get(f"/api/trips/{trip_id}", user="ada")).json()
    assert (shown["problem"], shown["quotes"]) == ("An operator has released this trip.", [])
    assert (await gateway.get("/api/trips", user="ada")).json()["trips"] == []
    assert (await begin(gateway, TRIP)).status_code == 201  # the session is free for another


async def test_a_release_that_comes_twice_takes_nothing_from_who_came_after(gateway: Gateway, stage: Stage) -> None:
    (reference,) = await trips_at_avinode(stage, 1)
    trip_id = UUID((await begin(gateway, attach(reference))).json()["trip"]["id"])
    event = TripReleased(trip_id=trip_id, user_ids=("ada",), operator="a test")
    await stage.publisher.publish(event)
    await until(lambda: _is_free(stage), "the release")
    assert (await begin(gateway, attach(reference), user="bob")).status_code == 201
    await stage.publisher.publish(event)
    assert (await begin(gateway, TRIP)).status_code == 201  # heard after it
    assert await holders(stage) == ["ada", "bob"]


async def test_what_cannot_be_released_is_told(gateway: Gateway, stage: Stage) -> None:
    for name, told in (("atrip-404", "There is no such trip."), ("no name at all", "must be a UUID of ours")):
        done = await asyncio.to_thread(release, gateway, name)
        assert done.returncode == 1
        assert f"tripthread trips: {told}" in done.stderr


async def _is_free(stage: Stage) -> bool:
    return await holders(stage) == []
