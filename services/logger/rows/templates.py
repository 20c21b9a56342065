"""The rows of chat.templates: what people begin sessions with."""

from collections.abc import Sequence

from shared.database import Connection
from shared.events import TemplateDeleted, TemplateSaved


async def store_templates(db: Connection, events: Sequence[TemplateSaved | TemplateDeleted]) -> None:
    """Keep of each template what was saved last; one that was deleted stays so, whatever of it comes late."""
    newest = {
        (event.user_id, event.template_id): event
        for event in sorted(events, key=lambda e: (isinstance(e, TemplateDeleted), e.accepted_at, e.event_id))
    }
    kept = [newest[key] for key in sorted(newest)]  # locked in this order, by every logger
    saved = [event if isinstance(event, TemplateSaved) else None for event in kept]
    await db.execute(
        """
        INSERT INTO chat.templates AS known (user_id, template_id, name, template, occurred_at, event_id, deleted_at)
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::uuid[],
            $7::timestamptz[]) AS saved (user_id, template_id)
        ON CONFLICT (user_id, template_id) DO UPDATE SET name = excluded.name, template = excluded.template,
            occurred_at = excluded.occurred_at, event_id = excluded.event_id, deleted_at = excluded.deleted_at
            WHERE known.deleted_at IS NULL AND (excluded.deleted_at IS NOT NULL
                OR (known.occurred_at, known.event_id) < (excluded.occurred_at, excluded.event_id))
        """,
        [event.user_id for event in kept],
        [event.template_id for event in kept],
        [event.name if event else "" for event in saved],
        [event.template if event else {} for event in saved],
        [event.accepted_at for event in kept],
        [event.event_id for event in kept],
        [None if isinstance(event, TemplateSaved) else event.accepted_at for event in kept],
    )
