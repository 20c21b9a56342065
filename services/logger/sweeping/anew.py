"""An erased user's session from before, of which something is newer: it begins anew with that."""

from dataclasses import replace
from datetime import datetime

import asyncpg

from services.logger.reducing.settling import SessionState, set_since
from services.logger.reducing.titles import title_of
from services.logger.rows.sessions import COLUMNS, update_sessions
from shared.database import Connection
from shared.jobs.ledger import Erasure
from shared.texts.preview import PREVIEW_LENGTH, preview_of

TITLE_BYTES = 4000  # of the first question: more of it never shows
# As the logger's rows have it, in the spelling that JSON has for times.
CLIENT_AT = """ARRAY[
    replace(to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'), '.000000+', '+'),
    coalesce(client ->> 'address', ''), coalesce(client ->> 'user_agent', '')] COLLATE "C\""""


async def begin_anew(db: Connection, user: Erasure, session_id: str) -> None:
    """Let a session go in which nothing is left, or make of it what its user has said and set since, in a transaction.

    What a session was called, and all else that was done to it before, goes in either case.
    """
    held = await _held(db, user, session_id)
    if held is None or (held["deleted_at"] is not None and held["deleted_at"] > user.erased_at):
        return
    # The words of its title; those of messages go with them, and those of a new title come as of every other.
    await db.execute(
        "DELETE FROM chat.search WHERE user_id = $1 AND session_id = $2 AND message_id IS NULL",
        user.user_id,
        session_id,
    )
    state = SessionState(**{name: held[name] for name in COLUMNS})
    is_tombstone = held["deleted_at"] is not None
    kept = None if is_tombstone else set_since(state, user.erased_at)
    left = await _left(db, user.user_id, session_id)
    if left["messages"] == 0 and kept is None:
        await db.execute("DELETE FROM chat.sessions WHERE user_id = $1 AND session_id = $2", user.user_id, session_id)
        return
    begun = kept or SessionState(user.user_id, session_id, left["first_at"], left["newest_at"])
    title, titled_at = await _automatic_title(db, user.user_id, session_id)
    has_newer_model = left["messages"] > 0 and state.model_at is not None and state.model_at > user.erased_at
    await update_sessions(db, [_with_messages(begun, left, title, state.model if has_newer_model else begun.model)])
    await db.execute(
        """
        UPDATE chat.sessions SET last_message_at = $3, last_message = $4, message_count = $5, titled_at = $6,
            model_at = CASE WHEN $7 THEN model_at END, mixed = $8, forked_from = NULL,
            first_client = $9, last_client = $10
        WHERE user_id = $1 AND session_id = $2
        """,
        user.user_id,
        session_id,
        left["newest_at"],
        preview_of(left["newest"]) if left["messages"] else None,
        left["messages"],
        titled_at,
        has_newer_model,
        left["models"] > 1,
        left["first_client"],
        left["last_client"],
    )


async def _held(db: Connection, user: Erasure, session_id: str) -> asyncpg.Record | None:
    row: asyncpg.Record | None = await db.fetchrow(
        f"""
        SELECT {", ".join(COLUMNS)}, deleted_at FROM chat.sessions
        WHERE user_id = $1 AND session_id = $2 AND created_at <= $3 FOR UPDATE
        """,  # noqa: S608 - constants
        user.user_id,
        session_id,
        user.erased_at,
    )
    return row


async def _left(db: Connection, user_id: str, session_id: str) -> asyncpg.Record:
    """Sum up the messages that are left."""
    row: asyncpg.Record | None = await db.fetchrow(
        f"""
        SELECT count(*) AS messages, count(DISTINCT model) AS models, min(created_at) AS first_at,
            max(created_at) AS newest_at,
            (SELECT left(m.content, {PREVIEW_LENGTH * 4}) FROM chat.messages m
                WHERE m.user_id = $1 AND m.session_id = $2 ORDER BY created_at DESC, message_id DESC LIMIT 1) AS newest,
            min({CLIENT_AT}) FILTER (WHERE client IS NOT NULL) AS first_client,
            max({CLIENT_AT}) FILTER (WHERE client IS NOT NULL) AS last_client
        FROM chat.messages WHERE user_id = $1 AND session_id = $2
        """,  # noqa: S608 - a constant
        user_id,
        session_id,
    )
    assert row is not None  # noqa: S101 - an aggregate has a row
    return row


async def _automatic_title(db: Connection, user_id: str, session_id: str) -> tuple[str | None, datetime | None]:
    """Return what the first question that has words gives, and when it was asked."""
    asked = await db.fetch(
        f"""
        SELECT left(content, {TITLE_BYTES}) AS content, created_at FROM chat.messages
        WHERE user_id = $1 AND session_id = $2 AND role = 'user' ORDER BY created_at, message_id LIMIT 10
        """,  # noqa: S608 - a constant
        user_id,
        session_id,
    )
    titles = ((title_of(row["content"]), row["created_at"]) for row in asked)
    return next(((title, at) for title, at in titles if title is not None), (None, None))


def _with_messages(begun: SessionState, left: asyncpg.Record, title: str | None, model: str | None) -> SessionState:
    """Return what was set since with what the messages that are left say."""
    if left["messages"]:
        begun = replace(
            begun,
            created_at=min(begun.created_at, left["first_at"]),
            last_activity_at=max(begun.last_activity_at, left["newest_at"]),
        )
    if begun.title is None and title is not None:
        begun = replace(begun, title=title, title_source="message")
    is_ended = begun.ended_at is not None and begun.ended_at >= begun.last_activity_at
    return replace(begun, model=model, ended_at=begun.ended_at if is_ended else None)
