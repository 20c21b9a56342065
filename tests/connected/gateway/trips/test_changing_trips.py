"""Callers change their trips, have them read, and end them; each learns what became of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.connected.gateway.stage import Stage as Gateway
from tests.connected.gateway.trips.test_trips_over_http import TRIP, begin, gateway_of
from tests.connected.workflow.stage import Stage, running_workflow
from tests.tokens import token_for
from tests.waiting import until


@pytest.fixture
async def gateway(stage: Stage) -> AsyncIterator[Gateway]:
    async with gateway_of(stage) as gateway:
        yield gateway


@pytest.fixture
async def trip(gateway: Gateway) -> str:
    answer = await begin(gateway, TRIP)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["trip"]["id"])


async def change(gateway: Gateway, trip: str, user: str = "ada", **fields: Any) -> httpx2.Response:
    return await gateway.http.patch(f"/api/trips/{trip}", json=fields, headers=gateway.as_user(user))


async def shown(gateway: Gateway, trip: str) -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.get(f"/api/trips/{trip}", user="ada")).json()
    return found


async def test_what_is_set_is_shown(gateway: Gateway, trip: str) -> None:
    answer = await change(gateway, trip, avinode_rfp_id="rfp-123", workflow_state={"a": [1]}, metadata={"b": "ü"})

    assert (answer.status_code, answer.json()["stored"]) == (200, True)
    found = await shown(gateway, trip)
    assert answer.json()["trip"] == found
    assert (found["avinode_rfp_id"], found["workflow_state"], found["metadata"]) == ("rfp-123", {"a": [1]}, {"b": "ü"})
    session = (await gateway.get("/api/chat/sessions/s1", user="ada")).json()["session"]
    assert session["workflow_state"] == {"a": [1]}


async def test_a_trip_is_paused_until_something_happens(stage: Stage, gateway: Gateway, trip: str) -> None:
    assert (await change(gateway, trip, status="paused")).json()["trip"]["status"] == "paused"
    assert (await gateway.get("/api/chat/sessions/s1", user="ada")).json()["session"]["status"] == "paused"

    await stage.send_rfqs((await shown(gateway, trip))["avinode_trip_id"], 1)

    async def is_active() -> bool:
        return bool((await shown(gateway, trip))["status"] == "active")

    await until(is_active, "the trip to be active again")
    await change(gateway, trip, status="paused")
    assert (await change(gateway, trip, status="active")).json()["trip"]["status"] == "active"


async def test_only_an_operators_own_quote_of_the_trip_is_chosen(stage: Stage, gateway: Gateway, trip: str) -> None:
    (rfq,) = await stage.send_rfqs((await shown(gateway, trip))["avinode_trip_id"], 1)
    quote = (await stage.avinode.act(f"rfqs/{rfq}/quote", {"price": 33_500}))["quote_id"]

    async def has_quote() -> bool:
        return quote in [one["id"] for one in (await shown(gateway, trip))["quotes"]]

    await until(has_quote, "the quote")
    chosen = (await change(gateway, trip, primary_quote_id=quote)).json()["trip"]
    assert (chosen["primary_quote_id"], chosen["price_cents"]) == (quote, 3_350_000)
    assert (await change(gateway, trip, primary_quote_id="aquote-1")).status_code == 422


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"status": "completed"}, 422),
        ({"step": "proposal_ready"}, 422),
        ({"workflow_state": {"a": "x" * 70_000}}, 413),
        ({"metadata": {"a": "\x00"}}, 422),
        ({"avinode_rfp_id": ""}, 422),
    ],
)
async def test_what_cannot_be_set_is_refused(gateway: Gateway, trip: str, fields: dict[str, Any], status: int) -> None:
    before = await shown(gateway, trip)

    assert (await change(gateway, trip, **fields)).status_code == status

    assert await shown(gateway, trip) == before


async def test_a_strangers_trip_is_not_there(gateway: Gateway, trip: str) -> None:
    before = await shown(gateway, trip)
    for path, body in (("refresh", None), ("complete", None), ("cancel", {"reason": "OTHER"})):
        answer = await gateway.post(f"/api/trips/{trip}/{path}", body, user="bob")
        assert answer.status_code == 404, path
    assert (await change(gateway, trip, user="bob", metadata={"a": 1})).status_code == 404
    limited = {"Authorization": f"Bearer {token_for(gateway.settings, 'ada', projects=['p1'])}"}
    assert (await gateway.http.post(f"/api/trips/{trip}/complete", headers=limited)).status_code == 404

    assert await shown(gateway, trip) == before


async def test_a_trip_is_read_when_its_user_asks(stage: Stage, gateway: Gateway, trip: str) -> None:
    before = await shown(gateway, trip)

    answer = await gateway.post(f"/api/trips/{trip}/refresh", user="ada")

    assert (answer.status_code, answer.json()["stored"]) == (200, True)
    assert answer.json()["trip"]["last_checked_at"] > before["last_checked_at"]


async def test_a_completed_trip_stays_completed(gateway: Gateway, trip: str) -> None:
    answer = await gateway.post(f"/api/trips/{trip}/complete", user="ada")

    assert answer.status_code == 200
    assert (answer.json()["trip"]["status"], answer.json()["trip"]["outcome"]) == ("completed", "completed")
    assert (await gateway.post(f"/api/trips/{trip}/complete", user="ada")).json()["trip"] == answer.json()["trip"]
    for path, body in (("refresh", None), ("cancel", {"reason": "OTHER"})):
        again = await gateway.post(f"/api/trips/{trip}/{path}", body, user="ada")
        assert (again.status_code, again.json()["code"]) == (409, "trip_closed")
    assert (await begin(gateway, TRIP)).json()["trip"]["id"] != trip


async def test_a_cancelled_trip_is_cancelled_at_avinode(stage: Stage, gateway: Gateway, trip: str) -> None:
    name = (await shown(gateway, trip))["avinode_trip_id"]

    wrong = await gateway.post(f"/api/trips/{trip}/cancel", {"reason": "because"}, user="ada")
    answer = await gateway.post(f"/api/trips/{trip}/cancel", {"reason": "BOOKED", "message": "Thanks."}, user="ada")

    assert (wrong.status_code, answer.status_code) == (422, 200)
    cancelled = answer.json()["trip"]
    assert (cancelled["status"], cancelled["outcome"]) == ("archived", "cancelled")
    assert cancelled["cancellation"]["state"] == "done"
    assert (cancelled["cancellation"]["reason"], cancelled["cancellation"]["message"]) == ("BOOKED", "Thanks.")
    assert (await stage.avinode.read(f"trips/{name}"))["canceled"] is True


async def test_a_cancellation_that_takes_longer_is_accepted_and_shown(
    stage: Stage, trip: str, gateway: Gateway
) -> None:
    await stage.avinode.switch_on(rest_status=503)

    path, body = f"/api/trips/{trip}/cancel", {"reason": "OTHER"}
    answer = await gateway.call("POST", path, body, "ada", Prefer="respond-async")

    assert (answer.status_code, answer.json()["stored"]) == (202, False)

    async def is_intended() -> bool:
        cancellation = (await shown(gateway, trip))["cancellation"]
        return bool(cancellation and cancellation["state"] == "intended")

    await until(is_intended, "the workflow to hear of it")
    await stage.avinode.switch_on()

    async def is_cancelled() -> bool:
        return bool((await shown(gateway, trip))["outcome"] == "cancelled")

    await until(is_cancelled, "the cancellation")


async def test_with_the_workflow_away_a_change_is_accepted_and_made_later(quiet: Stage) -> None:
    async with gateway_of(quiet, stored_wait_s=0.2) as gateway:
        async with running_workflow(quiet.settings):
            answer = await begin(gateway, TRIP)
            trip = str(answer.json()["trip"]["id"])
            await quiet.becomes(True, "SELECT last_checked_at IS NOT NULL FROM workflow.trips")
        answer = await change(gateway, trip, metadata={"a": 1})
        assert (answer.status_code, answer.json()["trip"]["metadata"]) == (202, {"a": 1})
        async with running_workflow(quiet.settings):
            await quiet.becomes('{"a": 1}', "SELECT metadata FROM workflow.trips")
