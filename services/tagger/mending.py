"""Raise counters to the numbers that they have given: for `tripthread verify --fix`."""

from uuid import UUID

from shared.database import Pool, transaction


async def raise_counter(pool: Pool, user_id: str, model_id: UUID) -> bool:
    """Raise a counter to the greatest number of its sessions, under its lock; it is never lowered.

    Returns:
        Whether it is at that number now, or beyond; not where its user is being erased.
    """
    async with transaction(pool) as db:
        await db.execute(
            "SELECT FROM tagging.counters WHERE user_id = $1 AND model_id = $2 FOR UPDATE", user_id, model_id
        )
        await db.execute(
            """
            INSERT INTO tagging.counters AS counter (user_id, model_id, last_number, since)
            SELECT user_id, model_id, max(number), since FROM tagging.session_tags
            WHERE user_id = $1 AND model_id = $2 AND number IS NOT NULL
                AND NOT EXISTS (SELECT FROM tagging.erased_users
                    WHERE done_at IS NULL AND user_hash = tripthread.user_hash($1))
            GROUP BY user_id, model_id, since ORDER BY since DESC LIMIT 1
            ON CONFLICT (user_id, model_id) DO UPDATE SET last_number = excluded.last_number
                WHERE counter.since = excluded.since AND counter.last_number < excluded.last_number
            """,
            user_id,
            model_id,
        )
        is_mended: bool = await db.fetchval(
            """
            SELECT coalesce((SELECT last_number FROM tagging.counters WHERE user_id = $1 AND model_id = $2), 0)
                >= coalesce((SELECT max(number) FROM tagging.session_tags WHERE user_id = $1 AND model_id = $2), 0)
            """,
            user_id,
            model_id,
        )
    return is_mended
