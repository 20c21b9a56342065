"""Every session is in the list of trips, whether it is about one or not, and in the numbers."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.turn import Answer, Turn
from shared.ids import new_id, user_hash
from tests.connected.gateway.stage import Rows, Stage, ask
from tests.pure.gateway.samples import claim

TRIPS, STATS = "/api/trips", "/api/trips/stats"
FIRST = "understanding_request"
EVERYTHING: dict[str, Any] = {"include": "sessions"}


async def listed(
    stage: Stage, user: str = "ann", limit: int = 200, path: str = TRIPS, role: str = "user", **query: Any
) -> list[dict[str, Any]]:
    """Read all pages."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await stage.get(path, user, role, limit=limit, **query, **cursor)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["trips"]
        if not answer.json()["has_more"]:
            return rows
        cursor = {"cursor": answer.json()["next_cursor"]}


async def listed_by_admin(stage: Stage, **query: Any) -> list[dict[str, Any]]:
    return await listed(stage, "op", path="/api/admin/trips", role="admin", **query)


async def names(stage: Stage, **query: Any) -> list[str]:
    return [row["conversation_id"] for row in await listed(stage, **query)]


async def talk(rows: Rows, session_id: str, user: str = "ann", **age: float) -> None:
    """Write a session in which nobody has spoken for so long."""
    at = await rows.ages_ago(**age)
    times: dict[str, Any] = {"last_activity_at": at, "last_message_at": at, "created_at": at}
    await rows.session(session_id, user=user, title=f"About {session_id}", title_source="user", **times)


async def tied(rows: Rows, session_id: str, user: str = "ann", *, hours: float = 1, **columns: Any) -> UUID:
    """Write a trip of a session, both as quiet for so long."""
    at = await rows.ages_ago(hours=hours)
    await talk(rows, session_id, user, hours=hours)
    return await rows.trip(session_id, user, at, **{"last_activity_at": at, **columns})


async def world(stage: Stage, rows: Rows) -> None:
    """Give ann sessions of every kind, with trips and without, stored and not; and somebody else some."""
    await talk(rows, "quiet", hours=2)
    await talk(rows, "busy", minutes=3)
    await talk(rows, "filed", hours=3)
    await rows.run("UPDATE chat.sessions SET archived = true, pinned = true WHERE session_id = 'filed'")
    trip = await tied(rows, "searching", hours=2.5, step="searching_aircraft")
    await talk(rows, "beside", hours=2.2)
    await rows.tie("beside", trip, started_at=await rows.ages_ago(hours=3))
    await tied(rows, "aside", hours=0.01, step="requesting_quotes", paused_at=await rows.ages_ago())
    await tied(rows, "back", hours=0.02, step="requesting_quotes", paused_at=await rows.ages_ago(minutes=5))
    await tied(rows, "begun", hours=4, step=FIRST)
    sent = await rows.ages_ago(days=89)
    await tied(rows, "sent", hours=5, proposal_sent_at=sent, step="proposal_ready")
    await tied(rows, "old", hours=6, closed_at=sent - timedelta(days=2), outcome="completed", step="proposal_ready")
    await tied(rows, "cancelled", hours=7, closed_at=sent, outcome="cancelled")
    await talk(rows, "woken", hours=9)
    await tied(rows, "woken-trip", hours=8, step="requesting_quotes")
    for session_id in ("unstored", "woken", "woken-trip"):
        await ask(stage, session_id)
    await talk(rows, "bobs", "bob", minutes=1)
    await tied(rows, "bobs-trip", "bob")


ORDER = [
    "woken-trip",
    "woken",
    "unstored",
    "aside",
    "back",
    "busy",
    "quiet",
    "beside",
    "searching",
    "filed",
    "begun",
    "sent",
    "old",
]
WITHOUT = ["woken", "unstored", "busy", "quiet", "filed"]


async def test_every_session_is_listed_with_its_trip_or_without(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    everything = await listed(gateway, **EVERYTHING)
    assert [row["conversation_id"] for row in everything] == [*ORDER, "cancelled"]
    assert [row["conversation_id"] for row in everything if row["id"] is None] == WITHOUT
    assert await names(gateway) == [name for name in [*ORDER, "cancelled"] if name not in WITHOUT]
    assert {row["status"] for row in everything if row["conversation_id"] in ("woken", "unstored", "busy")} == {
        "active"
    }
    quiet = next(row for row in everything if row["conversation_id"] == "quiet")
    assert (quiet["status"], quiet["current_step"], quiet["workflow_state"]) == ("paused", FIRST, {})
    assert (quiet["conversation_subject"], quiet["iso_agent_id"]) == ("About quiet", "ann")
    assert (quiet["avinode_trip_id"], quiet["primary_quote_id"], quiet["quotes_received_count"]) == (None, None, 0)
    shown = (await gateway.get("/api/chat/sessions/quiet")).json()["session"]
    for name in ("status", "current_step", "last_activity_at", "message_count", "created_at", "metadata"):
        assert quiet[name] == shown[name], name


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"step": FIRST}, ["woken", "unstored", "busy", "quiet", "filed", "begun", "cancelled"]),
        ({"status": "active"}, ["woken-trip", "back"]),
        ({"status": "active", **EVERYTHING}, ["woken-trip", "woken", "unstored", "back", "busy"]),
        ({"status": "paused", **EVERYTHING}, ["aside", "quiet", "beside", "searching", "filed", "begun"]),
        ({"status": "paused"}, ["aside", "beside", "searching", "begun"]),
        ({"status": "completed", **EVERYTHING}, ["sent"]),
        ({"status": "archived", **EVERYTHING}, ["old", "cancelled"]),
        ({"status": "paused", "step": "searching_aircraft", **EVERYTHING}, ["beside", "searching"]),
        ({"session_id": "quiet"}, []),
        ({"session_id": "quiet", **EVERYTHING}, ["quiet"]),
        ({"session_id": "unstored", "step": FIRST}, ["unstored"]),
        ({"session_id": "unstored", "status": "paused", **EVERYTHING}, []),
        ({"session_id": "beside", **EVERYTHING}, ["beside"]),
        ({"session_id": "bobs", **EVERYTHING}, []),
        ({"with_quote": True, **EVERYTHING}, []),
        ({"quote_id": "aquote-1", **EVERYTHING}, []),
        ({"avinode_trip_id": "atrip-1", **EVERYTHING}, []),
    ],
)
async def test_filters_are_of_both_kinds(gateway: Stage, rows: Rows, query: dict[str, Any], found: list[str]) -> None:
    await world(gateway, rows)
    assert await names(gateway, **query) == found
    assert await names(gateway, **query, limit=1) == found, "page by page"


async def test_pages_go_through_both_kinds_also_where_all_is_of_one_moment(gateway: Stage, rows: Rows) -> None:
    at = await rows.ages_ago(hours=1)
    sessions = ["s", *(f"s{number}" for number in range(1, 9)), "s-1", "s-2", "s-3", "s_1", "s1-1"]
    for number, session_id in enumerate(sessions):
        await rows.session(session_id, last_activity_at=at, last_message_at=at)
        for _ in range(number % 3):
            await rows.trip(session_id, started_at=at, last_activity_at=at)
            await rows.run("UPDATE workflow.trip_sessions SET open = false, ended_at = now()")
    await rows.session("s", user="bob", last_activity_at=at, last_message_at=at)
    everything = await listed(gateway, **EVERYTHING)
    wanted = {session_id: max(1, number % 3) for number, session_id in enumerate(sessions)}
    assert Counter(row["conversation_id"] for row in everything) == wanted
    for limit in (1, 2, 5):
        assert await listed(gateway, limit=limit, **EVERYTHING) == everything
        assert len(await listed_by_admin(gateway, limit=limit, **EVERYTHING)) == len(everything) + 1


async def test_the_numbers_are_those_of_the_list(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    for user in ("ann", "bob", "nobody"):
        everything = Counter((row["status"], row["current_step"]) for row in await listed(gateway, user, **EVERYTHING))
        stats = (await gateway.get(STATS, user)).json()
        assert stats["total"] == everything.total()
        assert stats["is_complete"] is True
        counted = {(status, step): n for status, steps in stats["steps_by_status"].items() for step, n in steps.items()}
        assert {key: number for key, number in counted.items() if number} == everything
        assert stats["by_step"][FIRST] == sum(n for (_, step), n in everything.items() if step == FIRST)
        assert stats["by_status"]["active"] == sum(n for (status, _), n in everything.items() if status == "active")
    assert (await gateway.get(STATS, unknown=1)).status_code == 422


async def test_what_is_deleted_is_in_no_list_and_no_number(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    deleted = ("quiet", "woken", "unstored", "woken-trip")
    for session_id in deleted:
        await rows.insert(
            "gateway.deletions", user_id="ann", session_id=session_id, event_id=new_id(), correlation_id=new_id()
        )
    left = [name for name in [*ORDER, "cancelled"] if name not in deleted]
    assert await names(gateway, **EVERYTHING) == left
    assert (await gateway.get(STATS)).json()["total"] == len(left)
    await rows.insert(
        "gateway.erasures",
        user_hash=user_hash("ann"),
        user_id="ann",
        event_id=new_id(),
        correlation_id=new_id(),
        erased_at=await rows.ages_ago(seconds=-5),
    )
    assert await names(gateway, **EVERYTHING) == []
    assert (await gateway.get(STATS)).json()["total"] == 0


async def test_a_session_that_is_answered_is_listed_once_when_it_is_stored(gateway: Stage, rows: Rows) -> None:
    turn = await gateway.store.claim(claim(session_id="s1"))
    assert isinstance(turn, Turn)
    await gateway.store.finish(Finish(turn, Answer("hi", [], "complete")))
    (unstored,) = await listed(gateway, **EVERYTHING)
    at = await rows.ages_ago(seconds=-1)
    await rows.session("s1", last_activity_at=at, last_message_at=at, message_count=2)
    (stored,) = await listed(gateway, **EVERYTHING)
    assert (unstored["conversation_id"], unstored["message_count"]) == (stored["conversation_id"], 2)
    await rows.trip("s1")
    (with_trip,) = await listed(gateway, **EVERYTHING)
    assert with_trip["id"] is not None


async def test_a_session_that_was_opened_is_listed_before_it_is_stored(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    answer = await gateway.http.post(
        "/api/chat/sessions",
        json={"id": "opened", "title": "Nothing said yet"},
        headers={**gateway.as_user("ann"), "Prefer": "respond-async"},
    )
    assert answer.status_code == 202
    (row,) = await listed(gateway, session_id="opened", **EVERYTHING)
    assert (row["conversation_subject"], row["status"], row["message_count"]) == ("Nothing said yet", "active", 0)
    assert sorted(await names(gateway, **EVERYTHING)) == sorted([*ORDER, "cancelled", "opened"])
    assert await names(gateway, limit=1, **EVERYTHING) == await names(gateway, **EVERYTHING)
    assert (await gateway.get(STATS)).json()["total"] == len(ORDER) + 2
