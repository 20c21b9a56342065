"""A batch that comes late: its user has spoken in one of its sessions already, which so has its tag.

The session keeps that tag, and is the batch's as any other; with another model's tag it is mixed.
"""

from collections.abc import Sequence

from services.tagger.counter import Heard, Tag
from shared.database import Connection
from shared.events import MessagePosted, TagBatchRequested
from shared.ids import model_id


def batches_to_join(events: Sequence[Heard], new: Sequence[Tag]) -> list[TagBatchRequested]:
    """Return the batches of which a session was there already: they are repeats, or somebody was quicker."""
    others = (event for event in events if not isinstance(event, MessagePosted))
    batches = [event for event in others if isinstance(event, TagBatchRequested)]
    if not batches:
        return []
    reserved = {tag.candidate.session for tag in new if tag.candidate.reserved_at is not None}
    return [
        event for event in batches if not reserved.issuperset((event.user_id, each) for each in event.session_ids())
    ]


async def join_batches(db: Connection, batches: Sequence[TagBatchRequested]) -> None:
    """Let sessions that messages have tagged be of the batches that reserve them; a repeat changes nothing."""
    for event in batches:
        await db.execute(
            """
            UPDATE tagging.session_tags AS tag SET reserved_at = $3, mixed = tag.mixed OR tag.model_id <> $4,
                experiment_name = coalesce(tag.experiment_name, $5)
            WHERE tag.user_id = $1 AND tag.session_id IN (
                SELECT session_id FROM tagging.session_tags
                WHERE user_id = $1 AND session_id = ANY ($2) AND reserved_at IS NULL AND deleted_at IS NULL
                    AND since <= $3
                ORDER BY session_id FOR UPDATE)
            """,
            event.user_id,
            event.session_ids(),
            event.accepted_at,
            model_id(event.provider, event.name),
            event.experiment_name,
        )
