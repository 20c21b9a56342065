"""Read in one statement where a new message of a session goes: what is stored of it, and what is not yet.

One statement sees one moment, so what is stored meanwhile is there once at least. From `tripthread.read_as` on it sees
what these users may see, which is why all else is looked up for each of its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.gateway.http.requests.cursors import Place
from services.gateway.turns.past.kept import Kept
from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.stored.readings import NEWEST
from services.gateway.turns.stored.rows import GLIMPSE, read_glimpse
from shared.database import Pool, database_span, fetched

MOST_POSTED = 100  # newest turns that are looked through for one that is no message of its client's


@dataclass
class ReadEnd:
    """The end of one user's session, which is stored, opened, deleted, or only turns so far."""

    place: datetime | None  # of its newest turn, stored or not; none: it has none
    has_turns: bool  # there may be others among them than messages of its client's
    is_stored: bool  # or was deleted
    is_opened: bool
    is_deleted: bool
    newest: Place | None  # of its newest stored message that can be replied to
    kept: Kept  # as it is stored or opened
    is_named: bool  # a stored message is called by one of the names that were asked for
    unstored: list[Glimpse] = field(default_factory=list)


async def read_ends(pool: Pool, user_ids: Sequence[str], session_id: str, names: Sequence[str]) -> dict[str, ReadEnd]:
    """Return the end of the session of this id of each of these users, and whether a message is called so."""
    with database_span("read"):
        rows = await fetched(pool, _ENDS, list(user_ids), session_id, list(names))
    ends: dict[str, ReadEnd] = {}
    for row in rows:
        newest = (row["newest_at"], row["newest_id"]) if row["newest_id"] else None
        end = ends.setdefault(
            row["identity"],
            ReadEnd(
                place=row["newest_place"],
                has_turns=row["has_turns"],
                is_stored=row["is_stored"],
                is_opened=row["is_opened"],
                is_deleted=row["is_deleted"],
                newest=newest,
                kept=Kept(row["kept_project"], row["kept_helper"], row["kept_model"]),
                is_named=row["is_named"],
            ),
        )
        if row["turn_id"] is not None:
            end.unstored.append(read_glimpse(row))
    return ends


# `OFFSET 0` and `LIMIT` keep each look-up where it is written: behind `read_as`, and by its keys.
_ENDS = f"""
    SELECT owner.id AS identity, known.place AS newest_place, latest.has_turns,
        stored.user_id IS NOT NULL OR deleted.user_id IS NOT NULL AS is_stored, opened.user_id IS NOT NULL AS is_opened,
        coalesce(stored.is_deleted, false) OR deleted.user_id IS NOT NULL AS is_deleted,
        coalesce(stored.project_id, opened.project_id) AS kept_project,
        coalesce(stored.helper, opened.helper) AS kept_helper, coalesce(stored.model, opened.model) AS kept_model,
        newest.message_id AS newest_id, newest.created_at AS newest_at,
        cardinality($3::text[]) > 0 AND (
            EXISTS (SELECT FROM chat.messages m
                WHERE m.user_id = owner.id AND m.session_id = $2 AND m.message_id = ANY ($3))
            OR EXISTS (SELECT FROM chat.messages m
                WHERE m.user_id = owner.id AND m.session_id = $2 AND m.client_message_id = ANY ($3))) AS is_named,
        turn.*
    FROM tripthread.read_as($1) AS reading (users)
    CROSS JOIN LATERAL unnest(reading.users) AS owner (id)
    CROSS JOIN LATERAL (
        SELECT max(t.place) AS place FROM gateway.turns t WHERE t.user_id = owner.id AND t.session_id = $2) known
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(state <> 'posted') OR count(*) > {MOST_POSTED}, false) AS has_turns FROM (
            SELECT t.state FROM gateway.turns t WHERE t.user_id = owner.id AND t.session_id = $2
            ORDER BY t.place DESC LIMIT {MOST_POSTED} + 1) AS each) latest
    LEFT JOIN LATERAL (
        SELECT s.user_id, s.project_id, s.helper, s.model, s.deleted_at IS NOT NULL AS is_deleted
        FROM chat.sessions s WHERE s.user_id = owner.id AND s.session_id = $2 LIMIT 1) stored ON true
    LEFT JOIN LATERAL (
        SELECT d.user_id FROM gateway.deletions d
        WHERE d.user_id = owner.id AND d.session_id = $2 LIMIT 1) deleted ON true
    LEFT JOIN LATERAL (
        SELECT o.user_id, o.opening ->> 'project_id' AS project_id, o.opening ->> 'helper' AS helper,
            o.opening ->> 'model' AS model
        FROM gateway.session_openings o WHERE o.user_id = owner.id AND o.session_id = $2 AND stored.user_id IS NULL
        ORDER BY o.accepted_at LIMIT 1) opened ON true
    LEFT JOIN LATERAL (
        SELECT m.message_id, m.created_at FROM chat.messages m
        WHERE m.user_id = stored.user_id AND m.session_id = $2
            AND (m.parent_id IS NOT NULL OR m.role NOT IN ('system', 'tool'))
        ORDER BY m.created_at DESC, m.message_id DESC LIMIT 1) newest ON true
    LEFT JOIN LATERAL (
        SELECT {GLIMPSE}, place FROM (
            SELECT * FROM gateway.turns busy
            WHERE busy.user_id = owner.id AND busy.session_id = $2 AND busy.state = 'running'
            UNION ALL
            (SELECT * FROM gateway.turns ended
            WHERE ended.user_id = owner.id AND ended.session_id = $2 AND ended.state <> 'running'
                AND ended.stored_at IS NULL
            ORDER BY ended.place DESC LIMIT {NEWEST})) AS unstored OFFSET 0) turn ON true
    ORDER BY turn.place DESC
"""  # noqa: S608 - constants of this module and of turns
