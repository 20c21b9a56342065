"""A trip is as active as the conversation about it, whether or not what was said is stored yet."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with open_stage(settings) as stage:
        yield stage


@pytest.fixture
def rows(owner: asyncpg.Connection) -> Rows:
    return Rows(owner)


async def quiet_trip(rows: Rows, session_id: str, **age: float) -> str:
    """Write a trip of a session in which nobody has spoken for so long."""
    at = await rows.ages_ago(**age)
    await rows.session(session_id, last_activity_at=at, last_message_at=at)
    return str(await rows.trip(session_id, started_at=at, last_activity_at=at))


async def say(rows: Rows, session_id: str, **age: float) -> None:
    """Begin a turn that the logger has not heard of yet."""
    now = await rows.ages_ago()
    await rows.insert(
        "gateway.turns",
        turn_id=new_id(),
        user_id="ann",
        session_id=session_id,
        body_hash=b"",
        owner="gone",
        state="running",
        lease_until=now + timedelta(seconds=30),
        correlation_id=new_id(),
        model="m",
        provider="p",
        question={"message_id": "q", "content": "hello", "parts": [], "parent_id": None},
        asked_at=await rows.ages_ago(**age),
    )


async def shown(stage: Stage, **query: Any) -> list[tuple[str, str]]:
    """List the trips' sessions and how the trips stand."""
    answer = (await stage.get("/api/trips", **query)).json()
    return [(trip["conversation_id"], trip["status"]) for trip in answer["trips"]]


async def test_trips_are_listed_by_the_newest_activity_of_their_sessions(stage: Stage, rows: Rows) -> None:
    for session_id, hours in (("s1", 1), ("s2", 3), ("s3", 2)):
        await quiet_trip(rows, session_id, hours=hours)
    assert await shown(stage) == [("s1", "paused"), ("s3", "paused"), ("s2", "paused")]
    await rows.run("UPDATE chat.sessions SET last_activity_at = clock_timestamp() WHERE session_id = 's2'")
    assert await shown(stage) == [("s2", "active"), ("s1", "paused"), ("s3", "paused")]


async def test_what_is_not_stored_yet_counts_like_what_is(stage: Stage, rows: Rows) -> None:
    trips = {
        session_id: await quiet_trip(rows, session_id, hours=hours) for session_id, hours in (("s1", 1), ("s2", 3))
    }
    await say(rows, "s2", minutes=1)
    assert await shown(stage) == [("s2", "active"), ("s1", "paused")]
    trip = (await stage.get(f"/api/trips/{trips['s2']}")).json()
    assert trip["status"] == "active"
    for session_id, status in (("s1", "paused"), ("s2", "active")):
        session = (await stage.get(f"/api/chat/sessions/{session_id}")).json()["session"]
        assert session["trip"]["status"] == status
        assert (
            session["last_activity_at"]
            == (await stage.get(f"/api/trips/{trips[session_id]}")).json()["last_activity_at"]
        )


async def test_a_trip_of_a_session_that_only_begins_counts_too(stage: Stage, rows: Rows) -> None:
    await quiet_trip(rows, "s1", hours=1)
    ago = await rows.ages_ago(hours=2)
    await rows.trip("new", started_at=ago, last_activity_at=ago)
    assert await shown(stage) == [("s1", "paused"), ("new", "paused")]
    await say(rows, "new", minutes=31)
    assert await shown(stage) == [("new", "paused"), ("s1", "paused")]


async def test_pages_go_by_activity(stage: Stage, rows: Rows) -> None:
    for number in range(7):
        await quiet_trip(rows, f"s{number}", hours=1 + number % 3)
    for session_id in ("s1", "s5"):
        await say(rows, session_id, minutes=2)
    everything = await shown(stage)
    listed: list[tuple[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = (await stage.get("/api/trips", limit=2, **cursor)).json()
        listed += [(trip["conversation_id"], trip["status"]) for trip in answer["trips"]]
        if not answer["has_more"]:
            break
        cursor = {"cursor": answer["next_cursor"]}
    assert listed == everything
    assert len(set(listed)) == 7
    assert {session_id for session_id, _ in listed[:2]} == {"s1", "s5"}


async def test_a_deleted_session_has_no_trips(stage: Stage, rows: Rows) -> None:
    trip_id = await quiet_trip(rows, "s1", hours=1)
    await rows.run("UPDATE chat.sessions SET deleted_at = clock_timestamp()")
    assert await shown(stage) == []
    assert (await stage.get(f"/api/trips/{trip_id}")).status_code == 404
