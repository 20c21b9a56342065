"""Read workflow.proposals, and the quotes that one may be made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.trips.proposals.record import ProposalRow, SendRow
from shared.database import Connection, Pool, reading
from shared.proposals.content import ChosenQuote, Content


@dataclass(frozen=True)
class Choice:
    """What a proposal of a trip can be made of, at a moment."""

    quotes: dict[str, ChosenQuote]  # by their ids
    proposals: int  # that the trip has already
    at: datetime  # by the database's clock


class ProposalQueries:
    """Whoever sees a trip sees its proposals."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def choice(self, user_ids: Sequence[str], trip_id: UUID) -> Choice:
        """Return which quotes of a trip stand: operators' own, with a price, not replaced, declined or cancelled."""
        async with reading(self._pool, *user_ids) as db:
            quotes = await _standing(db, trip_id)
            (row,) = await db.fetch(
                """
                SELECT clock_timestamp() AS at, (SELECT count(*) FROM workflow.proposals WHERE trip_id = $1) AS count
                """,
                trip_id,
            )
        return Choice(quotes, row["count"], row["at"])

    async def find(self, user_ids: Sequence[str], proposal_id: UUID) -> ProposalRow | None:
        """Return a proposal of a trip that these users see."""
        async with reading(self._pool, *user_ids) as db:
            row = await db.fetchrow(
                """
                SELECT proposal_id, trip_id, state, content, prepared_at, changed_at, changed_by, sent_at
                FROM workflow.proposals WHERE proposal_id = $1
                """,
                proposal_id,
            )
            if row is None:
                return None
            sends = await db.fetch(
                """
                SELECT event_id, state, recipients, subject, message, code, error, created_at, updated_at
                FROM workflow.proposal_sends WHERE proposal_id = $1 ORDER BY created_at, event_id
                """,
                proposal_id,
            )
            return ProposalRow(
                **{**row, "content": Content.model_validate(row["content"])},
                sends=[SendRow(**send) for send in map(dict, sends)],
                standing=await _standing(db, row["trip_id"]),
            )


async def _standing(db: Connection, trip_id: UUID) -> dict[str, ChosenQuote]:
    rows = await db.fetch(
        """
        SELECT q.quote_id, q.revision, r.operator_name, l.aircraft_type, l.aircraft_tail, q.price_cents, q.currency
        FROM workflow.quotes q JOIN workflow.rfqs r USING (rfq_id) LEFT JOIN workflow.lifts l ON l.lift_id = q.lift_id
        WHERE q.trip_id = $1 AND NOT q.estimate AND q.current AND q.price_cents > 0
            AND NOT r.canceled AND NOT r.declined
            AND (l.sourcing_status = 3 OR lower(l.sourcing_display_status) = 'declined') IS NOT TRUE
        """,
        trip_id,
    )
    return {row["quote_id"]: ChosenQuote(**row) for row in rows}
