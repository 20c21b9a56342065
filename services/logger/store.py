"""All SQL of the logger.

A group of messages is one statement, and so one transaction and one round trip to the database: that is what a caller
waits for who wants to read what they wrote. Its rows travel as JSON: arrays for `unnest`, one a column, cost the logger
a sixth more of its time for a message, and name no column. Every statement is safe to repeat, and a group is
acknowledged after the last of them.

Any number of loggers may run at once. Each takes its locks in one order: messages, then sessions, then traces, each
kind by key; what people set of sessions takes those of sessions alone (`rows/sessions.py`). So whoever waits for
another holds nothing that the other may come to want: among them there is no deadlock. A sweep takes its portions as
they lie on the disk (`sweeps.py`), which nobody but a late repeat wants. Where the two do wait for each other the
server ends one of them after a second: the group is worked again, or the sweep goes on where it was.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import starmap
from uuid import UUID

import asyncpg

from services.logger.dead_letters.known import DeadLetter
from services.logger.dead_letters.rows import Refused, decide, park, refused_as_unknown
from services.logger.reducing.reduction import (
    Decision,
    SessionKey,
    final_decisions,
    greatest_traces,
    greatest_versions,
    key_of,
    session_of,
    steps,
)
from services.logger.reducing.settling import Edit
from services.logger.rows.erasing import known_not_erased, not_erased, note_deleted
from services.logger.rows.feedback import store_feedback
from services.logger.rows.forking import fork_sessions
from services.logger.rows.reads import store_reads
from services.logger.rows.sessions import settle_sessions
from services.logger.rows.spelled import as_json, message_row, session_row, trace_row
from services.logger.rows.templates import store_templates
from services.logger.rows.traces import store_reports
from shared.database import ACQUIRE_TIMEOUT_S, Connection, Pool, database_span
from shared.events import (
    ConversationRead,
    FeedbackGiven,
    MessageEvent,
    SessionDeleted,
    SessionForked,
    TemplateDeleted,
    TemplateSaved,
    TracesReported,
    UserErased,
)
from shared.jobs.ledger import Ledger, note_erased

LEDGER: Ledger = "chat.erased_users"


class Store:
    """Conversations and dead letters."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def store_chat(
        self,
        messages: Sequence[MessageEvent],
        decisions: Sequence[Decision],
        edits: Sequence[Edit] = (),
        deletions: Sequence[SessionDeleted] = (),
        erasures: Sequence[UserErased] = (),
        *,
        forks: Sequence[SessionForked] = (),
        feedback: Sequence[FeedbackGiven] = (),
        templates: Sequence[TemplateSaved | TemplateDeleted] = (),
        reports: Sequence[TracesReported] = (),
        reads: Sequence[ConversationRead] = (),
    ) -> None:
        """Store one group: what is to go, what was said, what people set of it, think of it, and operators did."""
        with database_span("store"):
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
                if erasures:
                    await note_erased(db, LEDGER, erasures)
                if deletions:
                    await note_deleted(db, deletions)
                if messages and (deleted := await _store(db, messages)):
                    await _sweep(db, deleted, messages)
                # What is written by what the ledger says is of one transaction with it: a sweep waits for that.
                if edits:
                    async with db.transaction():
                        await settle_sessions(db, await known_not_erased(db, edits))
                if forks:
                    await fork_sessions(db, forks)
                if feedback:
                    async with db.transaction():
                        await store_feedback(db, await known_not_erased(db, feedback))
                if templates:
                    async with db.transaction():
                        await store_templates(db, await known_not_erased(db, templates))
                if reports:
                    async with db.transaction():
                        await store_reports(db, reports)
                if decisions:
                    await decide(db, final_decisions(decisions))
                if reads:
                    await store_reads(db, reads)

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        """Keep one group of dead letters."""
        with database_span("park"):
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db, db.transaction():
                await park(db, letters)

    async def refused_as_unknown(self, queue: str, names: Sequence[str], after: UUID | None) -> list[Refused]:
        """Return the next parked letters of types that `queue` did not know and that are named here."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
            return await refused_as_unknown(db, queue, names, after)


async def _store(db: Connection, messages: Sequence[MessageEvent]) -> list[SessionKey]:
    """Store messages, but for what was accepted before its user was erased.

    Returns:
        The sessions of which only a tombstone is left.
    """
    known: dict[str, datetime] = {}
    while messages:
        rows = await _store_unless_erased(db, messages, known)
        erased = {row["user_id"]: row["erased_at"] for row in rows if row["erased_at"] is not None}
        if not erased:
            return [(row["user_id"], row["session_id"]) for row in rows]
        known |= erased
        messages = not_erased(messages, known)
    return []


async def _store_unless_erased(
    db: Connection, messages: Sequence[MessageEvent], known: Mapping[str, datetime]
) -> list[asyncpg.Record]:
    """Store messages, bring their sessions up to them, and store the traces of answers.

    A message is inserted, or replaces a lesser version of itself. Every session of the group is touched, even by a
    repeat that changes nothing, because that locks it and tells of it: whether it keeps traces, or is a tombstone.

    Args:
        db: The connection.
        messages: Of one group.
        known: When users were erased, as far as that has been heeded.

    Returns:
        Those of their users who were erased later than is known, and when; where there is one, nothing is stored. Else
        the sessions of which only a tombstone is left.
    """
    kept = greatest_versions(messages)
    users = {event.user_id for event in messages}
    rows: list[asyncpg.Record] = await db.fetch(
        """
        WITH erased AS MATERIALIZED (
            SELECT speaking.user_id, ledger.erased_at
            FROM unnest($4::text[], $5::timestamptz[]) AS speaking (user_id, known)
            JOIN chat.erased_users ledger ON ledger.user_hash = tripthread.user_hash(speaking.user_id)
            WHERE speaking.known IS NULL OR speaking.known < ledger.erased_at
        ), stored AS (
            INSERT INTO chat.messages AS message (user_id, session_id, message_id, role, content, parts, model, status,
                error, parent_id, client_message_id, turn_id, revision, rank, event_id, created_at, metadata, client,
                conversation)
            SELECT user_id, session_id, message_id, role, content, parts, model, status, error, parent_id,
                client_message_id, turn_id, revision, rank, event_id, created_at, metadata, client, conversation
            FROM json_to_recordset($1) AS said (user_id text, session_id text, message_id text, role text, content text,
                parts jsonb, model text, status text, error text, parent_id text, client_message_id text, turn_id uuid,
                revision int, rank smallint, event_id uuid, created_at timestamptz, metadata jsonb, client jsonb,
                conversation text)
            WHERE NOT EXISTS (SELECT FROM erased)
            ORDER BY user_id, session_id, message_id
            ON CONFLICT (user_id, session_id, message_id) DO UPDATE SET
                role = excluded.role, content = excluded.content, parts = excluded.parts, model = excluded.model,
                status = excluded.status, error = excluded.error, parent_id = excluded.parent_id,
                client_message_id = excluded.client_message_id, turn_id = excluded.turn_id,
                revision = excluded.revision, rank = excluded.rank, event_id = excluded.event_id,
                created_at = excluded.created_at, stored_at = excluded.stored_at, metadata = excluded.metadata,
                client = excluded.client, conversation = excluded.conversation
                WHERE (excluded.revision, excluded.rank) > (message.revision, message.rank)
            RETURNING user_id, session_id, message_id, xmax = 0 AS is_new  -- xmax: an updated row had to be locked
        ), change AS (
            SELECT user_id, session_id, count(*) FILTER (WHERE is_new) AS added, array_agg(message_id) AS message_ids
            FROM stored GROUP BY user_id, session_id
        ), step AS (
            SELECT * FROM json_to_recordset($2) AS step (user_id text, session_id text, first_at timestamptz,
                newest_at timestamptz, newest_id text, preview text, model text, model_at timestamptz, title text,
                titled_at timestamptz, project_id text, helper text, mixed bool, first_client text[],
                last_client text[])
            WHERE NOT EXISTS (SELECT FROM erased)
        ), stepped AS (
            INSERT INTO chat.sessions AS session (user_id, session_id, created_at, last_activity_at, last_message_at,
                last_message, message_count, model, model_at, title, title_source, titled_at, project_id, helper,
                mixed, first_client, last_client, updated_at)
            SELECT user_id, session_id, first_at, newest_at, newest_at,
                CASE WHEN newest_id = ANY (message_ids) THEN preview END, coalesce(added, 0), model, model_at, title,
                CASE WHEN title IS NULL THEN 'none' ELSE 'message' END, titled_at, project_id, helper, mixed,
                first_client, last_client, CASE WHEN added IS NULL THEN '-infinity' ELSE clock_timestamp() END
            FROM step LEFT JOIN change USING (user_id, session_id)
            ORDER BY user_id, session_id
            ON CONFLICT (user_id, session_id) DO UPDATE SET
                created_at = least(session.created_at, excluded.created_at),
                last_activity_at = greatest(session.last_activity_at, excluded.last_activity_at),
                last_message_at = greatest(session.last_message_at, excluded.last_message_at),
                last_message = CASE
                    WHEN excluded.last_message IS NULL OR excluded.last_message_at < session.last_message_at
                    THEN session.last_message ELSE excluded.last_message END,
                message_count = session.message_count + excluded.message_count,
                model = CASE WHEN excluded.model IS NULL OR excluded.model_at < session.model_at
                    THEN session.model ELSE excluded.model END,
                model_at = greatest(session.model_at, excluded.model_at),
                -- The row knows one of the models that were named, and whether there was another: in any order.
                mixed = session.mixed OR excluded.mixed
                    OR (session.model_at IS NOT NULL AND excluded.model <> session.model) IS TRUE,
                title = CASE WHEN excluded.title IS NULL OR session.title_source IN ('user', 'model')
                        OR excluded.titled_at >= session.titled_at
                    THEN session.title ELSE excluded.title END,
                title_source = CASE session.title_source WHEN 'none' THEN excluded.title_source
                    ELSE session.title_source END,
                titled_at = least(session.titled_at, excluded.titled_at),
                project_id = coalesce(session.project_id, excluded.project_id),
                helper = coalesce(session.helper, excluded.helper),
                first_client = least(session.first_client, excluded.first_client),
                last_client = greatest(session.last_client, excluded.last_client),
                ended_at = CASE WHEN session.ended_at >= excluded.last_activity_at THEN session.ended_at END,
                updated_at = greatest(session.updated_at, excluded.updated_at)
                WHERE session.deleted_at IS NULL
            RETURNING user_id, session_id, analytics
        ), traced AS (
            INSERT INTO chat.traces AS trace (user_id, session_id, trace_id, message_id, turn_id, revision, rank,
                event_id, helper, accepted_at, provider, model, upstream, status, started_at, ttft_ms, duration_ms,
                input_tokens, output_tokens, usage_source, finish_reason, error, error_class, streaming, w3c_trace_id,
                cost, currency)
            SELECT made.*
            FROM json_to_recordset($3) AS made (user_id text, session_id text, trace_id text, message_id text,
                turn_id uuid, revision int, rank smallint, event_id uuid, helper text, accepted_at timestamptz,
                provider text, model text, upstream text, status text, started_at timestamptz, ttft_ms float8,
                duration_ms float8, input_tokens int, output_tokens int, usage_source text, finish_reason text,
                error text, error_class text, streaming bool, w3c_trace_id text, cost numeric, currency text)
            JOIN stepped USING (user_id, session_id)
            WHERE analytics
            ORDER BY user_id, trace_id
            ON CONFLICT (user_id, trace_id) DO UPDATE SET
                session_id = excluded.session_id, message_id = excluded.message_id, turn_id = excluded.turn_id,
                revision = excluded.revision, rank = excluded.rank, event_id = excluded.event_id,
                helper = excluded.helper, accepted_at = excluded.accepted_at,
                provider = excluded.provider, model = excluded.model, upstream = excluded.upstream,
                status = excluded.status, started_at = excluded.started_at, ttft_ms = excluded.ttft_ms,
                duration_ms = excluded.duration_ms, input_tokens = excluded.input_tokens,
                output_tokens = excluded.output_tokens, usage_source = excluded.usage_source,
                finish_reason = excluded.finish_reason, error = excluded.error, error_class = excluded.error_class,
                streaming = excluded.streaming, w3c_trace_id = excluded.w3c_trace_id, cost = excluded.cost,
                currency = excluded.currency, source = 'turn', session_tag = NULL, experiment_name = NULL,
                stored_at = excluded.stored_at
                WHERE (excluded.revision, excluded.rank) > (trace.revision, trace.rank)
        )
        (SELECT user_id, session_id, NULL::timestamptz AS erased_at FROM step
            EXCEPT SELECT user_id, session_id, NULL FROM stepped)
        UNION ALL SELECT user_id, NULL, erased_at FROM erased
        """,
        as_json(map(message_row, kept.values())),
        as_json(map(session_row, steps(kept.values()))),
        as_json(starmap(trace_row, greatest_traces(messages))),
        list(users),
        [known.get(user_id) for user_id in users],
    )
    return rows


async def _sweep(db: Connection, deleted: Sequence[SessionKey], messages: Sequence[MessageEvent]) -> None:
    """Delete what came too late for sessions of which only a tombstone is left.

    A tombstone is committed first, and what is there then is swept: what is stored meanwhile is seen by one of the two.
    """
    gone = frozenset(deleted)
    keys = sorted({key_of(event) for event in messages if session_of(event) in gone})
    await db.execute(
        """
        DELETE FROM chat.messages AS message
        USING unnest($1::text[], $2::text[], $3::text[]) AS late (user_id, session_id, message_id)
        WHERE (message.user_id, message.session_id, message.message_id)
            = (late.user_id, late.session_id, late.message_id)
        """,
        [user_id for user_id, _, _ in keys],
        [session_id for _, session_id, _ in keys],
        [message_id for _, _, message_id in keys],
    )
