"""Proposals over HTTP, with the workflow that stores them: prepared, changed, sent, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from shared.events import TripAdvanced
from tests.connected.gateway.stage import Rows
from tests.connected.gateway.stage import Stage as Gateway
from tests.connected.gateway.trips.test_trips_over_http import TRIP, begin, gateway_of
from tests.connected.workflow.stage import Stage, running_workflow
from tests.waiting import until_true


@pytest.fixture
async def gateway(quiet: Stage) -> AsyncIterator[Gateway]:
    """Run a gateway with a workflow; ada's session s1 has a trip with four quotes."""
    async with gateway_of(quiet) as gateway, running_workflow(quiet.settings):
        yield gateway


@pytest.fixture
async def trip(quiet: Stage, gateway: Gateway) -> UUID:
    rows = Rows(quiet.owner)
    trip_id = await rows.trip("s1", "ada", step="analyzing_options", due_at=await rows.ages_ago(days=-9))
    await rows.quote("usd", trip_id)
    await rows.quote("usd2", trip_id, 4_000_000)
    await rows.quote("eur", trip_id, 3_000_000, currency="EUR")
    await rows.quote("estimate", trip_id, estimate=True)
    return trip_id


async def prepare(gateway: Gateway, trip: UUID | str, user: str = "ada", **body: Any) -> httpx2.Response:
    return await gateway.post(f"/api/trips/{trip}/proposals", {"quote_ids": ["usd"], **body}, user=user)


async def prepared(gateway: Gateway, trip: UUID, **body: Any) -> str:
    answer = await prepare(gateway, trip, **body)
    assert (answer.status_code, answer.json()["stored"]) == (201, True), answer.text
    return str(answer.json()["proposal"]["id"])


async def patch(gateway: Gateway, proposal: str, body: Any, user: str = "ada") -> httpx2.Response:
    return await gateway.call("PATCH", f"/api/proposals/{proposal}", body, user)


async def send(gateway: Gateway, proposal: str, body: Any = None, user: str = "ada", **headers: str) -> httpx2.Response:
    return await gateway.call("POST", f"/api/proposals/{proposal}/send", body or {}, user, **headers)


def became(answer: httpx2.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body["code"] if "code" in body else body["proposal"]["state"]


async def test_a_proposal_is_prepared_shown_and_listed_with_its_trip(gateway: Gateway, trip: UUID) -> None:
    answer = await prepare(gateway, trip, quote_ids=["usd2", "usd"], margin_percent=7.5, note="Dear client")
    assert answer.status_code == 201, answer.text
    proposal = answer.json()["proposal"]
    assert [(option["quote_id"], option["client_price_cents"]) for option in proposal["options"]] == [
        ("usd2", 4_300_000),
        ("usd", 3_601_250),
    ]
    assert (proposal["currency"], proposal["margin_percent"], proposal["note"]) == ("USD", 7.5, "Dear client")
    assert (await gateway.get(f"/api/proposals/{proposal['id']}", user="ada")).json() == proposal
    shown = (await gateway.get(f"/api/trips/{trip}", user="ada")).json()
    assert (shown["current_step"], shown["proposal_id"]) == ("proposal_ready", proposal["id"])
    assert [(each["id"], each["state"]) for each in shown["proposals"]] == [(proposal["id"], "prepared")]


async def test_an_estimate_is_refused(gateway: Gateway, trip: UUID) -> None:
    answer = await prepare(gateway, trip, quote_ids=["usd", "estimate"])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "quote_ids")
    assert "estimate is none" in answer.json()["detail"]
    mixed = await prepare(gateway, trip, quote_ids=["usd", "eur"])
    assert (mixed.status_code, mixed.json()["errors"][0]["field"]) == (422, "currency")


DOWN = (
    "UPDATE workflow.quotes SET current = false WHERE quote_id = 'usd'",
    "UPDATE workflow.quotes SET price_cents = -5, current = true WHERE quote_id = 'usd'",
    "UPDATE workflow.quotes SET price_cents = NULL, currency = NULL WHERE quote_id = 'usd'",
    "UPDATE workflow.quotes SET price_cents = 3350000, currency = 'USD' WHERE quote_id = 'usd';"
    " UPDATE workflow.rfqs SET canceled = true WHERE rfq_id = 'rfq-usd'",
    "UPDATE workflow.rfqs SET declined = true, canceled = false WHERE rfq_id = 'rfq-usd'",
)


async def test_a_quote_that_does_not_stand_is_refused(quiet: Stage, gateway: Gateway, trip: UUID) -> None:
    proposal = await prepared(gateway, trip)
    for change in DOWN:
        await quiet.owner.execute(change)
        assert (await prepare(gateway, trip)).status_code == 422, change
        shown = (await gateway.get(f"/api/proposals/{proposal}", user="ada")).json()
        assert [option["outdated"] for option in shown["options"]] == [True]
    await quiet.owner.execute("UPDATE workflow.rfqs SET declined = false WHERE rfq_id = 'rfq-usd'")
    await quiet.owner.execute("UPDATE workflow.quotes SET price_cents = 1 WHERE quote_id = 'usd'")
    assert became(await send(gateway, proposal, {"to": "client@example.test"})) == (409, "proposal_outdated")
    repriced = await patch(gateway, proposal, {"margin_percent": 0})
    assert [option["client_price_cents"] for option in repriced.json()["proposal"]["options"]] == [1]


async def test_other_currencies_are_converted_at_the_given_rate(gateway: Gateway, trip: UUID) -> None:
    given = {"quote_ids": ["usd", "eur"], "currency": "USD", "rates": {"EUR": "1.0834"}, "margin_percent": 10}
    proposal = await prepared(gateway, trip, **given)
    shown = (await gateway.get(f"/api/proposals/{proposal}", user="ada")).json()
    assert [(each["currency"], each["rate"], each["client_price_cents"]) for each in shown["options"]] == [
        ("USD", "1", 3_685_000),
        ("EUR", "1.0834", 3_575_220),
    ]
    changed = await patch(gateway, proposal, {"margin_percent": 0})
    assert [each["client_price_cents"] for each in changed.json()["proposal"]["options"]] == [3_350_000, 3_250_200]
    refused = await patch(gateway, proposal, {"currency": "GBP"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "rates")
    alone = await patch(gateway, proposal, {"currency": "EUR", "quote_ids": ["eur"], "note": "neu"})
    assert (alone.json()["proposal"]["currency"], alone.json()["proposal"]["note"]) == ("EUR", "neu")
    cleared = await patch(gateway, proposal, {"note": None})
    assert cleared.json()["proposal"]["note"] is None
    assert (await patch(gateway, proposal, {})).status_code == 422


async def test_sent_by_hand_it_completes_the_trip_for_good(gateway: Gateway, trip: UUID) -> None:
    proposal, other = await prepared(gateway, trip), await prepared(gateway, trip)
    answer = await send(gateway, proposal)
    assert became(answer) == (200, "by_hand")
    assert answer.json()["proposal"]["sent_at"] is not None
    shown = (await gateway.get(f"/api/trips/{trip}", user="ada")).json()
    assert (shown["status"], shown["outcome"]) == ("completed", "completed")
    assert [each["what"] for each in shown["timeline"][-2:]] == ["proposal_sent", "completed"]
    assert became(await patch(gateway, proposal, {"note": "late"})) == (409, "proposal_settled")
    assert became(await send(gateway, proposal)) == (409, "proposal_settled")
    assert became(await send(gateway, other)) == (409, "trip_closed")
    assert became(await prepare(gateway, trip)) == (409, "trip_closed")


async def test_a_new_request_in_the_same_chat_is_another_trip_with_proposals_of_its_own(
    quiet: Stage, gateway: Gateway, trip: UUID
) -> None:
    proposal = await prepared(gateway, trip)
    await send(gateway, proposal)
    asked = await begin(gateway, TRIP)
    assert asked.status_code == 201, asked.text
    other = asked.json()["trip"]
    assert (other["id"] != str(trip), other["proposals"], other["current_step"]) == (True, [], "searching_aircraft")
    await Rows(quiet.owner).quote("new", UUID(other["id"]))
    again = await prepared(gateway, UUID(other["id"]), quote_ids=["new"])
    shown = (await gateway.get(f"/api/trips/{trip}", user="ada")).json()
    assert [(each["id"], each["state"]) for each in shown["proposals"]] == [(proposal, "by_hand")]
    assert again != proposal


async def test_of_two_who_send_at_once_one_does(quiet: Stage, trip: UUID, gateway: Gateway) -> None:
    proposal = await prepared(gateway, trip)
    answers = await asyncio.gather(*(send(gateway, proposal) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert await quiet.owner.fetchval("SELECT count(*) FROM workflow.proposal_sends WHERE state = 'by_hand'") == 1


async def test_the_same_key_is_the_same_proposal_and_the_same_sending(gateway: Gateway, trip: UUID) -> None:
    body = {"quote_ids": ["usd"]}
    headers = {"Idempotency-Key": "k1"}
    path = f"/api/trips/{trip}/proposals"
    made = [await gateway.call("POST", path, body, "ada", **headers) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 200]
    proposal = made[0].json()["proposal"]["id"]
    assert made[1].json()["proposal"]["id"] == proposal
    sent = [await send(gateway, proposal, **{"Idempotency-Key": "k2"}) for _ in range(2)]
    assert list(map(became, sent)) == [(200, "by_hand")] * 2
    assert became(await send(gateway, proposal, **{"Idempotency-Key": "k3"})) == (409, "proposal_settled")
    assert len(sent[1].json()["proposal"]["sends"]) == 1


async def test_what_is_not_waited_for_is_promised_as_it_will_be(quiet: Stage, trip: UUID, gateway: Gateway) -> None:
    path, headers = f"/api/trips/{trip}/proposals", {"Prefer": "respond-async"}
    answer = await gateway.call("POST", path, {"quote_ids": ["usd"]}, "ada", **headers)
    assert (answer.status_code, answer.json()["stored"]) == (202, False)
    promised = answer.json()["proposal"]
    await quiet.becomes(1, "SELECT count(*) FROM workflow.proposals")
    assert (await gateway.get(f"/api/proposals/{promised['id']}", user="ada")).json() == promised


async def test_nobody_else_s_proposal_is_found_by_any_path(gateway: Gateway, trip: UUID, quiet: Stage) -> None:
    proposal = await prepared(gateway, trip)
    for name in (proposal, str(uuid4())):
        answers = [
            await gateway.get(f"/api/proposals/{name}", user="bob"),
            await patch(gateway, name, {"note": "mine"}, user="bob"),
            await send(gateway, name, {"to": "bob@example.test"}, user="bob"),
        ]
        assert [(each.status_code, each.json()["detail"]) for each in answers] == [
            (404, "There is no such proposal.")
        ] * 3
    assert (await prepare(gateway, trip, user="bob")).status_code == 404
    await Rows(quiet.owner).trip("s2", "bob")
    own = (await gateway.get("/api/trips", user="bob")).json()["trips"][0]["id"]
    assert (await prepare(gateway, own, user="bob")).status_code == 422, "a quote of another's trip"


async def test_what_could_be_another_header_is_refused(gateway: Gateway, trip: UUID) -> None:
    proposal = await prepared(gateway, trip)
    for body in ({"to": "a@b.test\r\nBcc: x@y.test"}, {"subject": "Offer\r\nBcc: x@y.test"}):
        assert (await send(gateway, proposal, body)).status_code == 422
    assert (await gateway.get(f"/api/proposals/{proposal}", user="ada")).json()["state"] == "prepared"


async def test_listeners_hear_of_a_proposal(quiet: Stage, gateway: Gateway, trip: UUID) -> None:
    await prepared(gateway, trip)
    await until_true(lambda: any(one["outcome"] == "TripAdvanced" for one in quiet.advanced))
    (heard,) = [TripAdvanced.model_validate(one) for one in quiet.advanced if one["outcome"] == "TripAdvanced"]
    assert (heard.session_id, heard.changed) == ("s1", ("trip", "proposal"))


async def test_one_user_sends_so_many_an_hour(quiet: Stage) -> None:
    limited = gateway_of(quiet, proposal_sends_per_hour=1)
    async with limited as gateway, running_workflow(quiet.settings):
        rows, sent = Rows(quiet.owner), []
        for session_id in ("s1", "s2"):
            trip = await rows.trip(session_id, "ada", due_at=await rows.ages_ago(days=-9))
            await rows.quote(f"q-{session_id}", trip)
            sent.append(became(await send(gateway, await prepared(gateway, trip, quote_ids=[f"q-{session_id}"]))))
    assert sent == [(200, "by_hand"), (429, "too_many_requests")]


async def test_it_is_written_as_its_client_gets_it(gateway: Gateway, trip: UUID) -> None:
    proposal = await prepared(gateway, trip, note="Łódź <b>33 500 €</b>", margin_percent=7.5)
    for form, media_type, begins in (
        ("html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("md", "text/markdown; charset=utf-8", b"# Charter proposal"),
        ("pdf", "application/pdf", b"%PDF-"),
    ):
        answer = await gateway.get(f"/api/proposals/{proposal}", user="ada", format=form)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.content.startswith(begins)
        assert "sandbox" in answer.headers["content-security-policy"]
        assert (await gateway.get(f"/api/proposals/{proposal}", user="bob", format=form)).status_code == 404
        assert form == "pdf" or ("Łódź" in answer.text and "<b>" not in answer.text.replace("\\<b", ""))
    assert (await gateway.get(f"/api/proposals/{proposal}", user="ada", format="doc")).status_code == 422
