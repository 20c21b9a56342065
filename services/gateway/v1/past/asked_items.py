"""What a turn was asked, where that is stored alone."""

from uuid import UUID

from services.gateway.v1.told.input_items import AskedItem
from shared.database import Pool, reading

# From its answer back, by parents: the question, and what came with it. There is no index of questions by their turn.
ASKED = """
    WITH RECURSIVE way AS (
        (SELECT m.parent_id, m.turn_id, m.role, m.content, m.parts, 0 AS steps FROM chat.messages m
            WHERE m.user_id = $1 AND m.session_id = $2 AND m.turn_id = $3 AND m.role = 'assistant'
            ORDER BY m.created_at DESC LIMIT 1)
        UNION ALL
        SELECT m.parent_id, m.turn_id, m.role, m.content, m.parts, way.steps + 1
        FROM way JOIN chat.messages m
            ON m.user_id = $1 AND m.session_id = $2 AND m.message_id = way.parent_id AND m.role <> 'assistant'
        WHERE way.turn_id = $3 AND way.steps < 1000 AND (way.steps = 0 OR m.turn_id = $3)
    )
    SELECT role, content, parts FROM way WHERE steps > 0 ORDER BY steps DESC
    """


async def stored_items(reader: Pool, user_id: str, session_id: str, turn_id: UUID) -> list[AskedItem]:
    """Return it, in order."""
    async with reading(reader, user_id) as db:
        rows = await db.fetch(ASKED, user_id, session_id, turn_id)
    return [AskedItem(row["role"], row["content"], row["parts"]) for row in rows]
