"""The intent rows of proposals that are to be mailed, and what became of each."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from services.workflow.store.proposals.acts import NEWS
from services.workflow.store.proposals.completing import complete_trip
from services.workflow.store.ties.ties import advanced
from shared.database import Connection, Pool, transaction
from shared.events import Json, TripAdvanced

Ending = Literal["sent", "failed", "unconfirmed"]
ENDED = "The sender ended before the answer."


@dataclass(frozen=True)
class Send:
    """A wish that this process is mailing."""

    event_id: UUID
    proposal_id: UUID
    recipients: tuple[str, ...]
    subject: str | None
    message: str | None
    content: Json  # as it was stored: whoever writes the mail reads it


class SendStore:
    """States and what moves a row between them stand beside the table's definition."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin_sending(self) -> Send | None:
        """Take the wish that has waited longest: it is `sending` from here on, whatever happens to this process."""
        row = await self._pool.fetchrow(
            """
            UPDATE workflow.proposal_sends s SET state = 'sending', began_at = clock_timestamp(),
                updated_at = clock_timestamp()
            FROM workflow.proposals p
            WHERE p.proposal_id = s.proposal_id AND s.event_id = (
                SELECT d.event_id FROM workflow.proposal_sends d JOIN workflow.proposals o USING (proposal_id)
                WHERE d.state = 'intended' AND NOT workflow.is_gone(d.user_id, d.session_id, d.created_at)
                    AND NOT workflow.is_gone(o.user_id, o.session_id, o.accepted_at)
                ORDER BY d.created_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
            RETURNING s.event_id, s.proposal_id, s.recipients, s.subject, s.message, p.content
            """
        )
        if row is None:
            return None
        return Send(**{**row, "recipients": tuple(row["recipients"])})

    async def settle(self, send: Send, ending: Ending, error: str | None = None) -> list[TripAdvanced]:
        """Note what became of a sending; a proposal that is sent completes its trip."""
        async with transaction(self._pool) as db:
            return await _settle(db, send.event_id, ending, error)

    async def has_stale(self, older_s: float) -> bool:
        """Tell whether a wish has been `sending` for longer."""
        return bool(
            await self._pool.fetchval(
                """
                SELECT EXISTS (SELECT FROM workflow.proposal_sends
                    WHERE state = 'sending' AND began_at <= clock_timestamp() - $1 * interval '1 second')
                """,
                older_s,
            )
        )

    async def abandon(self, older_s: float = 0.0) -> list[TripAdvanced]:
        """Note what has been `sending` for longer and nobody sends any more: none can tell what became of it."""
        async with transaction(self._pool) as db:
            rows = await db.fetch(
                """
                SELECT event_id FROM workflow.proposal_sends
                WHERE state = 'sending' AND began_at <= clock_timestamp() - $1 * interval '1 second'
                """,
                older_s,
            )
            return [
                outcome for row in rows for outcome in await _settle(db, row["event_id"], "unconfirmed", error=ENDED)
            ]


async def _settle(db: Connection, event_id: UUID, ending: Ending, error: str | None) -> list[TripAdvanced]:
    """A late answer to what was taken for unconfirmed counts; what its user has marked as sent by hand stays so."""
    trip_id = await _lock_trip(db, event_id)
    proposal_id: UUID | None = await db.fetchval(
        """
        UPDATE workflow.proposal_sends SET state = $2, error = $3, updated_at = clock_timestamp()
        WHERE event_id = $1 AND state IN ('sending', 'unconfirmed') RETURNING proposal_id
        """,
        event_id,
        ending,
        error,
    )
    if trip_id is None or proposal_id is None:  # deleted meanwhile, or answered
        return []
    moved = await db.fetchval(
        """
        UPDATE workflow.proposals SET state = $2, updated_at = clock_timestamp(),
            sent_at = CASE WHEN $2 = 'sent' THEN clock_timestamp() END
        WHERE proposal_id = $1 AND state IN ('sending', 'unconfirmed') RETURNING true
        """,
        proposal_id,
        ending,
    )
    if moved and ending == "sent":
        await complete_trip(db, trip_id, proposal_id)
    else:
        await db.execute("UPDATE workflow.trips SET updated_at = clock_timestamp() WHERE trip_id = $1", trip_id)
    return await advanced(db, trip_id, (event_id,), NEWS)


async def _lock_trip(db: Connection, event_id: UUID) -> UUID | None:
    """Lock the trip first, as everybody does who writes below it."""
    while True:
        seen = await _trip_of(db, event_id)
        await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", seen)
        if await _trip_of(db, event_id) == seen:
            return seen


async def _trip_of(db: Connection, event_id: UUID) -> UUID | None:
    trip_id: UUID | None = await db.fetchval(
        "SELECT trip_id FROM workflow.proposal_sends WHERE event_id = $1", event_id
    )
    return trip_id
