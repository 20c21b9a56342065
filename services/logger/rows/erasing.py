"""What is deleted comes to nothing: a session by its tombstone, what an erased user said by the line in the ledger.

From that commit on nothing older is stored, and `sweeping.py` lets go what was. Each is safe to repeat, and in
whichever order the events come.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from shared.database import Connection
from shared.events import SessionDeleted


class Fact(Protocol):
    """Something that a user did, and when it was accepted."""

    @property
    def user_id(self) -> str: ...
    @property
    def accepted(self) -> datetime: ...


UserFact = TypeVar("UserFact", bound=Fact)


async def note_deleted(db: Connection, events: Sequence[SessionDeleted]) -> None:
    """Leave of each session a row that says nothing but that it was deleted.

    Of an erased user that row has gone, too, and does not come back by a deletion of before.
    """
    await db.execute(
        """
        INSERT INTO chat.sessions AS session (user_id, session_id, created_at, last_activity_at, deleted_at, noted_by,
            noted_at)
        SELECT DISTINCT ON (user_id, session_id) user_id, session_id, at, at, at, pg_current_xact_id(), 'infinity'
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS gone (user_id, session_id, at)
        WHERE NOT EXISTS (SELECT FROM chat.erased_users e
            WHERE e.user_hash = tripthread.user_hash(gone.user_id) AND e.erased_at >= gone.at)
        ORDER BY user_id, session_id
        ON CONFLICT (user_id, session_id) DO UPDATE SET
            deleted_at = excluded.deleted_at, noted_by = excluded.noted_by, noted_at = excluded.noted_at,
            updated_at = clock_timestamp(), swept_at = NULL,
            project_id = NULL, helper = NULL, model = NULL, model_at = NULL, title = NULL, title_source = 'none',
            titled_at = NULL, message_count = 0, last_message = NULL, last_message_at = NULL,
            last_activity_at = excluded.deleted_at, ended_at = NULL, pinned = false, archived = false, folder = NULL,
            labels = '{}', analytics = true, mixed = false, experiment_name = NULL, forked_from = NULL, metadata = '{}',
            field_stamps = '{}', first_client = NULL, last_client = NULL
            WHERE session.deleted_at IS NULL
        """,
        [event.user_id for event in events],
        [event.session_id for event in events],
        [event.deleted_at for event in events],
    )


def not_erased(events: Sequence[UserFact], erased: Mapping[str, datetime]) -> list[UserFact]:
    """Return what was accepted after its user was erased, or is of somebody who was not.

    Args:
        events: Of one group.
        erased: By user, when.
    """
    return [event for event in events if event.user_id not in erased or event.accepted > erased[event.user_id]]


async def known_not_erased(db: Connection, events: Sequence[UserFact]) -> list[UserFact]:
    """Return the same, by what the ledger says."""
    return not_erased(events, await erased_among(db, events))


async def erased_among(db: Connection, events: Sequence[Fact]) -> dict[str, datetime]:
    """Return which of these events' users were erased, and when."""
    rows = await db.fetch(
        """
        SELECT speaking.user_id, ledger.erased_at FROM unnest($1::text[]) AS speaking (user_id)
        JOIN chat.erased_users ledger ON ledger.user_hash = tripthread.user_hash(speaking.user_id)
        """,
        [event.user_id for event in events],
    )
    return {row["user_id"]: row["erased_at"] for row in rows}
