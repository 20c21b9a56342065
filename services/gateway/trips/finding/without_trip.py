"""Sessions that are about no trip yet: rows of a list of trips, too, from their first message on.

Those of which something is not stored yet are among them, as in the list of sessions.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.gateway.account.projects import Projects
from services.gateway.deletion.hidden import is_shown
from services.gateway.http.requests.cursors import Place
from services.gateway.sessions.answers import Session
from services.gateway.sessions.finding.page_keys import Key
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.status import FIRST_STEP, TripStatus
from services.gateway.sessions.view import SessionFacts, show_session
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.page_keys import Order, key_of, order_of, read_key
from services.gateway.trips.records.record import TripRow
from services.gateway.turns.past.said import Glimpse
from shared.database import Connection

GREATEST = "\U0010ffff"  # than any id
# How long ago something was said at least, and less than: what makes the status of a session without a trip.
AGES: dict[TripStatus | None, tuple[int | None, int | None]] = {  # minutes
    None: (None, None),
    "active": (None, 30),
    "paused": (30, None),
}
# A time less some minutes comes from a SELECT of its own: row-level security lets no index compare with it otherwise.
# Ties are counted, to be looked up by their session's key: a join with all that somebody has may be planned otherwise.
_FITS = """
    s.deleted_at IS NULL
    AND (s.last_activity_at, s.session_id, s.user_id) < (coalesce($2::timestamptz, 'infinity'), $3::text, $4::text)
    AND s.last_activity_at <= (SELECT coalesce(now() - $5 * interval '1 minute', 'infinity'))
    AND s.last_activity_at > (SELECT coalesce(now() - $6 * interval '1 minute', '-infinity'))
    AND ($7::text[] IS NULL OR s.project_id = ANY ($7))
    AND (SELECT count(*) FROM (SELECT FROM workflow.trip_sessions o
        WHERE o.user_id = s.user_id AND o.session_id = s.session_id AND o.deleted_at IS NULL LIMIT 1) tie) = 0
    AND NOT EXISTS (SELECT FROM unnest($8::text[], $9::text[]) AS fresh (user_id, session_id)
        WHERE fresh.user_id = s.user_id AND fresh.session_id = s.session_id)
"""
# Each owner's index is read from its place on, and so is each kind of session that it keeps apart.
OF_USERS = f"""
    SELECT page.user_id, page.session_id, page.last_activity_at
    FROM unnest($10::text[]) AS owner (user_id)
    CROSS JOIN (VALUES (false, false), (false, true), (true, false), (true, true)) AS kind (archived, pinned)
    CROSS JOIN LATERAL (
        SELECT s.user_id, s.session_id, s.last_activity_at FROM chat.sessions s
        WHERE s.user_id = owner.user_id AND s.archived = kind.archived AND s.pinned = kind.pinned AND {_FITS}
        ORDER BY s.last_activity_at DESC, s.session_id DESC LIMIT $1
    ) page
    ORDER BY page.last_activity_at DESC, page.session_id DESC, page.user_id DESC LIMIT $1
"""  # noqa: S608 - a constant of this module, here and below
OF_ALL = f"""
    SELECT s.user_id, s.session_id, s.last_activity_at FROM chat.sessions s
    WHERE s.message_count >= 0 AND {_FITS} AND {is_shown("s", "s.created_at")}
    ORDER BY s.last_activity_at DESC, s.session_id DESC, s.user_id DESC LIMIT $1
"""  # noqa: S608
MOST_COUNTED = 100_000  # sessions, the newest
_COUNTED = """
    SELECT count(*) AS total, count(*) FILTER (WHERE last_activity_at > now() - interval '30 minutes') AS active
    FROM ({}) walk
"""


@dataclass(frozen=True)
class Without:
    """How many sessions are about no trip."""

    counts: Counter[TripStatus]
    is_complete: bool  # false: of those that are stored there are more, which are older


class SessionsWithoutTrip:
    def __init__(self, queries: SessionQueries, most_counted: int = MOST_COUNTED) -> None:
        self._queries = queries
        self._most = most_counted

    async def page(
        self, user_ids: Sequence[str], wanted: TripFilter, limit: int, before: Place | None, turns: Sequence[Glimpse]
    ) -> list[tuple[Place, TripRow]]:
        """Return up to `limit` sessions of these users as rows of a list of trips, the newest activity first.

        Args:
            user_ids: The owners; none: everybody, for the administrators' role, as far as it is stored.
            wanted: Which.
            limit: The most there may be.
            before: Where the page before it ended.
            turns: The newest turn of each session that has a recent one, read before.
        """

        async def stored(db: Connection, fresh: Sequence[Key]) -> Sequence[Key]:
            if wanted.session_id is not None and user_ids:
                return [(user_id, wanted.session_id) for user_id in user_ids]
            return await stored_keys(db, user_ids, wanted, limit, before, without=fresh)

        facts = await self._queries.chosen(user_ids, turns, stored, opened_by=user_ids)
        shown = shown_without_trip(facts, turns, wanted)
        rows = [row_of(session, user_id) for user_id, session in shown]
        placed = [(place_of(row), row) for row in rows]
        following = [each for each in placed if before is None or _order(each) < order_of(before)]
        return sorted(following, key=_order, reverse=True)[:limit]

    async def count(self, user_ids: Sequence[str], projects: Projects, turns: Sequence[Glimpse]) -> Without:
        """Count these users' sessions by their status, up to `MOST_COUNTED` of those that are stored."""
        wanted = TripFilter(sessions=True, projects=projects)
        counts: Counter[TripStatus] = Counter()

        async def stored(db: Connection, fresh: Sequence[Key]) -> Sequence[Key]:
            counts.update(await _counts(db, user_ids, wanted, self._most, without=fresh))
            return ()

        facts = await self._queries.chosen(user_ids, turns, stored, opened_by=user_ids)
        is_complete = counts.total() < self._most
        counts.update(session.status for _, session in shown_without_trip(facts, turns, wanted))
        return Without(counts, is_complete)


async def _counts(
    db: Connection, user_ids: Sequence[str], wanted: TripFilter, most: int, *, without: Collection[Key]
) -> dict[TripStatus, int]:
    fitting, owners = _fitting(wanted, None, without), [list(user_ids)] if user_ids else []
    row = await db.fetchrow(_COUNTED.format(OF_USERS if user_ids else OF_ALL), most, *fitting, *owners)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return {"active": row["active"], "paused": row["total"] - row["active"]}


async def stored_keys(
    db: Connection,
    user_ids: Sequence[str],
    wanted: TripFilter,
    limit: int,
    before: Place | None,
    *,
    without: Collection[Key] = (),
) -> list[Key]:
    """Choose stored sessions without a trip, other than these."""
    fitting = _fitting(wanted, before, without)
    if user_ids:
        rows = await db.fetch(OF_USERS, limit, *fitting, list(user_ids))
    else:
        rows = await db.fetch(OF_ALL, limit, *fitting)
    return [(row["user_id"], row["session_id"]) for row in rows]


def _fitting(wanted: TripFilter, before: Place | None, without: Collection[Key] = ()) -> tuple[object, ...]:
    """Return what `_FITS` knows as $2 to $9."""
    at, key = before or (None, "//")
    trip_id, session_id, user_id = read_key(key)
    if trip_id:  # after all trips of the moment come its sessions
        session_id = user_id = GREATEST
    return (
        at,
        session_id,
        user_id,
        *AGES.get(wanted.status, (None, None)),
        wanted.projects,
        [user_id for user_id, _ in without],
        [session_id for _, session_id in without],
    )


def shown_without_trip(
    facts: Sequence[SessionFacts], turns: Sequence[Glimpse], wanted: TripFilter
) -> list[tuple[str, Session]]:
    """Show those of these sessions that are about no trip, and are asked for, each with its owner."""
    newest = {(turn.user_id, turn.session_id): [turn] for turn in turns}
    views = [show_session(fact, newest.get(fact.key, [])) for fact in facts if fact.trip is None]
    return [(view.user_id, view.session) for view in views if view is not None and _fits(view.session, wanted)]


def _fits(session: Session, wanted: TripFilter) -> bool:
    return (
        (wanted.projects is None or session.project_id in wanted.projects)
        and wanted.session_id in (None, session.id)
        and wanted.status in (None, session.status)
    )


def row_of(session: Session, user_id: str) -> TripRow:
    """Show a session as a row of a list of trips, with nothing that a trip would have."""
    known = dict.fromkeys(TripRow.model_fields)
    counts = ("operators_contacted_count", "quotes_expected_count", "quotes_received_count")
    said = {
        "conversation_id": session.id,
        "conversation_subject": session.title,
        "iso_agent_id": user_id,
        "status": session.status,
        "current_step": FIRST_STEP,
        "workflow_state": session.workflow_state,
        "message_count": session.message_count,
        "session_started_at": session.created_at,
        "session_ended_at": session.ended_at,
        "last_activity_at": session.last_activity_at,
        "metadata": session.metadata,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }
    return TripRow.model_validate({**known, **dict.fromkeys(counts, 0), **said})


def place_of(row: TripRow) -> Place:
    """Tell where such a row stands in a list."""
    return row.last_activity_at, key_of(None, row.conversation_id, row.iso_agent_id)


def _order(placed: tuple[Place, TripRow]) -> Order:
    return order_of(placed[0])
