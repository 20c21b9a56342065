"""The simulated Avinode over real HTTP: REST, and `/sim` to play operator."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox_client import SEGMENT, TRIP, Avinode, Receiver, headers, now, running
from tests.waiting import until


async def test_created_trip_names_its_code_twice_and_its_deep_links(avinode: Avinode) -> None:
    answer = await avinode.rest("POST", "/api/trips", TRIP)
    data = answer.body["data"]

    assert answer.status == 201
    assert answer.body["meta"] == {"errors": [], "warnings": [], "infos": []}
    assert answer.body["tripId"] == data["tripId"]
    assert len(data["tripId"]) == 6
    assert data["href"] == f"{avinode.url}/api/trips/{data['id']}"
    assert data["actions"]["viewInAvinode"]["href"] == f"{avinode.url}/ui/trips/buying/{data['id']}"
    assert data["actions"]["searchInAvinode"]["href"] == f"{avinode.url}/ui/search/load/{data['id']}"
    assert data["actions"]["cancel"]["httpMethod"] == "PUT"


async def test_trip_is_read_by_id_and_by_code_with_rfqs_and_messages(avinode: Avinode) -> None:
    code, [rfq, _] = await avinode.trip_with_rfqs(2)
    quoted = await avinode.act(f"rfqs/{rfq}/quote", {"price": 33500})

    trip = await avinode.read(f"trips/{code}")

    assert await avinode.read(f"trips/{trip['id']}") == trip
    assert trip["externalTripId"] == "session-1"
    assert trip["segments"][0]["startAirport"] == {"icao": "KTEB"}
    assert len(trip["rfqs"]) == 2
    assert trip["rfqs"][0] == await avinode.read(f"rfqs/{rfq}")
    assert quoted["message_id"] in [link["id"] for link in trip["links"]["tripmsgs"]]


async def test_same_external_trip_id_makes_another_trip(avinode: Avinode) -> None:
    first = await avinode.rest("POST", "/api/trips", TRIP)
    second = await avinode.rest("POST", "/api/trips", TRIP)

    assert first.body["data"]["id"] != second.body["data"]["id"]


async def test_doubtful_airport_is_saved_with_a_soft_error(avinode: Avinode) -> None:
    segment = {**SEGMENT, "startAirport": {"icao": "TEB"}}
    answer = await avinode.rest("POST", "/api/trips", {**TRIP, "segments": [segment]})

    assert answer.status == 200
    [error] = answer.body["meta"]["errors"]
    assert (error["code"], error["path"]) == ("START_AIRPORT_INVALID", "segments[0].startAirport.icao")
    assert (await avinode.read(f"trips/{answer.body['tripId']}"))["id"] == answer.body["data"]["id"]


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"X_Avinode_SentTimestamp": None}, 400, "ERR_INPUT_MISSING"),
        ({"X_Avinode_ApiToken": None}, 400, "ERR_INPUT_MISSING"),
        ({"X_Avinode_SentTimestamp": "yesterday"}, 400, "ERR_INPUT_GENERIC_INVALID"),
        ({"X_Avinode_SentTimestamp": now(timedelta(minutes=-6))}, 400, "ERR_INPUT_GENERIC_INVALID"),
        ({"Authorization": None}, 401, "ERR_INPUT_GENERIC_INVALID"),
        ({"Authorization": "Bearer other"}, 401, "ERR_INPUT_GENERIC_INVALID"),
        ({"Authorization": "Basic company-token"}, 401, "ERR_INPUT_GENERIC_INVALID"),
        ({"X_Avinode_ApiToken": "other"}, 401, "ERR_INPUT_GENERIC_INVALID"),
    ],
)
async def test_call_without_the_right_headers_is_refused(
    avinode: Avinode, changed: dict[str, str | None], status: int, code: str
) -> None:
    answer = await avinode.rest("POST", "/api/trips", TRIP, **changed)

    assert (answer.status, answer.body["meta"]["errors"][0]["code"]) == (status, code)
    assert (await avinode.call("GET", "/sim/trips")).body == {"trips": []}


async def test_any_token_passes_where_none_is_set() -> None:
    async with running() as avinode:
        answer = await avinode.rest("POST", "/api/trips", TRIP, Authorization="Bearer whatever")

    assert answer.status == 201


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "ERR_INPUT_MISSING", None),
        ({**TRIP, "criteria": None}, "ERR_INPUT_GENERIC_INVALID", "criteria"),
        ({**TRIP, "segments": []}, "ERR_INPUT_GENERIC_INVALID", "segments"),
        ({**TRIP, "segments": [{}]}, "ERR_INPUT_MISSING", "segments[0]"),
        ({**TRIP, "externalTripId": 5}, "ERR_INPUT_GENERIC_INVALID", "externalTripId"),
        ([], "ERR_INPUT_GENERIC_INVALID", None),
    ],
)
async def test_invalid_trip_is_refused_with_its_place(avinode: Avinode, body: Any, code: str, path: str | None) -> None:
    answer = await avinode.rest("POST", "/api/trips", body)

    [error] = answer.body["meta"]["errors"]
    assert (answer.status, error["code"], error.get("path")) == (400, code, path)


@pytest.mark.parametrize("path", ["trips/atrip-1", "rfqs/arfq-1", "quotes/aquote-1", "tripmsgs/asellermsg-1", "x"])
async def test_unknown_id_is_404(avinode: Avinode, path: str) -> None:
    answer = await avinode.rest("GET", f"/api/{path}")

    assert (answer.status, answer.body["meta"]["errors"][0]["code"]) == (404, "NOT_FOUND")


async def test_quote_decline_and_chat_differ_only_when_fetched(avinode: Avinode, receiver: Receiver) -> None:
    code, rfqs = await avinode.trip_with_rfqs(3)
    await avinode.act(f"rfqs/{rfqs[0]}/quote", {"price": 33500, "currency": "EUR"})
    await avinode.act(f"rfqs/{rfqs[1]}/decline", {"reason": "CREW_NOT_AVAILABLE"})
    await avinode.act(f"rfqs/{rfqs[2]}/chat", {"message": "When?"})
    bodies = (await receiver.bodies(6))[3:]
    quoted, declined, chatted = [await avinode.read(f"tripmsgs/{body['id']}") for body in bodies]

    assert [set(body) for body in bodies] == [{"id", "href", "type", "tripId"}] * 3
    assert {(body["type"], body["tripId"]) for body in bodies} == {("tripmsgs", code)}
    assert quoted["rfqAccepted"] is True
    assert quoted["sellerQuote"]["sellerPrice"] == {"price": 33500, "currency": "EUR"}
    assert quoted["lift"][0]["sourcingDisplayStatus"] == "Accepted"
    assert quoted["links"]["rfqs"][0]["id"] == rfqs[0]
    assert declined["rfqAccepted"] is False
    assert "sellerQuote" not in declined
    assert declined["declineReason"] == "CREW_NOT_AVAILABLE"
    assert declined["lift"][0]["sourcingStatus"] == 3
    assert chatted["message"] == "When?"
    assert {"sellerQuote", "rfqAccepted", "declineReason"}.isdisjoint(chatted)


async def test_estimate_stands_before_the_operators_quote(avinode: Avinode) -> None:
    _, [rfq] = await avinode.trip_with_rfqs()
    await avinode.act(f"rfqs/{rfq}/quote", {"price": 33500})
    await avinode.act(f"rfqs/{rfq}/quote", {"price": 31000.5})

    [lift] = (await avinode.read(f"rfqs/{rfq}"))["sellerLift"]
    quotes = [await avinode.read(f"quotes/{link['id']}") for link in lift["links"]["quotes"]]

    assert [quote["avinodeGenerated"] for quote in quotes] == [True, False]
    assert quotes[1]["sellerPrice"] == {"price": 31000.5, "currency": "USD"}


async def test_rfqs_of_a_trip_are_listed_by_its_code(avinode: Avinode) -> None:
    code, rfqs = await avinode.trip_with_rfqs(2)

    assert [rfq["id"] for rfq in await avinode.read(f"rfqs/{code}")] == rfqs


async def test_cancel_by_rest_resends_each_rfq(avinode: Avinode, receiver: Receiver) -> None:
    code, rfqs = await avinode.trip_with_rfqs(2)
    trip_id = (await avinode.read(f"trips/{code}"))["id"]

    body = {"id": trip_id, "messageToSeller": "Client changed plans.", "reason": "CHANGED"}
    answer = await avinode.rest("PUT", f"/api/trips/{trip_id}/cancel", body)

    assert answer.status == 200
    assert [body["id"] for body in await receiver.bodies(4)] == rfqs * 2
    assert (await avinode.read(f"rfqs/{rfqs[0]}"))["canceled"] is True
    assert "cancel" not in answer.body["data"]["actions"]


@pytest.mark.parametrize("body", [{}, {"reason": "no idea"}, {"reason": "CHANGED", "id": "arfq-1"}])
async def test_cancel_needs_a_known_reason_and_the_same_id(avinode: Avinode, body: dict[str, str]) -> None:
    _, [rfq] = await avinode.trip_with_rfqs()

    assert (await avinode.rest("PUT", f"/api/rfqs/{rfq}/cancel", body)).status == 400
    assert (await avinode.read(f"rfqs/{rfq}"))["canceled"] is False


async def test_cancel_of_one_rfq_leaves_the_other(avinode: Avinode) -> None:
    _, rfqs = await avinode.trip_with_rfqs(2)

    assert (await avinode.rest("PUT", f"/api/rfqs/{rfqs[0]}/cancel", {"reason": "OTHER"})).status == 200
    assert [(await avinode.read(f"rfqs/{rfq}"))["canceled"] for rfq in rfqs] == [True, False]
    assert (await avinode.call("POST", f"/sim/rfqs/{rfqs[0]}/quote", {"price": 1})).status == 409


async def test_rate_limit_is_told_and_enforced() -> None:
    async with running(avinode_rate_per_s=0.01, avinode_rate_burst=2) as avinode:
        answers = [await avinode.rest("GET", "/api/webhooks/settings") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-Rate-Limit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[0].headers["X-Rate-Limit-Limit"] == "2"
    assert answers[2].headers["Retry-After"] == "1"


async def test_rest_faults_take_no_effect_or_answer_late(avinode: Avinode) -> None:
    await avinode.switch_on(rest_status=429)
    refused = await avinode.rest("POST", "/api/trips", TRIP)
    await avinode.switch_on(rest_status=200)
    empty = await avinode.rest("POST", "/api/trips", TRIP)
    await avinode.switch_on(rest_hang_ms=60_000)
    hanging = asyncio.create_task(avinode.rest("POST", "/api/trips", TRIP))

    async def has_come() -> bool:
        return len((await avinode.call("GET", "/sim/trips")).body["trips"]) == 1

    await until(has_come, "the third call")
    hanging.cancel()
    await asyncio.wait({hanging})
    assert hanging.cancelled()
    await avinode.switch_on()

    assert refused.status == 429
    assert (empty.status, empty.body["data"], len(empty.body["meta"]["errors"])) == (200, None, 1)
    [created] = (await avinode.call("GET", "/sim/trips")).body["trips"]
    assert created["externalTripId"] == "session-1"
    calls = (await avinode.call("GET", "/sim/calls")).body["calls"]
    assert [(call["method"], call["path"], call["status"]) for call in calls] == [
        ("POST", "/api/trips", 429),
        ("POST", "/api/trips", 200),
        ("POST", "/api/trips", None),
    ]
    assert (await avinode.call("GET", f"/sim/calls?since={calls[1]['id']}")).body["calls"] == calls[2:]


@pytest.mark.parametrize(("status", "wait"), [(429, "1"), (503, "1"), (500, None), (400, None)])
async def test_a_call_refused_for_now_is_told_when_to_come_again(
    avinode: Avinode, status: int, wait: str | None
) -> None:
    await avinode.switch_on(rest_status=status)
    refused = await avinode.rest("POST", "/api/trips", TRIP)
    assert (refused.status, refused.headers.get("Retry-After")) == (status, wait)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sim/trips/nowhere/rfqs", {}, 404),
        ("POST", "/sim/trips/{trip}/rfqs", {"operators": 0}, 422),
        ("POST", "/sim/trips/{trip}/rfqs", {"operators": 26}, 409),
        ("POST", "/sim/trips/{trip}/rfqs", {"operator": 1}, 422),
        ("POST", "/sim/rfqs/{rfq}/quote", {}, 422),
        ("POST", "/sim/rfqs/{rfq}/quote", {"price": 0}, 422),
        ("POST", "/sim/rfqs/{rfq}/quote", {"price": True}, 422),
        ("POST", "/sim/rfqs/{rfq}/quote", {"price": 1, "currency": "usd"}, 422),
        ("POST", "/sim/rfqs/{rfq}/quote", {"price": 1, "lift": "asellerlift-1"}, 404),
        ("POST", "/sim/rfqs/{rfq}/chat", {"message": ""}, 422),
        ("POST", "/sim/rfqs/{rfq}/decline", {"reason": ""}, 422),
        ("POST", "/sim/rfqs/arfq-1/cancel", {}, 404),
        ("PUT", "/sim/faults", {"explode": True}, 422),
        ("PUT", "/sim/faults", {"rest_status": 302}, 422),
        ("PUT", "/sim/faults", {"duplicate": -1}, 422),
        ("GET", "/sim/calls?since=-1", None, 422),
        ("DELETE", "/sim/faults", None, 405),
        ("GET", "/sim/nothing", None, 404),
        ("GET", "/nothing", None, 404),
    ],
)
async def test_bad_input_is_a_problem_with_its_reason(
    avinode: Avinode, method: str, path: str, body: Any, status: int
) -> None:
    code, [rfq] = await avinode.trip_with_rfqs()
    answer = await avinode.call(method, path.format(trip=code, rfq=rfq), body)

    assert answer.status == answer.body["status"] == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["detail"]


async def test_broken_bodies_are_no_server_error(avinode: Avinode) -> None:
    for sent in (b"{", b"\xff", b"[" * 500_000, b'{"a": "\\ud800"}', b"x" * 2_000_000):
        async with avinode.http.put(f"{avinode.url}/sim/faults", data=sent) as response:
            assert response.status in {413, 422}
        async with avinode.http.post(f"{avinode.url}/api/trips", data=sent, headers=headers()) as response:
            assert response.status in {400, 413}


@pytest.mark.parametrize(("path", "shape"), [("/api/trips", "meta"), ("/sim/trips", "detail")])
async def test_body_that_is_not_what_its_encoding_says_is_400(avinode: Avinode, path: str, shape: str) -> None:
    sent = headers() | {"Content-Encoding": "gzip"}
    async with avinode.http.post(avinode.url + path, data=b"plain", headers=sent) as response:
        assert response.status == 400
        assert shape in await response.json()


async def test_faults_are_replaced_as_a_set(avinode: Avinode) -> None:
    await avinode.switch_on(duplicate=2)
    await avinode.switch_on(drop=True)
    shown = (await avinode.call("GET", "/sim/faults")).body

    assert (shown["duplicate"], shown["drop"]) == (0, True)
    assert (await avinode.call("PUT", "/sim/faults", {})).body["drop"] is False


async def test_trip_of_a_colleague_is_known_by_its_rfqs_only(avinode: Avinode, receiver: Receiver) -> None:
    trip = await avinode.act("trips", TRIP)
    await avinode.act(f"trips/{trip['trip_code']}/rfqs", {"operators": 1})

    [body] = await receiver.bodies(1)
    assert body["tripId"] == trip["trip_code"]
    assert (await avinode.call("GET", "/sim/calls")).body["calls"] == []


async def test_hrefs_and_deep_links_have_the_bases_given() -> None:
    given = {"avinode_public_url": "http://sandbox:8099/", "avinode_ui_url": "http://localhost:8099"}
    async with running(**given) as avinode:
        data = (await avinode.rest("POST", "/api/trips", TRIP)).body["data"]

    assert data["href"] == f"http://sandbox:8099/api/trips/{data['id']}"
    assert data["actions"]["cancel"]["href"].startswith("http://sandbox:8099/api/")
    assert data["actions"]["viewInAvinode"]["href"] == f"http://localhost:8099/ui/trips/buying/{data['id']}"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/healthz"), ("GET", "/api/trips/x"), ("GET", "/ui/trips"), ("GET", "/sim/trips")]
)
async def test_every_answer_says_it_is_simulated(avinode: Avinode, method: str, path: str) -> None:
    async with avinode.http.request(method, avinode.url + path) as response:
        assert response.headers["X-Simulator"] == "avinode-sim"
