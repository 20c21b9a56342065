"""All SQL of the logger.

Any number of loggers may run at once. Each locks sessions first, in key order, then the other rows of a kind in key
order, so that there is no deadlock; and whoever holds a session's row is alone with its messages. Rows are found by
`ON CONFLICT` instead of a join: that is an index look-up whatever the planner believes about the tables' sizes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from services.logger.dead_letter_rows import decide, park
from services.logger.dead_letters import DeadLetter
from services.logger.reduction import (
    Decision,
    MessageKey,
    SessionKey,
    SessionStep,
    activity,
    greatest_traces,
    greatest_versions,
    last_decisions,
    role_of,
    session_of,
    steps,
    version_of,
)
from services.logger.titles import preview_of
from services.logger.trace_rows import keep_traces
from shared.database import Connection, Pool, transaction
from shared.errors import Unstorable
from shared.events import Json, MessageAnswered, MessageEvent, MessagePosted


class Store:
    """Conversations and dead letters."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def store_chat(self, messages: Sequence[MessageEvent], decisions: Sequence[Decision]) -> None:
        """Store one group in one transaction that is safe to repeat."""
        async with transaction(self._pool) as db:
            if messages:
                await _store_messages(db, messages)
            if decisions:
                await decide(db, last_decisions(decisions))

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters, one row for all copies of one."""
        async with transaction(self._pool) as db:
            await park(db, letters)


async def _store_messages(db: Connection, messages: Sequence[MessageEvent]) -> None:
    stored, untraced = await _upsert_messages(db, activity(messages), greatest_versions(messages))
    if stored:
        await _step_sessions(db, steps(stored))
    if traces := greatest_traces(event for event in messages if session_of(event) not in untraced):
        await keep_traces(db, traces)


async def _upsert_messages(
    db: Connection,
    spans: Mapping[SessionKey, tuple[datetime, datetime]],
    messages: Mapping[MessageKey, MessageEvent],
) -> tuple[list[tuple[MessageEvent, bool]], set[SessionKey]]:
    """Hold the messages' sessions until the transaction ends; insert messages, or replace lesser versions of them.

    A session that is not there is inserted. `DO UPDATE` locks every one that is, but writes and returns only those
    that its WHERE lets through. Where only a tombstone is left, the messages vanish.

    Returns:
        The messages that changed a row, and whether that row is new; the sessions that keep no traces.
    """
    rows = await db.fetch(
        """
        WITH held AS (
            INSERT INTO chat.sessions AS session (user_id, session_id, created_at, last_activity_at)
            SELECT * FROM unnest($18::text[], $19::text[], $20::timestamptz[], $21::timestamptz[])
                AS span (user_id, session_id, first_at, last_at)
            ORDER BY user_id, session_id
            ON CONFLICT (user_id, session_id) DO UPDATE SET user_id = session.user_id
                WHERE session.deleted_at IS NOT NULL OR NOT session.analytics
            RETURNING user_id, session_id, deleted_at IS NOT NULL AS is_deleted, analytics
        ), stored AS (
            INSERT INTO chat.messages AS message (user_id, session_id, message_id, role, content, parts, model, status,
                error, parent_id, client_message_id, turn_id, revision, rank, event_id, created_at, metadata)
            SELECT user_id, session_id, message_id, role, content, parts::jsonb, model, status, error, parent_id,
                client_message_id, turn_id, revision, rank, event_id, created_at, metadata
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::text[], $12::uuid[], $13::int[], $14::smallint[], $15::uuid[],
                $16::timestamptz[], $17::jsonb[])
                AS said (user_id, session_id, message_id, role, content, parts, model, status, error, parent_id,
                    client_message_id, turn_id, revision, rank, event_id, created_at, metadata)
            WHERE NOT EXISTS (SELECT FROM held
                WHERE is_deleted AND (held.user_id, held.session_id) = (said.user_id, said.session_id))
            ON CONFLICT (user_id, session_id, message_id) DO UPDATE SET
                role = excluded.role, content = excluded.content, parts = excluded.parts, model = excluded.model,
                status = excluded.status, error = excluded.error, parent_id = excluded.parent_id,
                client_message_id = excluded.client_message_id, turn_id = excluded.turn_id,
                revision = excluded.revision, rank = excluded.rank, event_id = excluded.event_id,
                created_at = excluded.created_at, stored_at = excluded.stored_at, metadata = excluded.metadata
                WHERE (excluded.revision, excluded.rank) > (message.revision, message.rank)
            RETURNING user_id, session_id, message_id, xmax = 0 AS is_new  -- xmax: an updated row had to be locked
        )
        SELECT user_id, session_id, message_id, is_new FROM stored
        UNION ALL SELECT user_id, session_id, NULL, NULL FROM held WHERE is_deleted OR NOT analytics
        """,
        *zip(*map(_message_row, messages.values()), strict=True),
        [user_id for user_id, _ in spans],
        [session_id for _, session_id in spans],
        [first_at for first_at, _ in spans.values()],
        [last_at for _, last_at in spans.values()],
    )
    stored = [(messages[row[0], row[1], row[2]], row[3]) for row in rows if row[2] is not None]
    return stored, {(row[0], row[1]) for row in rows if row[2] is None}


def _message_row(event: MessageEvent) -> tuple[Any, ...]:
    posted = event if isinstance(event, MessagePosted) else None
    answer = event if isinstance(event, MessageAnswered) else None
    return (
        event.user_id,
        event.session_id,
        event.message_id,
        role_of(event),
        event.content,
        _json(event.parts),
        event.model,
        answer.status if answer else "complete",
        answer.error if answer else None,
        event.parent_id,
        posted.client_message_id if posted else None,
        event.turn_id,
        *version_of(event),
        event.event_id,
        event.created_at,
        event.metadata,
    )


def _json(parts: Sequence[Json]) -> str:
    """Spell a list for PostgreSQL: asyncpg would take a list among an array's elements for another dimension of it.

    Raises:
        Unstorable: It has a number of more than 64 bits.
    """
    try:
        return orjson.dumps(parts).decode()
    except TypeError as error:
        raise Unstorable(f"parts: {error}") from error


async def _step_sessions(db: Connection, changes: Mapping[SessionKey, SessionStep]) -> None:
    """Bring sessions up to what was just stored in them; every one has its row, so every one is a conflict."""
    await db.execute(
        """
        INSERT INTO chat.sessions AS session (user_id, session_id, created_at, last_activity_at, last_message_at,
            last_message, message_count, model, model_at, title, title_source, titled_at, project_id, helper)
        SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
            $6::text[], $7::int[], $8::text[], $9::timestamptz[], $10::text[], $11::text[], $12::timestamptz[],
            $13::text[], $14::text[])
        ON CONFLICT (user_id, session_id) DO UPDATE SET
            created_at = least(session.created_at, excluded.created_at),
            last_activity_at = greatest(session.last_activity_at, excluded.last_activity_at),
            last_message_at = greatest(session.last_message_at, excluded.last_message_at),
            last_message = CASE WHEN excluded.last_message_at < session.last_message_at
                THEN session.last_message ELSE excluded.last_message END,
            message_count = session.message_count + excluded.message_count,
            model = CASE WHEN excluded.model IS NULL OR excluded.model_at < session.model_at
                THEN session.model ELSE excluded.model END,
            model_at = greatest(session.model_at, excluded.model_at),
            title = CASE WHEN excluded.title IS NULL OR session.title_source = 'user'
                    OR excluded.titled_at >= session.titled_at
                THEN session.title ELSE excluded.title END,
            title_source = CASE session.title_source WHEN 'none' THEN excluded.title_source
                ELSE session.title_source END,
            titled_at = least(session.titled_at, excluded.titled_at),
            project_id = coalesce(session.project_id, excluded.project_id),
            helper = coalesce(session.helper, excluded.helper),
            ended_at = CASE WHEN session.ended_at >= excluded.last_activity_at THEN session.ended_at END,
            updated_at = clock_timestamp()
        """,
        *zip(*(_session_row(key, step) for key, step in changes.items()), strict=True),
    )


def _session_row(key: SessionKey, step: SessionStep) -> tuple[Any, ...]:
    newest_at = step.newest.created_at
    return (
        *key,
        step.first_at,
        newest_at,
        newest_at,
        preview_of(step.newest.content),
        step.inserted,
        step.modelling.model if step.modelling else None,
        step.modelling.created_at if step.modelling else None,
        step.title,
        "message" if step.title else "none",
        step.titling.created_at if step.titling else None,
        step.project_id,
        step.helper,
    )
