"""Quotes that the chat has not been told of."""

from dataclasses import dataclass
from datetime import datetime

from services.workflow.store.telling.untold import Untold
from shared.database import Pool


@dataclass(frozen=True, kw_only=True)
class UntoldQuote(Untold):
    """A seller's own quote, as it stands."""

    quote_id: str
    revision: int
    operator_name: str | None
    aircraft_type: str | None
    aircraft_tail: str | None
    price_cents: int | None
    currency: str | None
    is_revised: bool  # the operator had quoted this lift before


class QuoteStore:
    """A quote is pending until it was told; one that was replaced before that is not told at all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def next_untold(self) -> UntoldQuote | None:
        """Return the quote that has waited longest."""
        row = await self._pool.fetchrow(
            """
            SELECT q.quote_id, q.revision, q.trip_id, r.operator_name, l.aircraft_type, l.aircraft_tail, q.price_cents,
                q.currency, CASE WHEN q.said_at >= q.seen_at THEN q.said_at END AS said_at,
                q.revision > 1 OR EXISTS (SELECT FROM workflow.quotes old WHERE old.rfq_id = q.rfq_id
                    AND old.lift_id IS NOT DISTINCT FROM q.lift_id AND NOT old.estimate AND NOT old.current)
                    AS is_revised,
                ARRAY (SELECT (s.user_id, s.session_id, s.started_at) FROM workflow.trip_sessions s
                    WHERE s.trip_id = q.trip_id AND s.open AND s.deleted_at IS NULL
                    AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at)
                    ORDER BY s.user_id, s.session_id) AS sessions
            FROM workflow.quotes q JOIN workflow.rfqs r USING (rfq_id) LEFT JOIN workflow.lifts l USING (lift_id)
            WHERE q.told_at IS NULL AND q.unsaid IS NULL AND NOT q.estimate AND q.current ORDER BY q.seen_at LIMIT 1
            """
        )
        if row is None:
            return None
        return UntoldQuote(**{**row, "sessions": [tuple(session) for session in row["sessions"]]})

    async def say(self, quote: UntoldQuote) -> datetime | None:
        """Commit when this revision is told; None where there is another one by now."""
        said_at: datetime | None = await self._pool.fetchval(
            """
            UPDATE workflow.quotes
            SET said_at = CASE WHEN said_at >= seen_at THEN said_at ELSE greatest(clock_timestamp(), seen_at) END
            WHERE quote_id = $1 AND revision = $2 AND told_at IS NULL RETURNING said_at
            """,
            quote.quote_id,
            quote.revision,
        )
        return said_at

    async def told(self, quote: UntoldQuote) -> None:
        """Note that the chat was told of this revision."""
        await self._pool.execute(
            "UPDATE workflow.quotes SET told_at = clock_timestamp() WHERE quote_id = $1 AND revision = $2",
            quote.quote_id,
            quote.revision,
        )

    async def leave_unsaid(self, quote: UntoldQuote, why: str) -> None:
        """Note why nobody can be told of this revision."""
        await self._pool.execute(
            "UPDATE workflow.quotes SET unsaid = $3 WHERE quote_id = $1 AND revision = $2",
            quote.quote_id,
            quote.revision,
            why,
        )
