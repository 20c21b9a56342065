"""Read chat.sessions with what the tagger and the workflow know of each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any

from services.gateway.http.requests.cursors import Place
from services.gateway.models.queries import tag_of
from services.gateway.sessions.answers import TripSummary
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES, Key, page_keys
from services.gateway.sessions.finding.searching import Found, found_among, found_page, found_texts
from services.gateway.sessions.openings import LISTED_OPENINGS, Opening, as_opened
from services.gateway.sessions.status import status_of
from services.gateway.sessions.view import SessionFacts, StoredSession
from services.gateway.turns.past.said import Glimpse
from shared.database import Connection, Pool, reading

KeyChoice = Callable[[Connection, Sequence[Key]], Awaitable[Sequence[Key]]]


class SessionQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def facts(self, user_ids: Sequence[str], session_id: str) -> list[SessionFacts]:
        """Return what is known of each of these users' session of this id, in the users' order."""
        return await self.facts_of([(user_id, session_id) for user_id in user_ids])

    async def existing(self, user_ids: Sequence[str], session_ids: Sequence[str]) -> set[Key]:
        """Return which of these users' sessions of these ids are stored, or opened."""
        async with reading(self._pool, *user_ids, first=PLANNED_BY_VALUES) as db:
            rows = await db.fetch(
                """
                SELECT user_id, session_id FROM chat.sessions WHERE user_id = ANY ($1) AND session_id = ANY ($2)
                UNION
                SELECT user_id, session_id FROM gateway.session_openings
                WHERE user_id = ANY ($1) AND session_id = ANY ($2)
                """,
                list(user_ids),
                list(session_ids),
            )
        return {(row["user_id"], row["session_id"]) for row in rows}

    async def facts_of(self, keys: Sequence[Key]) -> list[SessionFacts]:
        """Return what is known of each of these sessions, in their order."""
        async with reading(self._pool, *dict.fromkeys(user_id for user_id, _ in keys)) as db:
            return await _facts(db, keys)

    async def page(
        self,
        user_ids: Sequence[str],
        wanted: SessionFilter,
        limit: int,
        before: Place | None,
        turns: Sequence[Glimpse],
    ) -> list[SessionFacts]:
        """Return what `show_in_order` chooses a page from.

        Args:
            user_ids: The owners.
            wanted: Which sessions.
            limit: The length of the page.
            before: Where the page before it ended.
            turns: The newest turn of each session that has a recent one, read before.
        """

        async def stored(db: Connection, fresh: Sequence[Key]) -> list[Key]:
            # A session with a fresh turn has another place than its stored one, so it may leave a gap on the page.
            return await page_keys(db, user_ids, wanted, limit + 1 + len(fresh), before)

        return await self.chosen(user_ids, turns, stored, opened_by=user_ids)

    async def chosen(
        self,
        user_ids: Sequence[str],
        turns: Sequence[Glimpse],
        stored: KeyChoice,
        *,
        opened_by: Sequence[str] = (),
    ) -> list[SessionFacts]:
        """Return what is known of the sessions with something newer than what is stored, and of those that are chosen.

        Args:
            user_ids: The owners; none for the administrators' role, which sees all.
            turns: The newest turn of each session that has a recent one, read before.
            stored: Chooses stored sessions, told which ones are among those turns.
            opened_by: Whose sessions are chosen, too, that were opened and are not stored.
        """
        async with reading(self._pool, *user_ids, first=PLANNED_BY_VALUES) as db:
            fresh = await _unstored(db, turns, opened_by)
            keys = await stored(db, list(fresh))
            facts = await _facts(db, [*fresh, *(key for key in keys if key not in fresh)])
        return [as_opened(each, opening) if (opening := fresh.get(each.key)) else each for each in facts]

    async def found(
        self,
        user_ids: Sequence[str],
        wanted: SessionFilter,
        limit: int,
        before: Place | None,
        turns: Sequence[Glimpse],
    ) -> tuple[list[SessionFacts], Found]:
        """Return the same where words are searched, and in which message each session has them."""
        async with reading(self._pool, *user_ids, first=PLANNED_BY_VALUES) as db:
            fresh, _ = await found_among(db, wanted, list(await _unstored(db, turns)))
            stored = await found_page(db, user_ids, wanted, limit + 1 + len(fresh), before)
            found = {**stored, **fresh}
            return await _facts(db, list(found)), found

    async def texts(self, user_ids: Sequence[str], found: Found) -> dict[Key, str]:
        """Return what the messages say that were found."""
        async with reading(self._pool, *user_ids) as db:
            return await found_texts(db, found)


async def _unstored(
    db: Connection, turns: Sequence[Glimpse], opened_by: Sequence[str] = ()
) -> dict[Key, Opening | None]:
    """Return the sessions of those turns that say something newer than what is stored, and those that were opened.

    Args:
        db: Where to read.
        turns: The newest of each session.
        opened_by: Whose newest openings are looked at.

    Returns:
        Each with its first opening, where it is not stored.
    """
    rows = await db.fetch(
        """
        SELECT t.user_id, t.session_id, NULL::uuid AS event_id, NULL::timestamptz AS accepted_at, NULL::jsonb AS opening
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (user_id, session_id, at)
        LEFT JOIN LATERAL (SELECT own.session_id, own.last_message_at FROM chat.sessions own
            WHERE own.user_id = t.user_id AND own.session_id = t.session_id OFFSET 0) s ON true
        WHERE s.session_id IS NULL OR s.last_message_at IS NULL OR s.last_message_at < t.at
        UNION ALL
        SELECT o.user_id, o.session_id, o.event_id, o.accepted_at, o.opening
        FROM unnest($4::text[]) AS owner (user_id)
        CROSS JOIN LATERAL (SELECT * FROM gateway.session_openings own
            WHERE own.user_id = owner.user_id ORDER BY own.accepted_at DESC LIMIT $5) o
        LEFT JOIN LATERAL (SELECT own.session_id FROM chat.sessions own
            WHERE own.user_id = o.user_id AND own.session_id = o.session_id OFFSET 0) s ON true
        WHERE s.session_id IS NULL
        """,
        [turn.user_id for turn in turns],
        [turn.session_id for turn in turns],
        [turn.place for turn in turns],
        list(opened_by),
        LISTED_OPENINGS,
    )
    found: dict[Key, Opening | None] = {(row["user_id"], row["session_id"]): None for row in rows}
    opened = [Opening(**dict(row)) for row in rows if row["event_id"] is not None]
    for opening in sorted(opened, key=lambda each: each.accepted_at, reverse=True):
        found[opening.user_id, opening.session_id] = opening
    return found


async def _facts(db: Connection, keys: Sequence[Key]) -> list[SessionFacts]:
    # OFFSET 0: each row by its key, or where a table's size is not known all that its owner has is read to join it.
    rows = await db.fetch(
        """
        SELECT key.user_id, key.session_id, now() AS now,
            s.session_id IS NOT NULL AS is_stored, s.deleted_at IS NOT NULL OR d.user_id IS NOT NULL AS deleted,
            (SELECT e.erased_at FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(key.user_id) AND e.done_at IS NULL) AS erased_at,
            s.project_id, s.helper, s.model, s.title, s.title_source, s.message_count, s.last_message,
            s.last_message_at, s.last_activity_at, s.created_at, s.updated_at, s.ended_at, s.pinned, s.archived,
            s.folder, s.labels, s.analytics, s.experiment_name, s.forked_from, s.metadata, s.field_stamps,
            s.mixed OR coalesce(g.mixed, false) OR coalesce(  -- it was reserved for another model than was spoken to
                g.reserved_at IS NOT NULL AND s.model_at IS NOT NULL AND s.model <> m.name, false) AS mixed,
            g.session_tag, g.number AS counter, g.experiment_name AS tag_experiment_name, g.model_id,
            coalesce(m.display_name, m.name) AS model_name, g.reserved_at,
            trip.*
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS key (user_id, session_id, place)
        LEFT JOIN LATERAL (SELECT * FROM chat.sessions own
            WHERE own.user_id = key.user_id AND own.session_id = key.session_id OFFSET 0) s ON true
        LEFT JOIN gateway.deletions d ON (d.user_id, d.session_id) = (key.user_id, key.session_id)
        LEFT JOIN LATERAL (SELECT * FROM tagging.session_tags own
            WHERE own.user_id = key.user_id AND own.session_id = key.session_id AND own.deleted_at IS NULL OFFSET 0
            ) g ON true
        LEFT JOIN tagging.models m USING (model_id)
        LEFT JOIN LATERAL (
            SELECT t.trip_id, t.avinode_trip_id, t.trip_code, t.outcome, t.step AS current_step,
                t.operators_contacted_count, t.quotes_expected_count, t.quotes_received_count, t.workflow_state,
                coalesce(t.proposal_sent_at, t.closed_at) AS completed_at, t.paused_at,
                greatest(t.last_activity_at, s.last_activity_at) AS trip_activity_at
            FROM workflow.trip_sessions o JOIN workflow.trips t USING (trip_id)
            WHERE o.user_id = key.user_id AND o.session_id = key.session_id AND o.deleted_at IS NULL
            ORDER BY o.open DESC, o.started_at DESC LIMIT 1
        ) trip ON true
        ORDER BY key.place
        """,
        [user_id for user_id, _ in keys],
        [session_id for _, session_id in keys],
    )
    return [_facts_of(dict(row)) for row in rows]


def _facts_of(row: dict[str, Any]) -> SessionFacts:
    stored = {field.name: row[field.name] for field in fields(StoredSession)}
    return SessionFacts(
        user_id=row["user_id"],
        session_id=row["session_id"],
        stored=StoredSession(**stored) if row["is_stored"] else None,
        deleted=row["deleted"],
        erased_at=row["erased_at"],
        tag=tag_of(row),
        trip=_trip(row),
        paused_at=row["paused_at"],
        workflow_state=row["workflow_state"] or {},
        read_at=row["now"],
    )


def _trip(row: dict[str, Any]) -> TripSummary | None:
    if row["trip_id"] is None:
        return None
    status = status_of(
        outcome=row["outcome"],
        completed_at=row["completed_at"],
        last_activity_at=row["trip_activity_at"],
        paused_at=row["paused_at"],
        now=row["now"],
    )
    return TripSummary.model_validate({**row, "id": row["trip_id"], "status": status})
