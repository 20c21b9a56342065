"""Notes that are about no row of their own: that no operator's answer is awaited any more, and that a trip is over.

The first is concluded from a trip that was read whole: of what notices tell one by one, nobody knows what is missing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.workflow.store.telling.untold import Untold
from shared.database import Connection, Pool
from shared.events import Json


@dataclass(frozen=True, kw_only=True)
class UntoldNote(Untold):
    """One note."""

    note_id: UUID
    kind: Literal["decline", "cancellation"]
    says: Json  # of a decline `operator_name`, `reason`, `expected`; of a cancellation `reason`, `error`; any may miss


class NoteStore:
    """A note was committed with what it tells of."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def next_untold(self) -> UntoldNote | None:
        """Return the note that has waited longest. Who has ended with the trip is told as well."""
        row = await self._pool.fetchrow(
            """
            SELECT n.note_id, n.trip_id, n.kind, n.says, n.said_at,
                ARRAY (SELECT (s.user_id, s.session_id, s.started_at) FROM workflow.trip_sessions s
                    WHERE s.trip_id = n.trip_id AND (s.open OR s.ended_at >= n.noted_at) AND s.deleted_at IS NULL
                    AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at)
                    ORDER BY s.user_id, s.session_id) AS sessions
            FROM workflow.notes n WHERE n.told_at IS NULL AND n.unsaid IS NULL ORDER BY n.noted_at LIMIT 1
            """
        )
        if row is None:
            return None
        return UntoldNote(**{**row, "sessions": [tuple(session) for session in row["sessions"]]})

    async def say(self, note: UntoldNote) -> datetime | None:
        """Commit when it is told; None where its trip is gone."""
        said_at: datetime | None = await self._pool.fetchval(
            """
            UPDATE workflow.notes SET said_at = coalesce(said_at, clock_timestamp()) WHERE note_id = $1
            RETURNING said_at
            """,
            note.note_id,
        )
        return said_at

    async def told(self, note: UntoldNote) -> None:
        """Note that the chat was told."""
        await self._pool.execute(
            "UPDATE workflow.notes SET told_at = clock_timestamp() WHERE note_id = $1", note.note_id
        )

    async def leave_unsaid(self, note: UntoldNote, why: str) -> None:
        """Note why nobody can be told."""
        await self._pool.execute("UPDATE workflow.notes SET unsaid = $2 WHERE note_id = $1", note.note_id, why)


# An operator has declined, and each one who is expected has quoted. It is concluded once for each such state.
_ANSWERED = """
    t.closed_at IS NULL AND t.quotes_expected_count = t.quotes_received_count
    AND EXISTS (SELECT FROM workflow.rfqs r WHERE r.trip_id = t.trip_id AND r.declined AND NOT r.canceled)
    AND NOT EXISTS (SELECT FROM workflow.notes n WHERE n.trip_id = t.trip_id AND n.kind = 'decline'
        AND n.subject = t.operators_contacted_count || '/' || t.quotes_expected_count)
"""


async def answered_trip(pool: Pool, trip_id: UUID) -> str | None:
    """Return the name of a trip, if it seems that nobody's answer is awaited any more and that is not noted yet."""
    reference: str | None = await pool.fetchval(
        f"SELECT coalesce(avinode_trip_id, trip_code) FROM workflow.trips t WHERE trip_id = $1 AND {_ANSWERED}",  # noqa: S608
        trip_id,
    )
    return reference


async def note_if_answered(db: Connection, trip_id: UUID) -> None:
    """Note, of a trip that was just read whole, that nobody's answer is awaited any more, and who declined last."""
    await db.execute(
        f"""
        INSERT INTO workflow.notes (trip_id, kind, subject, says)
        SELECT t.trip_id, 'decline', t.operators_contacted_count || '/' || t.quotes_expected_count,
            jsonb_build_object('operator_name', last.operator_name, 'reason', last.decline_reason,
                'expected', t.quotes_expected_count, 'rfq_id', last.rfq_id)
        FROM workflow.trips t CROSS JOIN LATERAL (
            SELECT r.rfq_id, r.operator_name, r.decline_reason FROM workflow.rfqs r
            LEFT JOIN workflow.trip_messages m ON m.rfq_id = r.rfq_id AND m.trip_id = t.trip_id AND m.kind = 'decline'
            WHERE r.trip_id = t.trip_id AND r.declined AND NOT r.canceled
            -- Of whom a note has told already another is the last; whose message is not read yet declined just now.
            ORDER BY EXISTS (SELECT FROM workflow.notes n
                    WHERE n.trip_id = t.trip_id AND n.kind = 'decline' AND n.says ->> 'rfq_id' = r.rfq_id),
                m.sent_at DESC NULLS FIRST, m.avinode_message_id DESC, r.rfq_id DESC LIMIT 1) last
        WHERE t.trip_id = $1 AND {_ANSWERED}
        ON CONFLICT DO NOTHING
        """,  # noqa: S608 - a constant
        trip_id,
    )


async def note_cancelled(db: Connection, trip_id: UUID) -> None:
    """Note that a trip has ended as cancelled, by a user with their reason, or at Avinode."""
    await db.execute(
        """
        INSERT INTO workflow.notes (trip_id, kind, says, noted_at)
        SELECT t.trip_id, 'cancellation', jsonb_strip_nulls(jsonb_build_object('reason', c.reason, 'error', t.error)),
            t.closed_at
        FROM workflow.trips t LEFT JOIN workflow.cancellations c USING (trip_id)
        WHERE t.trip_id = $1 AND t.outcome = 'cancelled'
        ON CONFLICT DO NOTHING
        """,
        trip_id,
    )
