"""What is gone: the tombstones of deleted sessions; within somebody's transaction.

A row of `session_tags` is older than its user's erasure where its `since` is: that counts as what a tagger knew when it
wrote the row. Such a row gives way to a new one, unless it is a tombstone of after the erasure.
"""

from collections.abc import Sequence

from shared.database import Connection
from shared.events import SessionDeleted


async def note_deleted(db: Connection, events: Sequence[SessionDeleted]) -> None:
    """Leave a tombstone of each session, with the number that stays taken and no tag.

    One of before its user's erasure says nothing.
    """
    await db.execute(
        """
        INSERT INTO tagging.session_tags AS tag (user_id, session_id, event_id, accepted_at, deleted_at, since)
        SELECT DISTINCT ON (gone.user_id, session_id) gone.user_id, session_id, gone.event_id, at, at,
            coalesce(erased_at, '-infinity')
        FROM unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[]) AS gone (user_id, session_id, event_id, at)
        LEFT JOIN tagging.erased_users ON user_hash = tripthread.user_hash(gone.user_id)
        WHERE erased_at IS NULL OR at > erased_at
        ORDER BY gone.user_id, session_id, at DESC
        ON CONFLICT (user_id, session_id) DO UPDATE
            SET deleted_at = greatest(tag.deleted_at, excluded.deleted_at), session_tag = NULL, experiment_name = NULL
            WHERE tag.since < excluded.deleted_at
        """,
        [event.user_id for event in events],
        [event.session_id for event in events],
        [event.event_id for event in events],
        [event.deleted_at for event in events],
    )
