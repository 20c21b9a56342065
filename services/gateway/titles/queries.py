"""Whether a session wants a title of a model's."""

from services.gateway.titles.asking import Beginning
from shared.database import Pool, reading

FIRST = 100  # messages of a session that are looked at: in their order, or all answers of its user might be


class TitleQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def wants_title(self, beginning: Beginning) -> bool:
        """Tell whether this was a session's first complete answer, and nobody has given the session a title.

        What was answered since counts for nothing: the next answer may be there before anybody asks for the title. Nor
        does it want one where it is deleted, or its user erased, or its client wanted the answer kept from others.
        """
        async with reading(self._pool, beginning.user_id) as db:
            wants: bool = await db.fetchval(WANTS_TITLE, beginning.user_id, beginning.session_id, beginning.turn_id,
                                            beginning.asked_at)  # fmt: skip
        return wants


WANTS_TITLE = f"""
    SELECT NOT EXISTS (SELECT FROM chat.sessions s WHERE s.user_id = $1 AND s.session_id = $2
            AND (s.deleted_at IS NOT NULL OR s.title_source IN ('user', 'model') OR s.field_stamps ? 'title'))
        AND NOT EXISTS (SELECT FROM gateway.session_openings o
            WHERE o.user_id = $1 AND o.session_id = $2 AND o.opening ->> 'title' IS NOT NULL)
        AND NOT EXISTS (SELECT FROM gateway.deletions d WHERE d.user_id = $1 AND d.session_id = $2)
        AND NOT EXISTS (SELECT FROM gateway.erasures e
            WHERE e.user_hash = tripthread.user_hash($1) AND e.erased_at >= $4)
        AND NOT EXISTS (SELECT FROM gateway.withheld_responses w WHERE w.user_id = $1 AND w.session_id = $2
            AND w.turn_id = $3)
        AND NOT EXISTS (SELECT FROM gateway.turns t WHERE t.user_id = $1 AND t.session_id = $2 AND t.turn_id <> $3
            AND t.asked_at < $4 AND t.state = 'complete' AND t.answer ->> 'content' <> '')
        AND NOT EXISTS (SELECT FROM (
                SELECT m.role, m.status, m.turn_id, m.content FROM chat.messages m
                WHERE m.user_id = $1 AND m.session_id = $2 AND m.created_at < $4
                ORDER BY m.created_at, m.message_id LIMIT {FIRST}) first
            WHERE first.role = 'assistant' AND first.status = 'complete' AND first.turn_id <> $3
                AND first.content <> '')
"""  # noqa: S608 - a constant
