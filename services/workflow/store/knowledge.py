"""Load and save what is known of a trip; within somebody's transaction, with the trip's row locked."""

from uuid import UUID

from services.workflow.avinode.resources import Trip
from services.workflow.facts import Facts, Found, Lift, Message, Quote, Rfq, join
from services.workflow.steps import Standing, standing
from services.workflow.store.ties import close_trip
from shared.database import Connection


async def add_found(db: Connection, trip_id: UUID, found: Found) -> bool:
    """Join what was found to what is known, and keep what follows from it.

    Returns:
        Whether that says anything new.
    """
    known = await _load(db, trip_id)
    if known is None:  # it turned out to be another's trip meanwhile
        return False
    joined = join(known, found)
    await _save(db, trip_id, known, joined)
    is_moved = await _save_standing(db, trip_id, standing(joined))
    is_new = joined != known or is_moved
    if is_new:
        await db.execute(
            """
            UPDATE workflow.trips SET updated_at = clock_timestamp(), last_activity_at = clock_timestamp()
            WHERE trip_id = $1
            """,
            trip_id,
        )
    return is_new


async def add_trip(db: Connection, trip_id: UUID, trip: Trip, *, reread_s: float) -> bool:
    """Keep what a reading of the trip itself says, with the RFQs it shows whole.

    Returns:
        Whether that says anything new.
    """
    is_shown = await db.fetchval(
        """
        UPDATE workflow.trips SET deep_link = coalesce($2, deep_link), pax = coalesce(pax, $4), canceled = $5,
            route = CASE route WHEN '[]' THEN $3 ELSE route END
        WHERE trip_id = $1 AND (deep_link, pax, canceled, route, error) IS DISTINCT FROM
            (coalesce($2, deep_link), coalesce(pax, $4), $5, CASE route WHEN '[]' THEN $3 ELSE route END, NULL)
        RETURNING true
        """,
        trip_id,
        trip.deep_link,
        trip.route,
        trip.pax,
        trip.canceled,
    )
    await db.execute(
        """
        UPDATE workflow.trips SET last_checked_at = clock_timestamp(), error = NULL,
            due_at = clock_timestamp() + $2 * interval '1 second'
        WHERE trip_id = $1
        """,
        trip_id,
        reread_s,
    )
    rfqs, lifts = [reading.rfq for reading in trip.rfqs], [lift for reading in trip.rfqs for lift in reading.lifts]
    is_new = await add_found(db, trip_id, Found(rfqs=tuple(rfqs), lifts=tuple(lifts)))
    if trip.canceled:
        await close_trip(db, trip_id)
    return is_new or bool(is_shown)


async def _load(db: Connection, trip_id: UUID) -> Facts | None:
    """Lock the trip, then read it: whoever waited sees what the one before wrote."""
    await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", trip_id)
    trip = await db.fetchrow(
        """
        SELECT last_checked_at IS NOT NULL AS is_at_avinode,
            EXISTS (SELECT FROM workflow.proposals p WHERE p.trip_id = t.trip_id) AS has_proposal
        FROM workflow.trips t WHERE trip_id = $1
        """,
        trip_id,
    )
    if trip is None:
        return None
    rfqs = await db.fetch(
        "SELECT rfq_id, operator_id, operator_name, canceled, fetched_at FROM workflow.rfqs WHERE trip_id = $1", trip_id
    )
    lifts = await db.fetch(
        """
        SELECT lift_id, rfq_id, aircraft_type, aircraft_category, aircraft_tail, sourcing_status,
            sourcing_display_status, fetched_at
        FROM workflow.lifts WHERE trip_id = $1
        """,
        trip_id,
    )
    quotes = await db.fetch(
        """
        SELECT quote_id, rfq_id, lift_id, estimate, price_cents, currency, message, quoted_at, fetched_at, revision
        FROM workflow.quotes WHERE trip_id = $1
        """,
        trip_id,
    )
    messages = await db.fetch(
        """
        SELECT avinode_message_id, rfq_id, kind, sender, content, reason, quote_id, lift_ids, sent_at, fetched_at
        FROM workflow.trip_messages WHERE trip_id = $1
        """,
        trip_id,
    )
    return Facts(
        at_avinode=trip["is_at_avinode"],
        proposal_prepared=trip["has_proposal"],
        rfqs={row["rfq_id"]: Rfq(**row) for row in rfqs},
        lifts={row["lift_id"]: Lift(**row) for row in lifts},
        quotes={row["quote_id"]: Quote(**row) for row in quotes},
        messages={
            row["avinode_message_id"]: Message(**{**row, "lift_ids": tuple(row["lift_ids"])}) for row in messages
        },
    )


async def _save(db: Connection, trip_id: UUID, known: Facts, joined: Facts) -> None:
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
                THEN old.told_at END
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


async def _save_standing(db: Connection, trip_id: UUID, now: Standing) -> bool:
    """Keep what follows from the facts, and tell whether it changed."""
    rfqs = await db.fetch(
        """
        UPDATE workflow.rfqs SET declined = rfq_id = ANY ($2::text[]), decline_reason = $3::jsonb ->> rfq_id
        WHERE trip_id = $1
            AND (declined, decline_reason) IS DISTINCT FROM (rfq_id = ANY ($2::text[]), $3::jsonb ->> rfq_id)
        RETURNING rfq_id
        """,
        trip_id,
        list(now.declined),
        dict(now.declined),
    )
    quotes = await db.fetch(
        """
        UPDATE workflow.quotes SET current = NOT current WHERE trip_id = $1 AND current = (quote_id = ANY ($2::text[]))
        RETURNING quote_id
        """,
        trip_id,
        list(now.superseded),
    )
    counts = await db.fetch(
        """
        UPDATE workflow.trips SET step = $2, operators_contacted_count = $3, quotes_expected_count = $4,
            quotes_received_count = $5
        WHERE trip_id = $1 AND (step, operators_contacted_count, quotes_expected_count, quotes_received_count)
            IS DISTINCT FROM ($2, $3, $4, $5)
        RETURNING trip_id
        """,
        trip_id,
        now.step,
        now.contacted,
        now.expected,
        now.received,
    )
    return bool(rfqs or quotes or counts)
