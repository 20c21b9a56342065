"""A trip is archived 90 days after it was completed: by whoever reads it, since nothing needs to run for that."""

from datetime import timedelta
from typing import Any

import pytest

from services.gateway.sessions.status import ARCHIVED_AFTER, PAUSED_AFTER, STATUS_IN_SQL, status_of
from shared.database import open_pool, reading
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage

DAY = timedelta(days=1)


@pytest.mark.parametrize(("days", "status"), [(89, "completed"), (91, "archived")])
@pytest.mark.parametrize("how", ["proposal sent", "closed"])
async def test_a_completed_trip_is_archived_after_90_days(
    gateway: Stage, rows: Rows, days: int, status: str, how: str
) -> None:
    ended = await rows.ages_ago(days=days)
    known = {"proposal_sent_at": ended} if how == "proposal sent" else {"closed_at": ended, "outcome": "completed"}
    await rows.session("s1", last_activity_at=ended)
    trip_id = await rows.trip("s1", started_at=ended, last_activity_at=ended, step="proposal_ready", **known)
    whole = (await gateway.get(f"/api/trips/{trip_id}")).json()
    session = (await gateway.get("/api/chat/sessions/s1")).json()["session"]
    assert [whole["status"], session["status"], session["trip"]["status"]] == [status] * 3
    for asked in ("active", "paused", "completed", "archived"):
        found = (await gateway.get("/api/trips", status=asked, include="sessions")).json()["trips"]
        assert [row["id"] for row in found] == ([str(trip_id)] if asked == status else [])
    stats = (await gateway.get("/api/trips/stats")).json()
    assert {name: number for name, number in stats["by_status"].items() if number} == {status: 1}


async def test_sql_and_python_tell_the_same_status(read_settings: Settings) -> None:
    ages = [None, timedelta(0), PAUSED_AFTER - DAY / 1e6, PAUSED_AFTER, 89 * DAY, ARCHIVED_AFTER, 91 * DAY]
    statement = f"""
        SELECT {STATUS_IN_SQL} AS status, t.*, spoken_at, now() AS now FROM (
            SELECT $1::text AS outcome, now() - $2::interval AS proposal_sent_at, now() - $3::interval AS closed_at,
                now() - $4::interval AS last_activity_at, now() - $6::interval AS paused_at) t,
            (SELECT now() - $5::interval AS spoken_at) spoken
    """  # noqa: S608 - a constant
    told: set[str] = set()
    async with open_pool(read_settings.reader_database_url, "test", 1) as pool, reading(pool) as db:
        for outcome, sent, closed, quiet, spoken, paused in _cases(ages):
            row = await db.fetchrow(statement, outcome, sent, closed, quiet, spoken, paused)
            assert row is not None
            activity = max(filter(None, (row["last_activity_at"], row["spoken_at"])))
            ended = row["proposal_sent_at"] or row["closed_at"]
            expected = status_of(
                outcome=outcome,
                completed_at=ended,
                last_activity_at=activity,
                paused_at=row["paused_at"],
                now=row["now"],
            )
            assert row["status"] == expected, dict(row)
            told.add(expected)
    assert told == {"active", "paused", "completed", "archived"}


def _cases(ages: list[timedelta | None]) -> list[tuple[Any, ...]]:
    quiet = [age for age in ages if age is not None]
    unclosed = [
        (None, sent, None, at, spoken, set_aside)
        for sent in ages
        for at in quiet
        for spoken in ages
        for set_aside in ages
    ]
    return [*unclosed, *((how, None, at, at, None, None) for how in ("completed", "cancelled") for at in quiet)]
