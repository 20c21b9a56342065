"""SessionForked -> a new session with what was said in another one, up to a message and along its branch.

A fork is one transaction: it is there whole or not at all. Its messages are copied in portions, so that no statement
outlasts its time. Where its source, or all of its user's past, is deleted meanwhile, whoever sweeps waits for the
transaction: the copy is whole, and what is to go of it is found.
"""

from collections.abc import Iterator, Sequence

import asyncpg

from shared.database import Connection
from shared.events import SessionForked
from shared.texts.preview import PREVIEW_LENGTH, preview_of

NOT_ASKED = {"approved": False, "reason": "Nothing is asked in a copy: this is answered where it was asked."}
PORTION = 1000  # messages
PORTION_BYTES = 16_000_000  # as they are stored


async def fork_sessions(db: Connection, events: Sequence[SessionForked]) -> None:
    """Make these forks; one that is there already stays as it is."""
    for event in events:
        async with db.transaction():
            await _fork(db, event)


async def _fork(db: Connection, event: SessionForked) -> None:
    path = await _path(db, event)
    if not path or not await _begin(db, event):
        return
    copied = 0
    for portion in _portions(path):
        copied += await _copy(db, event, portion)
    await _settle(db, event, copied)


async def _path(db: Connection, event: SessionForked) -> list[asyncpg.Record]:
    """Return, in order, the message that is forked at, those that led to it, and what the system noted before it.

    Nothing is there of a deleted session, nor of what its user had erased before the fork was accepted; all of it
    comes to nothing where the fork itself is older. What leads where is looked at here and not by the database, which
    may walk through the session for each step.
    """
    rows = await db.fetch(
        """
        WITH kept (since) AS (
            SELECT coalesce((SELECT erased_at FROM chat.erased_users
                WHERE user_hash = tripthread.user_hash($1)), '-infinity'::timestamptz)
        )
        SELECT message_id, parent_id, role, pg_column_size(content) + pg_column_size(parts) AS size
        FROM chat.messages
        WHERE user_id = $1 AND session_id = $2 AND created_at > (SELECT since FROM kept)
            AND $3::timestamptz > (SELECT since FROM kept)
            AND EXISTS (SELECT FROM chat.sessions WHERE user_id = $1 AND session_id = $2 AND deleted_at IS NULL)
        ORDER BY created_at, message_id
        """,
        event.user_id,
        event.source_id,
        event.accepted_at,
    )
    return branch(rows, event.message_id)


def branch(rows: Sequence[asyncpg.Record], leaf: str) -> list[asyncpg.Record]:
    """Return, of a session's messages in order, those that led to `leaf`, and what was noted before it."""
    by_id = {row["message_id"]: row for row in rows}
    path: set[str] = set()
    at: str | None = leaf
    while at is not None and at in by_id and at not in path:
        path.add(at)
        at = by_id[at]["parent_id"]
    taken: list[asyncpg.Record] = []
    for row in rows:
        is_note = row["parent_id"] is None and row["role"] in ("system", "tool")
        if row["message_id"] in path or is_note:
            taken.append(row)
        if row["message_id"] == leaf:
            return taken
    return []  # the leaf is not there


async def _begin(db: Connection, event: SessionForked) -> bool:
    """Make the session, or lock it where somebody has spoken in it already; tell whether it is still to be filled."""
    row = await db.fetchrow(
        """
        INSERT INTO chat.sessions AS session (user_id, session_id, created_at, last_activity_at)
        VALUES ($1, $2, $3, $3)
        ON CONFLICT (user_id, session_id) DO UPDATE SET user_id = session.user_id  -- which locks it
        RETURNING forked_from IS NULL AND deleted_at IS NULL AS is_new
        """,
        event.user_id,
        event.session_id,
        event.accepted_at,
    )
    return bool(row and row["is_new"])


def _portions(path: Sequence[asyncpg.Record]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for row in path:
        if portion and (len(portion) >= PORTION or size + row["size"] > PORTION_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(row["message_id"])
        size += row["size"]
    yield portion


async def _copy(db: Connection, event: SessionForked, message_ids: Sequence[str]) -> int:
    """Copy messages as they are, at the times at which they were said; return how many there were not.

    From where each was said is known of the original only, and there alone a call can be approved that waits for that.
    """
    done = await db.execute(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parts, model, status, error,
            parent_id, client_message_id, turn_id, revision, rank, event_id, created_at, metadata)
        SELECT user_id, $3, message_id, role, content,
            CASE WHEN jsonb_path_exists(parts, '$[*] ? (@.state == "approval-requested")') THEN (
                SELECT jsonb_agg(CASE part ->> 'state' WHEN 'approval-requested' THEN
                    part || '{"state": "output-denied"}'
                        || jsonb_build_object('approval', (part -> 'approval') || $5::jsonb)
                    ELSE part END ORDER BY number)
                FROM jsonb_array_elements(parts) WITH ORDINALITY AS each (part, number))
            ELSE parts END,
            model, status, error, parent_id, client_message_id, turn_id, revision, rank, event_id, created_at, metadata
        FROM chat.messages WHERE user_id = $1 AND session_id = $2 AND message_id = ANY ($4)
        ORDER BY message_id
        ON CONFLICT DO NOTHING
        """,
        event.user_id,
        event.source_id,
        event.session_id,
        list(message_ids),
        NOT_ASKED,
    )
    return int(done.split()[-1])


async def _settle(db: Connection, event: SessionForked, copied: int) -> None:
    """Give the fork what its source has; what its user has set of it already stays."""
    last = await db.fetchrow(
        f"""
        SELECT created_at, left(content, {PREVIEW_LENGTH * 4}) AS content FROM chat.messages
        WHERE user_id = $1 AND session_id = $2 AND message_id = $3
        """,  # noqa: S608 - a constant
        event.user_id,
        event.session_id,
        event.message_id,
    )
    assert last is not None  # noqa: S101 - it was just copied
    await db.execute(
        """
        UPDATE chat.sessions AS fork SET forked_from = source.session_id, updated_at = clock_timestamp(),
            message_count = fork.message_count + $4,
            last_message = CASE WHEN fork.last_message_at > $5 THEN fork.last_message ELSE $6 END,
            last_message_at = greatest(fork.last_message_at, $5),
            project_id = coalesce(fork.project_id, source.project_id), helper = coalesce(fork.helper, source.helper),
            model = coalesce(fork.model, spoken.model, source.model),
            model_at = CASE WHEN fork.model IS NULL THEN spoken.model_at ELSE fork.model_at END, mixed = spoken.mixed,
            metadata = CASE WHEN fork.field_stamps ? 'metadata' THEN fork.metadata ELSE source.metadata END,
            analytics = CASE WHEN fork.field_stamps ? 'analytics' THEN fork.analytics ELSE source.analytics END,
            title = CASE WHEN fork.field_stamps ? 'title' THEN fork.title WHEN $7::text IS NOT NULL THEN $7
                WHEN fork.title_source = 'model' AND source.title_source = 'model'  -- as `settling.py` has it
                    THEN greatest(fork.title COLLATE "C", source.title COLLATE "C")
                WHEN fork.title_source = 'model' THEN fork.title ELSE source.title END,
            title_source = CASE WHEN fork.field_stamps ? 'title' THEN fork.title_source
                WHEN $7::text IS NOT NULL THEN 'user'
                WHEN fork.title_source = 'model' THEN 'model' ELSE source.title_source END,
            titled_at = source.titled_at
        FROM chat.sessions AS source, (
            SELECT count(DISTINCT model) > 1 AS mixed, max(created_at) FILTER (WHERE model IS NOT NULL) AS model_at,
                (array_agg(model ORDER BY created_at DESC, message_id DESC)
                    FILTER (WHERE model IS NOT NULL))[1] AS model
            FROM chat.messages WHERE user_id = $1 AND session_id = $2
        ) AS spoken
        WHERE fork.user_id = $1 AND fork.session_id = $2 AND source.user_id = $1 AND source.session_id = $3
        """,
        event.user_id,
        event.session_id,
        event.source_id,
        copied,
        last["created_at"],
        preview_of(last["content"]),
        event.title,
    )
