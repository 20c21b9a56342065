"""The rows of chat.feedback: what people think of messages, which may be stored before the messages are."""

from collections.abc import Sequence

from shared.database import Connection
from shared.events import FeedbackGiven


async def store_feedback(db: Connection, events: Sequence[FeedbackGiven]) -> None:
    """Keep of each message what was said of it last; of a deleted session nothing.

    A session that is deleted meanwhile is swept after this transaction, and what it has written with it.
    """
    if not events:
        return
    newest: dict[tuple[str, str, str], FeedbackGiven] = {}
    for event in sorted(events, key=lambda event: (event.accepted_at, event.event_id)):
        newest[event.user_id, event.session_id, event.message_id] = event
    given = [newest[key] for key in sorted(newest)]  # locked in this order, by every logger
    await db.execute(
        """
        INSERT INTO chat.feedback AS known (user_id, session_id, message_id, value, comment, occurred_at, event_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
            $7::uuid[]) AS given (user_id, session_id)
        WHERE NOT EXISTS (SELECT FROM chat.sessions s
            WHERE s.user_id = given.user_id AND s.session_id = given.session_id AND s.deleted_at IS NOT NULL)
        ON CONFLICT (user_id, session_id, message_id) DO UPDATE SET value = excluded.value,
            comment = excluded.comment, occurred_at = excluded.occurred_at, event_id = excluded.event_id
            WHERE (known.occurred_at, known.event_id) < (excluded.occurred_at, excluded.event_id)
        """,
        [event.user_id for event in given],
        [event.session_id for event in given],
        [event.message_id for event in given],
        [event.value for event in given],
        [event.comment for event in given],
        [event.accepted_at for event in given],
        [event.event_id for event in given],
    )
