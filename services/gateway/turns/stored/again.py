"""Begin another attempt at a turn whose last one came to nothing, or broke off."""

from collections.abc import Sequence
from typing import Any

from services.gateway.turns.stored.claims import LEASE_S
from services.gateway.turns.stored.rows import COLUMNS, read_turn
from services.gateway.turns.turn import Turn
from shared.database import Connection, Pool


async def begin_again(db: Pool | Connection, turn: Turn, owner: str, taken: Sequence[dict[str, Any]]) -> Turn | None:
    """Begin another attempt at a failed or interrupted turn.

    Args:
        db: Where.
        turn: As it was read.
        owner: Who runs it now.
        taken: What it takes over of its answer.

    Returns:
        None when its session was deleted, or it has changed.

    Raises:
        UniqueViolationError: Its session is taken.
    """
    row = await db.fetchrow(
        f"""
        UPDATE gateway.turns
        SET state = 'running', attempt = attempt + 1, owner = $3, answer = NULL, answered_at = NULL,
            past = CASE WHEN stored_at IS NULL THEN coalesce(past, '[]') || jsonb_build_array(
                jsonb_build_object('attempt', attempt, 'answer', answer, 'answered_at', answered_at)) END,
            answer_published = false, stored_at = NULL, retold_at = NULL, partial = '', partial_parts = $4,
            partial_rounds = NULL, revision = 0, carried = $5, waits_until = NULL, counted = counted - 'before',
            lease_until = clock_timestamp() + make_interval(secs => {LEASE_S})
        WHERE turn_id = $1 AND attempt = $2 AND state IN ('failed', 'interrupted')
            -- its owner may have said more of it since: what is taken over must have that
            AND (answer ->> 'revision')::integer = $6
            AND NOT gateway.is_gone(user_id, session_id)
        RETURNING {COLUMNS}
        """,  # noqa: S608 - constants of this folder
        turn.turn_id,
        turn.attempt,
        owner,
        list(taken) or None,
        len(taken),
        turn.answer.revision if turn.answer else 0,
    )
    return read_turn(row) if row else None
