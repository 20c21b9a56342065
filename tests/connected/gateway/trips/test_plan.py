"""What the plan of trip sessions asks for, as docs/trips.md says that it is called here."""

import re
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage, ask
from tests.connected.gateway.trips.whole_trip import trip_with_everything
from tests.processes import ROOT

DOCUMENT = (ROOT / "docs/trips.md").read_text()
CALLS = sorted(set(re.findall(r"`GET (/api/[^` ]+)`", DOCUMENT)))
WRITES = sorted(set(re.findall(r"`(POST|PATCH) (/api/[^` ]+)`", DOCUMENT)))
FUNCTIONS = (
    "createOrUpdateChatSession",
    "getActiveChatSession",
    "getChatSessionByRequest",
    "getChatSessionsByTripId",
    "updateChatSessionActivity",
    "updateChatSessionWithTripInfo",
    "updateChatSessionWithQuote",
    "updateChatSessionWithProposal",
    "completeChatSession",
    "getUserActiveChatSessions",
    "archive_old_chat_sessions",
)
TRIPS = "/api/trips"


async def send(gateway: Stage, call: str, user: str) -> httpx2.Response:
    path, _, query = call.partition("?")
    role = "admin" if path.startswith("/api/admin/") else "user"
    return await gateway.get(path, user, role, **dict(parse_qsl(query)))


async def called(gateway: Stage, path: str, user: str = "ann") -> dict[str, Any]:
    answer = await send(gateway, path, user)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def under_way(rows: Rows) -> dict[str, str]:
    """Write a conversation with a trip that has everything; return what the document's calls name."""
    now = await rows.ages_ago()
    times: dict[str, Any] = {"last_activity_at": now, "last_message_at": now}
    await rows.session("s1", title="To Palm Beach", title_source="user", **times)
    await trip_with_everything(rows)
    await rows.run("UPDATE workflow.trips SET avinode_rfp_id = 'rfp-123'")
    (request,) = await rows.fetch("SELECT request_id FROM workflow.requests")
    return {
        "session_id": "s1",
        "request_id": str(request["request_id"]),
        "avinode_trip_id": "atrip-1",
        "avinode_rfp_id": "rfp-123",
        "avinode_rfq_id": "arfq-1",
        "quote_id": "aquote-2",
        "user_id": "ann",
    }


def test_the_document_has_a_call_for_each_function() -> None:
    assert len(CALLS) >= 10
    for name in FUNCTIONS:
        assert re.search(rf"^\| `{name}\b[^|]*\| .", DOCUMENT, re.MULTILINE), name


async def test_each_call_that_writes_is_a_route(gateway: Stage) -> None:
    paths = (await gateway.get("/openapi.json")).json()["paths"]
    assert WRITES
    for method, path in WRITES:
        assert method.lower() in paths[path]


@pytest.mark.parametrize("call", CALLS)
async def test_each_call_finds_the_callers_conversation_and_nobody_elses(gateway: Stage, rows: Rows, call: str) -> None:
    path = call.format(**await under_way(rows))
    found = await called(gateway, path)
    if "trips" in found:
        status = re.search(r"status=(\w+)", call)
        expected = ["s1"] if status is None or status[1] == "active" else []
        assert [row["conversation_id"] for row in found["trips"]] == expected
    if path.startswith("/api/admin/"):
        assert (await gateway.get(path.partition("?")[0], "bob")).status_code == 403
    elif "trips" in found:
        assert (await called(gateway, path, "bob"))["trips"] == []
    elif "total" in found:
        assert (found["total"], (await called(gateway, path, "bob"))["total"]) == (1, 0)
    else:
        assert found["conversation_id"] == "s1"
        assert (await send(gateway, path, "bob")).status_code == 404


async def test_a_conversation_is_there_from_its_first_message_on(gateway: Stage, rows: Rows) -> None:
    """`createOrUpdateChatSession` and `getActiveChatSession`."""
    await ask(gateway, "conversation")
    (row,) = (await called(gateway, f"{TRIPS}?session_id=conversation&include=sessions"))["trips"]
    assert (row["status"], row["current_step"], row["workflow_state"]) == ("active", "understanding_request", {})
    assert (await called(gateway, f"{TRIPS}/stats"))["by_step"]["understanding_request"] == 1


async def test_conversations_about_one_trip_are_found_by_it(gateway: Stage, rows: Rows) -> None:
    """`getChatSessionsByTripId('atrip-64956150')`."""
    trip_id = await rows.trip("s1", avinode_trip_id="atrip-64956150", started_at=await rows.ages_ago(hours=2))
    await rows.tie("s2", trip_id, started_at=await rows.ages_ago(hours=1))
    await rows.tie("s3", trip_id, "bob")
    await rows.trip("s4")
    found = (await called(gateway, f"{TRIPS}?avinode_trip_id=atrip-64956150"))["trips"]
    assert [row["conversation_id"] for row in found] == ["s2", "s1"]


async def test_a_users_active_conversations_are_those_with_a_trip_and_without(gateway: Stage, rows: Rows) -> None:
    """`getUserActiveChatSessions`, and the query with subject, airports and date."""
    await under_way(rows)
    now = await rows.ages_ago()
    await rows.session("talk", last_activity_at=now, last_message_at=now)
    quiet = await rows.ages_ago(hours=1)
    await rows.session("quiet", last_activity_at=quiet, last_message_at=quiet)
    await rows.session("bobs", user="bob", last_activity_at=now, last_message_at=now)
    found = (await called(gateway, f"{TRIPS}?status=active&include=sessions"))["trips"]
    assert {row["conversation_id"] for row in found} == {"s1", "talk"}
    times = [row["last_activity_at"] for row in found]
    assert times == sorted(times, reverse=True)
    names = ("conversation_subject", "departure_airport", "arrival_airport", "departure_date")
    (row,) = (row for row in found if row["conversation_id"] == "s1")
    assert [row[name] for name in names] == ["To Palm Beach", "KTEB", "KPBI", "2030-05-04"]


async def test_active_conversations_with_quotes_show_operator_price_and_aircraft(gateway: Stage, rows: Rows) -> None:
    await under_way(rows)
    await rows.trip("none yet", last_activity_at=await rows.ages_ago())
    (row,) = (await called(gateway, f"{TRIPS}?status=active&with_quote=true"))["trips"]
    names = ("operator_name", "price_cents", "currency", "aircraft_type")
    assert [row[name] for name in names] == ["Operator 1", 3_350_000, "USD", "Simulated Midsize"]


async def test_active_conversations_are_counted_by_step(gateway: Stage, rows: Rows) -> None:
    """`COUNT(*) WHERE status = 'active'`, and the same `GROUP BY current_step`."""
    await under_way(rows)
    for number in range(3):
        await ask(gateway, f"new-{number}")
    await rows.trip("searching", step="searching_aircraft")
    await rows.trip("over", closed_at=await rows.ages_ago(), outcome="completed", step="proposal_ready")
    stats = await called(gateway, f"{TRIPS}/stats")
    assert stats["by_status"]["active"] == 5
    assert {step: number for step, number in stats["steps_by_status"]["active"].items() if number} == {
        "understanding_request": 3,
        "searching_aircraft": 1,
        "analyzing_options": 1,
    }


async def test_a_message_is_activity_before_it_is_stored(gateway: Stage, rows: Rows) -> None:
    """`updateChatSessionActivity`."""
    before = await rows.ages_ago(hours=1)
    await rows.session("s1", last_activity_at=before, last_message_at=before)
    await rows.trip("s1", started_at=before, last_activity_at=before, trip_code="A1B2C3")
    assert (await called(gateway, f"{TRIPS}/A1B2C3"))["status"] == "paused"
    await ask(gateway, "s1")
    assert (await called(gateway, f"{TRIPS}/A1B2C3"))["status"] == "active"


async def test_an_unknown_id_finds_nothing(gateway: Stage, rows: Rows) -> None:
    await under_way(rows)
    for query in (f"request_id={new_id()}", "avinode_trip_id=atrip-2", "avinode_rfp_id=x", "quote_id=x"):
        assert (await called(gateway, f"{TRIPS}?{query}"))["trips"] == []
