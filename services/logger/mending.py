"""Bring what a session's row keeps of its messages up to what they are: for `tripthread verify --fix`."""

from shared.database import Pool, transaction
from shared.texts.preview import PREVIEW_LENGTH


async def mend_session(pool: Pool, user_id: str, session_id: str) -> bool:
    """Recount a session's messages, and find its newest one again, under its row's lock.

    Whoever stores messages meanwhile counts them in the same transaction, and waits for that lock: what is counted here
    is what is committed, and theirs comes on top.

    Returns:
        Whether the row is right now; not where the session is deleted, or its user is being erased.
    """
    async with transaction(pool) as db:
        held = await db.fetchrow(
            """
            SELECT FROM chat.sessions WHERE user_id = $1 AND session_id = $2 AND deleted_at IS NULL
                AND NOT EXISTS (SELECT FROM chat.erased_users
                    WHERE done_at IS NULL AND user_hash = tripthread.user_hash($1))
            FOR UPDATE
            """,
            user_id,
            session_id,
        )
        if held is None:
            return False
        await db.execute(
            f"""
            UPDATE chat.sessions s SET message_count = said.messages, last_message = newest.preview,
                last_message_at = newest.created_at,
                last_activity_at = greatest(s.last_activity_at, newest.created_at), updated_at = clock_timestamp()
            FROM (SELECT count(*) AS messages FROM chat.messages WHERE user_id = $1 AND session_id = $2) said
            LEFT JOIN (
                SELECT created_at, left(content, {PREVIEW_LENGTH}) AS preview FROM chat.messages
                WHERE user_id = $1 AND session_id = $2 ORDER BY created_at DESC, message_id DESC LIMIT 1
            ) newest ON true
            WHERE s.user_id = $1 AND s.session_id = $2 AND (s.message_count <> said.messages
                OR (s.last_message, s.last_message_at) IS DISTINCT FROM (newest.preview, newest.created_at)
                OR s.last_activity_at < newest.created_at)
            """,  # noqa: S608 - a constant
            user_id,
            session_id,
        )
    return True
