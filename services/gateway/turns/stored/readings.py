"""Read what `gateway.turns` says that is not stored yet: by what is small of it, and the texts only of what is shown.

So it is read in the same time in a session's tenth turn and in its ten thousandth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.stored.rows import COLUMNS, GLIMPSE, read_glimpse, read_turn
from services.gateway.turns.turn import Turn
from shared.database import Connection, Pool, borrowed, fetched
from shared.ids import answer_id

NEWEST = 100  # turns of a session, where nothing was stored for so long
CALLS_AMONG = 50  # newest turns of a session that may have called tools, of which a later one is told
# How far a list of sessions looks for what is not stored yet, on each of its pages.
LISTED_TURNS, LISTED_SESSIONS = 10_000, 500


class Unstored(NamedTuple):
    """The turns of one session that are not stored yet."""

    turns: list[Glimpse]  # those that were the last to say something, newest first
    places: dict[str, datetime]  # of the newest turn, stored or not, of each user who has one


@dataclass(frozen=True)
class Spoken:
    """When a session's newest turn was said."""

    user_id: str
    session_id: str
    at: datetime
    project_id: str | None = None  # of the session, as far as these turns say


@dataclass(frozen=True)
class Text:
    """What one message of a turn says."""

    message_id: str
    content: str | None  # none: it would be too much, with all that is newer
    digest: bytes | None  # SHA-256, of a question


class TurnReadings:
    """Short queries, with a deadline: nearly every request begins with one, so they find out that a database hangs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def session(self, user_ids: Sequence[str], session_id: str, limit: int = NEWEST) -> Unstored:
        """Return what is not stored of each user's session of this id.

        Of a turn that runs again only the question has a place, which may be one of long ago: it is among them too.
        """
        rows = await fetched(
            self._pool,
            f"""
            SELECT identity.id AS identity, newest, {GLIMPSE}
            FROM unnest($1::text[]) AS identity (id)
            CROSS JOIN LATERAL (
                SELECT max(place) AS newest, coalesce((SELECT e.erased_at FROM gateway.erasures e
                    WHERE e.user_hash = tripthread.user_hash(identity.id) AND e.done_at IS NULL), '-infinity')
                    AS erased_at
                FROM gateway.turns WHERE user_id = identity.id AND session_id = $2) AS known
            LEFT JOIN LATERAL (
                SELECT * FROM gateway.turns busy
                WHERE busy.user_id = identity.id AND busy.session_id = $2 AND busy.state = 'running'
                    AND busy.asked_at > known.erased_at
                UNION ALL
                (SELECT * FROM gateway.turns ended
                WHERE ended.user_id = identity.id AND ended.session_id = $2 AND ended.state <> 'running'
                    AND ended.stored_at IS NULL AND ended.asked_at > known.erased_at
                ORDER BY ended.place DESC LIMIT $3)) turn ON true
            ORDER BY turn.place DESC
            """,  # noqa: S608 - a constant of this folder, here and below
            list(user_ids),
            session_id,
            limit,
        )
        places = {row["identity"]: row["newest"] for row in rows if row["newest"] is not None}
        return Unstored([read_glimpse(row) for row in rows if row["turn_id"] is not None], places)

    async def sessions_of(self, user_ids: Sequence[str]) -> list[Glimpse]:
        """Return the newest turn that is not stored of each session that has one, newest first.

        Of a user who has more than `LISTED_TURNS` of them, or in more than `LISTED_SESSIONS`, only so many.
        """
        rows = await fetched(
            self._pool,
            f"""
            SELECT {GLIMPSE} FROM gateway.turns WHERE turn_id IN (
                SELECT turn_id FROM (
                    SELECT DISTINCT ON (user_id, session_id) turn_id, asked_at FROM (
                        SELECT user_id, session_id, turn_id, asked_at FROM gateway.turns
                        WHERE user_id = ANY ($1) AND stored_at IS NULL LIMIT {LISTED_TURNS}) turn
                    ORDER BY user_id, session_id, asked_at DESC) newest
                ORDER BY asked_at DESC LIMIT {LISTED_SESSIONS})
            ORDER BY asked_at DESC
            """,  # noqa: S608
            list(user_ids),
        )
        return [read_glimpse(row) for row in rows]

    async def said_between(
        self,
        user_id: str,
        session_id: str,
        after: datetime | None,
        before: datetime | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> list[Glimpse]:
        """Return up to `limit` turns of one session that said something new from one moment to another, not stored yet.

        A turn says something up to three times, whether the others are in the window or not: what came with the
        question, the question, and the answer. Its place is of those in the window the one nearest to the end that is
        read from; so `limit` turns hold at least `limit` messages, those on the very edges included.
        """
        rows = await fetched(
            self._pool,
            f"""
            SELECT {GLIMPSE} FROM gateway.turns CROSS JOIN LATERAL (
                SELECT min(at) AS first, max(at) AS last
                FROM (VALUES
                    (CASE WHEN NOT (question -> 'is_known')::boolean THEN asked_at END),
                    (asked_at - nullif(jsonb_array_length(question -> 'earlier'), 0) * interval '1 microsecond'),
                    (answered_at)) AS spoken (at)
                WHERE at BETWEEN coalesce($3::timestamptz, '-infinity') AND coalesce($4::timestamptz, 'infinity')
            ) said
            WHERE user_id = $1 AND session_id = $2 AND stored_at IS NULL AND said.last IS NOT NULL
                AND place >= coalesce($3::timestamptz, '-infinity')  -- it is the last of these moments
            ORDER BY CASE WHEN $6::boolean THEN said.first END, said.last DESC LIMIT $5
            """,  # noqa: S608
            user_id,
            session_id,
            after,
            before,
            limit,
            oldest_first,
        )
        return [read_glimpse(row) for row in rows]

    async def saying(self, user_id: str, session_id: str, message_id: str) -> list[Glimpse]:
        """Return those turns of one session that are not stored, however long ago, of which this message is a part.

        An answer's id follows from its turn, so turns are looked through by what is small of them.
        """
        async with borrowed(self._pool) as db:
            answering = await _answering(db, user_id, session_id, message_id)
            rows = await db.fetch(
                f"""
                SELECT {GLIMPSE} FROM gateway.turns
                WHERE user_id = $1 AND session_id = $2 AND stored_at IS NULL
                    AND (turn_id = ANY ($3) OR question ->> 'message_id' = $4
                    OR question -> 'earlier' @> jsonb_build_array(jsonb_build_object('message_id', $4::text)))
                """,  # noqa: S608
                user_id,
                session_id,
                answering,
                message_id,
            )
        return [read_glimpse(row) for row in rows]

    async def was_deleted(self, user_ids: Sequence[str], session_id: str) -> bool:
        """Tell whether one of these users has deleted a session of this id."""
        return bool(
            await fetched(
                self._pool,
                "SELECT FROM gateway.deletions WHERE user_id = ANY ($1::text[]) AND session_id = $2 LIMIT 1",
                list(user_ids),
                session_id,
            )
        )

    async def last_spoken(self, user_ids: Sequence[str]) -> list[Spoken]:
        """Tell when each session was spoken in last, of those in which something is not stored yet."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT user_id, session_id, max(place) AS at,
                (array_agg(project_id ORDER BY asked_at) FILTER (WHERE project_id IS NOT NULL))[1] AS project_id
            FROM (
                SELECT user_id, session_id, place, asked_at, project_id FROM gateway.turns
                WHERE user_id = ANY ($1) AND stored_at IS NULL LIMIT {LISTED_TURNS}) turn
            GROUP BY user_id, session_id
            """,  # noqa: S608
            list(user_ids),
        )
        return [Spoken(**row) for row in map(dict, rows)]

    async def previews(self, turn_ids: Sequence[UUID], length: int) -> dict[UUID, str]:
        """Return the beginning of what each of these turns said last, of so many characters."""
        rows = await fetched(
            self._pool,
            """
            SELECT turn_id, left(coalesce(answer ->> 'content', question ->> 'content'), $2) AS preview
            FROM gateway.turns WHERE turn_id = ANY ($1)
            """,
            list(turn_ids),
            length,
        )
        return {row["turn_id"]: row["preview"] for row in rows}

    async def texts(self, turn_ids: Sequence[UUID], most_bytes: int) -> list[Text]:
        """Return what these turns, the newest first, say.

        The questions come with the texts as far back as they are `most_bytes` together, and so do the answers, of which
        no more are unpacked.
        """
        rows = await fetched(
            self._pool,
            """
            WITH RECURSIVE answered (number, content, total) AS (
                SELECT 0, NULL::text, 0::bigint
                UNION ALL
                SELECT number + 1, next.content, total + coalesce(octet_length(next.content), 0)
                FROM answered CROSS JOIN LATERAL (
                    SELECT (SELECT answer ->> 'content' FROM gateway.turns
                        WHERE turn_id = ($1::uuid[])[number + 1]) AS content) next
                WHERE number < cardinality($1) AND total <= $2
            )
            SELECT turn_id, attempt, NULL AS message_id, NULL::bytea AS digest, content
            FROM answered JOIN gateway.turns ON turn_id = ($1::uuid[])[number]
            WHERE total <= $2 AND content IS NOT NULL
            UNION ALL
            SELECT turn_id, attempt, message_id, sha256(convert_to(content, 'UTF8')),
                CASE WHEN sum(octet_length(content)) OVER (ORDER BY place DESC, number DESC) <= $2 THEN content END
            FROM gateway.turns CROSS JOIN LATERAL (
                SELECT 0, each ->> 'message_id', each ->> 'content'
                FROM jsonb_array_elements(question -> 'earlier') each
                UNION ALL SELECT 1, question ->> 'message_id', question ->> 'content'
            ) AS asked (number, message_id, content)
            WHERE turn_id = ANY ($1)
            """,
            list(turn_ids),
            most_bytes,
        )
        return [
            Text(row["message_id"] or str(answer_id(row["turn_id"], row["attempt"])), row["content"], row["digest"])
            for row in rows
        ]

    async def calls(self, user_id: str, session_id: str, most_bytes: int) -> dict[str, list[dict[str, Any]]]:
        """Return the parts of those of a session's newest answers for which tools were called, by message id.

        The turns are those that are not trimmed yet, and the parts as far back as they are `most_bytes` together.
        """
        rows = await fetched(
            self._pool,
            """
            SELECT turn_id, attempt, parts FROM (
                SELECT turn_id, attempt, parts,
                    sum(octet_length(parts::text)) OVER (ORDER BY place DESC) AS total
                FROM (SELECT turn_id, attempt, place, answer -> 'parts' AS parts FROM gateway.turns
                    WHERE user_id = $1 AND session_id = $2 AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
                    ORDER BY place DESC LIMIT $3) newest
                WHERE jsonb_path_exists(parts, '$[*].toolCallId')) called
            WHERE total <= $4
            """,
            user_id,
            session_id,
            CALLS_AMONG,
            most_bytes,
        )
        return {str(answer_id(row["turn_id"], row["attempt"])): row["parts"] for row in rows}

    async def sizes(self, turn_ids: Sequence[UUID], most_bytes: int) -> dict[UUID, int]:
        """Return how many bytes of JSON each message of these turns is at most, as far as they are `most_bytes`.

        To measure a turn is to unpack it, so one after the other is, until it is enough.
        """
        rows = await fetched(
            self._pool,
            """
            WITH RECURSIVE measured (number, size, total) AS (
                SELECT 0, 0, 0::bigint
                UNION ALL
                SELECT number + 1, next.size, total + next.size
                FROM measured CROSS JOIN LATERAL (
                    SELECT coalesce((
                        SELECT greatest(octet_length(question::text), octet_length(answer::text))
                        FROM gateway.turns WHERE turn_id = ($1::uuid[])[number + 1]), 0) AS size) next
                WHERE number < cardinality($1) AND total <= $2
            )
            SELECT ($1::uuid[])[number] AS turn_id, size FROM measured WHERE number > 0
            """,
            list(turn_ids),
            most_bytes,
        )
        return {row["turn_id"]: row["size"] for row in rows}

    async def whole(self, turn_ids: Sequence[UUID]) -> list[Turn]:
        """Return these turns with all that they say."""
        rows = await fetched(
            self._pool,
            f"SELECT {COLUMNS} FROM gateway.turns WHERE turn_id = ANY ($1)",  # noqa: S608
            list(turn_ids),
        )
        return [read_turn(row) for row in rows]


async def _answering(db: Connection, user_id: str, session_id: str, message_id: str) -> list[Any]:
    rows: list[asyncpg.Record] = await db.fetch(
        "SELECT turn_id, attempt FROM gateway.turns WHERE user_id = $1 AND session_id = $2 AND stored_at IS NULL",
        user_id,
        session_id,
    )
    return [row["turn_id"] for row in rows if str(answer_id(row["turn_id"], row["attempt"])) == message_id]
