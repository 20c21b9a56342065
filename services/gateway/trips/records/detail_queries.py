"""Read workflow.*: everything that is known of one trip."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.gateway.trips.records.record import (
    Cancellation,
    Lift,
    Proposal,
    Quote,
    Rfq,
    Segment,
    Trip,
    TripMessage,
    TripRequest,
    TripRow,
    timeline_of,
)
from shared.database import Connection


async def whole_trip(db: Connection, trip_id: UUID, row: TripRow, segments: list[Segment]) -> Trip:
    """Add to a trip's row all that hangs on it; the transaction of `db` must be one that may see this trip."""
    request = await _request(db, row.request_id)
    rfqs = await _rfqs(db, trip_id)
    messages = await _messages(db, trip_id)
    proposals = await _proposals(db, trip_id)
    return Trip(
        **row.model_dump(),
        segments=segments,
        request=request,
        cancellation=await _cancellation(db, row.id),
        rfqs=rfqs,
        quotes=await _quotes(db, trip_id),
        proposals=proposals,
        messages=messages,
        timeline=timeline_of(row, request=request, rfqs=rfqs, messages=messages, proposals=proposals),
    )


async def _request(db: Connection, request_id: UUID | None) -> TripRequest | None:
    row = await db.fetchrow(
        """
        SELECT request_id AS id, segments, pax, criteria, state, error, created_at
        FROM workflow.requests WHERE request_id = $1
        """,
        request_id,
    )
    return None if row is None else TripRequest.model_validate(dict(row))


async def _cancellation(db: Connection, trip_id: UUID | None) -> Cancellation | None:
    row = await db.fetchrow(
        """
        SELECT state, reason, message, error, event_id, updated_at
        FROM workflow.cancellations WHERE trip_id = $1
        """,
        trip_id,
    )
    return None if row is None else Cancellation.model_validate(dict(row))


async def _rfqs(db: Connection, trip_id: UUID) -> list[Rfq]:
    lifts = await _lifts(db, trip_id)
    rows = await db.fetch(
        """
        SELECT rfq_id AS id, operator_id, operator_name, canceled, declined, decline_reason, created_at
        FROM workflow.rfqs WHERE trip_id = $1 ORDER BY created_at, rfq_id
        """,
        trip_id,
    )
    return [
        Rfq(**row, lifts=[Lift.model_validate(dict(lift)) for lift in lifts if lift["rfq_id"] == row["id"]])
        for row in map(dict, rows)
    ]


async def _lifts(db: Connection, trip_id: UUID) -> Sequence[asyncpg.Record]:
    return await db.fetch(
        """
        SELECT lift_id AS id, rfq_id, aircraft_type, aircraft_category, aircraft_tail,
            sourcing_display_status AS sourcing_status
        FROM workflow.lifts WHERE trip_id = $1 ORDER BY lift_id
        """,
        trip_id,
    )


async def _quotes(db: Connection, trip_id: UUID) -> list[Quote]:
    rows = await db.fetch(
        """
        SELECT q.quote_id AS id, q.rfq_id, r.operator_name, q.lift_id, l.aircraft_type, q.estimate, q.current,
            q.price_cents, q.currency, q.message, q.quoted_at
        FROM workflow.quotes q
        JOIN workflow.rfqs r USING (rfq_id)
        LEFT JOIN workflow.lifts l ON l.lift_id = q.lift_id
        WHERE q.trip_id = $1 ORDER BY q.estimate, q.quoted_at, q.quote_id
        """,
        trip_id,
    )
    return [Quote.model_validate(dict(row)) for row in rows]


async def _proposals(db: Connection, trip_id: UUID) -> list[Proposal]:
    rows = await db.fetch(
        """
        SELECT proposal_id AS id, state, quote_ids, margin_percent::float8 AS margin_percent, note, prepared_at, sent_at
        FROM workflow.proposals WHERE trip_id = $1 ORDER BY prepared_at, proposal_id
        """,
        trip_id,
    )
    return [Proposal.model_validate(dict(row)) for row in rows]


async def _messages(db: Connection, trip_id: UUID) -> list[TripMessage]:
    rows = await db.fetch(
        """
        SELECT avinode_message_id AS id, rfq_id, kind, sender, content, reason, quote_id, sent_at
        FROM workflow.trip_messages WHERE trip_id = $1 ORDER BY sent_at, avinode_message_id
        """,
        trip_id,
    )
    return [TripMessage.model_validate(dict(row)) for row in rows]
