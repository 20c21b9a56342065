"""The rows of a trip's facts: read all, write what changed; in somebody's transaction, the trip's row locked."""

from uuid import UUID

from services.workflow.facts import Facts, Lift, Message, Quote, Rfq
from shared.database import Connection


async def load_facts(db: Connection, trip_id: UUID) -> Facts | None:
    """Lock the trip, then read what is known of it: whoever waited sees what the one before wrote."""
    await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", trip_id)
    trip = await db.fetchrow(
        """
        SELECT last_checked_at IS NOT NULL AS at_avinode,
            t.step = 'proposal_ready'  -- by one that is gone: the proposal of a user who was erased, of a shared trip
                OR EXISTS (SELECT FROM workflow.proposals p WHERE p.trip_id = t.trip_id) AS proposal_prepared
        FROM workflow.trips t WHERE trip_id = $1
        """,
        trip_id,
    )
    if trip is None:
        return None
    return Facts(
        **trip,
        rfqs={rfq.rfq_id: rfq for rfq in await _rfqs(db, trip_id)},
        lifts={lift.lift_id: lift for lift in await _lifts(db, trip_id)},
        quotes={quote.quote_id: quote for quote in await _quotes(db, trip_id)},
        messages={message.avinode_message_id: message for message in await _messages(db, trip_id)},
    )


async def _rfqs(db: Connection, trip_id: UUID) -> list[Rfq]:
    rows = await db.fetch(
        "SELECT rfq_id, operator_id, operator_name, canceled, fetched_at FROM workflow.rfqs WHERE trip_id = $1", trip_id
    )
    return [Rfq(**row) for row in rows]


async def _lifts(db: Connection, trip_id: UUID) -> list[Lift]:
    rows = await db.fetch(
        """
        SELECT lift_id, rfq_id, aircraft_type, aircraft_category, aircraft_tail, sourcing_status,
            sourcing_display_status, fetched_at
        FROM workflow.lifts WHERE trip_id = $1
        """,
        trip_id,
    )
    return [Lift(**row) for row in rows]


async def _quotes(db: Connection, trip_id: UUID) -> list[Quote]:
    rows = await db.fetch(
        """
        SELECT quote_id, rfq_id, lift_id, estimate, price_cents, currency, message, quoted_at, fetched_at, revision
        FROM workflow.quotes WHERE trip_id = $1
        """,
        trip_id,
    )
    return [Quote(**row) for row in rows]


async def _messages(db: Connection, trip_id: UUID) -> list[Message]:
    rows = await db.fetch(
        """
        SELECT avinode_message_id, rfq_id, kind, sender, content, reason, quote_id, lift_ids, sent_at, fetched_at
        FROM workflow.trip_messages WHERE trip_id = $1
        """,
        trip_id,
    )
    return [Message(**{**row, "lift_ids": tuple(row["lift_ids"])}) for row in rows]


async def save_facts(db: Connection, trip_id: UUID, known: Facts, joined: Facts) -> None:
    """Write the rows that a newer reading replaced, or that are new."""
    rfqs = [rfq for key, rfq in joined.rfqs.items() if rfq is not known.rfqs.get(key)]
    lifts = [lift for key, lift in joined.lifts.items() if lift is not known.lifts.get(key)]
    quotes = [quote for key, quote in joined.quotes.items() if quote is not known.quotes.get(key)]
    messages = [message for key, message in joined.messages.items() if message is not known.messages.get(key)]
    await _save_rfqs(db, trip_id, rfqs)
    await _save_lifts(db, trip_id, lifts)
    await _save_quotes(db, trip_id, quotes)
    await _save_messages(db, trip_id, messages)


async def _save_rfqs(db: Connection, trip_id: UUID, rfqs: list[Rfq]) -> None:
    await db.execute(
        """
        INSERT INTO workflow.rfqs (rfq_id, trip_id, operator_id, operator_name, canceled, fetched_at)
        SELECT rfq_id, $1, operator_id, operator_name, canceled, fetched_at
        FROM jsonb_populate_recordset(NULL::workflow.rfqs, $2)
        ON CONFLICT (rfq_id) DO UPDATE SET trip_id = EXCLUDED.trip_id, operator_id = EXCLUDED.operator_id,
            operator_name = EXCLUDED.operator_name, canceled = EXCLUDED.canceled, fetched_at = EXCLUDED.fetched_at
        """,
        trip_id,
        rfqs,
    )


async def _save_lifts(db: Connection, trip_id: UUID, lifts: list[Lift]) -> None:
    await db.execute(
        """
        INSERT INTO workflow.lifts (lift_id, rfq_id, trip_id, aircraft_type, aircraft_category, aircraft_tail,
            sourcing_status, sourcing_display_status, fetched_at)
        SELECT lift_id, rfq_id, $1, aircraft_type, aircraft_category, aircraft_tail, sourcing_status,
            sourcing_display_status, fetched_at
        FROM jsonb_populate_recordset(NULL::workflow.lifts, $2)
        ON CONFLICT (lift_id) DO UPDATE SET rfq_id = EXCLUDED.rfq_id, trip_id = EXCLUDED.trip_id,
            aircraft_type = EXCLUDED.aircraft_type, aircraft_category = EXCLUDED.aircraft_category,
            aircraft_tail = EXCLUDED.aircraft_tail, sourcing_status = EXCLUDED.sourcing_status,
            sourcing_display_status = EXCLUDED.sourcing_display_status, fetched_at = EXCLUDED.fetched_at
        """,
        trip_id,
        lifts,
    )


async def _save_quotes(db: Connection, trip_id: UUID, quotes: list[Quote]) -> None:
    """A changed price, or an estimate that turns out to be the seller's own, is news for the chat again."""
    await db.execute(
        """
        INSERT INTO workflow.quotes AS old (quote_id, rfq_id, trip_id, lift_id, estimate, price_cents, currency,
            message, quoted_at, fetched_at, revision)
        SELECT quote_id, rfq_id, $1, lift_id, estimate, price_cents, currency, message, quoted_at, fetched_at, revision
        FROM jsonb_populate_recordset(NULL::workflow.quotes, $2)
        ON CONFLICT (quote_id) DO UPDATE SET rfq_id = EXCLUDED.rfq_id, trip_id = EXCLUDED.trip_id,
            lift_id = EXCLUDED.lift_id, estimate = EXCLUDED.estimate, price_cents = EXCLUDED.price_cents,
            currency = EXCLUDED.currency, message = EXCLUDED.message, quoted_at = EXCLUDED.quoted_at,
            fetched_at = EXCLUDED.fetched_at, revision = EXCLUDED.revision,
            seen_at = CASE WHEN (old.revision, old.estimate) = (EXCLUDED.revision, EXCLUDED.estimate)
                THEN old.seen_at ELSE clock_timestamp() END,
            told_at = CASE WHEN (old.revision, old.estimate) = (EXCLUDED.revision, EXCLUDED.estimate)
                THEN old.told_at END,
            said_at = CASE WHEN (old.revision, old.estimate) = (EXCLUDED.revision, EXCLUDED.estimate)
                THEN old.said_at END,
            unsaid = CASE WHEN (old.revision, old.estimate) = (EXCLUDED.revision, EXCLUDED.estimate) THEN old.unsaid END
        """,
        trip_id,
        quotes,
    )


async def _save_messages(db: Connection, trip_id: UUID, messages: list[Message]) -> None:
    await db.execute(
        """
        INSERT INTO workflow.trip_messages (avinode_message_id, trip_id, rfq_id, kind, sender, content, reason,
            quote_id, lift_ids, sent_at, fetched_at)
        SELECT avinode_message_id, $1, rfq_id, kind, sender, content, reason, quote_id, lift_ids, sent_at, fetched_at
        FROM jsonb_populate_recordset(NULL::workflow.trip_messages, $2)
        ON CONFLICT (avinode_message_id) DO UPDATE SET trip_id = EXCLUDED.trip_id, rfq_id = EXCLUDED.rfq_id,
            kind = EXCLUDED.kind, sender = EXCLUDED.sender, content = EXCLUDED.content, reason = EXCLUDED.reason,
            quote_id = EXCLUDED.quote_id, lift_ids = EXCLUDED.lift_ids, sent_at = EXCLUDED.sent_at,
            fetched_at = EXCLUDED.fetched_at
        """,
        trip_id,
        messages,
    )
