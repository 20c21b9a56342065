"""Administrators see the trips of all users, found by an index or by a walk, as each user would see their own."""

from collections import Counter
from typing import Any

import pytest

from services.gateway.http.requests.cursors import Place
from services.gateway.trips.finding.everybodys import BY_INDEX, keys_of_all
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.page_keys import key_of
from shared.database import open_pool, reading
from shared.ids import new_id, user_hash
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage
from tests.connected.gateway.trips.finding.test_listing import EVERYTHING, TRIPS, listed, listed_by_admin, world
from tests.connected.gateway.trips.whole_trip import trip_with_everything

ADMIN_TRIPS, ADMIN_STATS = "/api/admin/trips", "/api/admin/trips/stats"
STORED = [
    "aside",
    "back",
    "busy",
    "bobs",
    "bobs-trip",
    "quiet",
    "beside",
    "searching",
    "filed",
    "begun",
    "sent",
    "old",
    "cancelled",
]
UNSTORED = ("woken", "woken-trip", "unstored")  # in which something was said that is not stored yet


def names(found: list[dict[str, Any]]) -> list[str]:
    return [row["conversation_id"] for row in found if row["conversation_id"] not in UNSTORED]


async def test_the_trips_of_all_users_are_in_one_order(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    everything = await listed_by_admin(gateway, **EVERYTHING)
    assert sorted(names(everything)) == sorted(STORED)
    times = [row["last_activity_at"] for row in everything if row["conversation_id"] not in UNSTORED]
    assert times == sorted(times, reverse=True)
    assert await listed_by_admin(gateway, limit=1, **EVERYTHING) == everything
    stats = (await gateway.get(ADMIN_STATS, "op", role="admin")).json()
    counted = Counter((row["status"], row["current_step"]) for row in everything)
    assert stats["total"] == len(everything)
    for (status, step), number in counted.items():
        assert stats["steps_by_status"][status][step] == number


@pytest.mark.parametrize("query", [EVERYTHING, {"status": "active", **EVERYTHING}, {"status": "paused"}, {}])
async def test_one_user_is_seen_as_they_see_themselves(gateway: Stage, rows: Rows, query: dict[str, Any]) -> None:
    await world(gateway, rows)
    for user in ("ann", "bob", "nobody"):
        assert await listed_by_admin(gateway, user_id=user, **query) == await listed(gateway, user, **query)
        own = (await gateway.get(f"{TRIPS}/stats", user)).json()
        assert (await gateway.get(ADMIN_STATS, "op", role="admin", user_id=user)).json() == own


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "active", **EVERYTHING}, ["back", "busy", "bobs", "s1"]),
        ({"status": "completed", **EVERYTHING}, ["sent"]),
        ({"status": "archived"}, ["old", "cancelled"]),
        ({"status": "paused", "step": "searching_aircraft"}, ["beside", "searching"]),
        ({"step": "understanding_request"}, ["busy", "bobs", "bobs-trip", "quiet", "filed", "begun", "cancelled"]),
        ({"session_id": "beside"}, ["beside"]),
        ({"session_id": "quiet", "user_id": "ann", **EVERYTHING}, ["quiet"]),
        ({"avinode_trip_id": "atrip-1"}, ["s1"]),
        ({"avinode_trip_id": "a1b2c3"}, ["s1"]),
        ({"avinode_rfp_id": "rfp-1"}, ["s1"]),
        ({"avinode_rfq_id": "arfq-2"}, ["s1"]),
        ({"quote_id": "aquote-1"}, ["s1"]),
        ({"with_quote": True}, ["s1"]),
        ({"with_quote": True, "status": "completed"}, []),
    ],
)
async def test_filters_are_those_of_a_users_own_list(
    gateway: Stage, rows: Rows, query: dict[str, Any], found: list[str]
) -> None:
    await world(gateway, rows)
    await trip_with_everything(rows)
    await rows.run("UPDATE workflow.trips SET avinode_rfp_id = 'rfp-1' WHERE avinode_trip_id = 'atrip-1'")
    assert sorted(names(await listed_by_admin(gateway, **query))) == sorted(found)


async def test_a_walk_finds_what_an_index_finds(gateway: Stage, rows: Rows, read_settings: Settings) -> None:
    await world(gateway, rows)
    at = await rows.ages_ago(hours=2)
    for session_id in ("s", "s-1", "s1", "s_"):
        for user in ("ann", "bob"):
            await rows.session(session_id, user=user, last_activity_at=at)
            await rows.trip(session_id, user, at, last_activity_at=at)
    async with (
        open_pool(read_settings.admin_database_url, "test", 1) as pool,
        reading(pool, first=BY_INDEX) as db,
    ):
        for wanted in (TripFilter(), TripFilter(status="paused"), TripFilter(step="proposal_ready")):
            few = await keys_of_all(db, wanted, 100, None)
            assert len(few) > 1
            before: Place | None = None
            for row in few:
                (walked,) = await keys_of_all(db, wanted, 1, before, few=0)
                assert tuple(walked) == tuple(row)
                before = row["place_at"], key_of(row["trip_id"], row["session_id"], row["user_id"])
            assert await keys_of_all(db, wanted, 1, before, few=0) == []


async def test_what_is_deleted_is_hidden_from_administrators_too(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    for session_id in ("quiet", "searching", "begun"):
        await rows.insert(
            "gateway.deletions", user_id="ann", session_id=session_id, event_id=new_id(), correlation_id=new_id()
        )
    left = sorted(set(STORED) - {"quiet", "searching", "begun"})
    assert sorted(names(await listed_by_admin(gateway, **EVERYTHING))) == left
    await rows.insert(
        "gateway.erasures",
        user_hash=user_hash("ann"),
        user_id="ann",
        event_id=new_id(),
        correlation_id=new_id(),
        erased_at=await rows.ages_ago(seconds=-5),
    )
    assert sorted(names(await listed_by_admin(gateway, **EVERYTHING))) == ["bobs", "bobs-trip"]
    assert (await gateway.get(ADMIN_STATS, "op", role="admin")).json()["total"] == 2


async def test_only_administrators_see_others(gateway: Stage, rows: Rows) -> None:
    await world(gateway, rows)
    for path in (ADMIN_TRIPS, ADMIN_STATS):
        for role in ("user", "service"):
            assert (await gateway.get(path, role=role)).status_code == 403
    assert (await gateway.get(TRIPS, user_id="bob")).status_code == 422
    unknowable = await gateway.get(ADMIN_TRIPS, "op", role="admin", session_id="quiet", include="sessions")
    assert (unknowable.status_code, unknowable.json()["errors"][0]["field"]) == (422, "user_id")
