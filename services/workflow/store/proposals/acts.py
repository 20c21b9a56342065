"""Write what users did to proposals: prepared, changed, sent; within somebody's transaction, the trip's row locked."""

from uuid import UUID

from services.workflow.store.facts.adding import stand_anew
from services.workflow.store.orders.tombstones import hold_session
from services.workflow.store.proposals.completing import complete_trip
from services.workflow.store.ties.ties import advanced
from shared import errors
from shared.database import Connection
from shared.errors import ProposalSettled, ProposalUnconfirmed, Refused
from shared.events import ProposalChanged, ProposalPrepared, ProposalSent, TripAdvanced

ProposalAct = ProposalPrepared | ProposalChanged | ProposalSent
NEWS = ("trip", "proposal")  # in the words of `GET /api/events`


async def hear_proposal(db: Connection, event: ProposalAct, *, mails: bool) -> list[TripAdvanced]:
    """Store one event, once; one of before its session's deletion, or of a trip that the user has no more, is nothing.

    Args:
        db: Whose transaction it is.
        event: What was done.
        mails: Whether proposals can be mailed at all; else every one is sent by hand.
    """
    await hold_session(db, event.user_id, event.session_id)
    trip_id = await _locked_trip(db, event)
    if trip_id is None or not await _has_trip(db, event, trip_id):
        return []
    if isinstance(event, ProposalPrepared):
        await _prepare(db, event, trip_id)
    elif isinstance(event, ProposalChanged):
        await _change(db, event)
    else:
        await _send(db, event, mails=mails)
    return await advanced(db, trip_id, (event.event_id,), NEWS)


async def _locked_trip(db: Connection, event: ProposalAct) -> UUID | None:
    """Lock the trip that the event is about, which may have become another row since."""
    while True:
        seen = await _trip_of(db, event)
        await db.execute("SELECT FROM workflow.trips WHERE trip_id = $1 FOR UPDATE", seen)
        if await _trip_of(db, event) == seen:  # by a statement of its own: whoever had the lock may have moved it
            return seen


async def _trip_of(db: Connection, event: ProposalAct) -> UUID | None:
    trip_id: UUID | None = await db.fetchval(
        """
        SELECT coalesce((SELECT trip_id FROM workflow.proposals WHERE proposal_id = $1),
            (SELECT trip_id FROM workflow.trips WHERE trip_id = $2),
            (SELECT trip_id FROM workflow.requests WHERE promised_trip_id = $2 AND user_id = $3))
        """,
        event.proposal_id,
        event.trip_id,
        event.user_id,
    )
    return trip_id


async def _has_trip(db: Connection, event: ProposalAct, trip_id: UUID) -> bool:
    """Tell whether the event's session is about the trip, and nothing was deleted since the event was accepted."""
    return bool(
        await db.fetchval(
            """
            SELECT NOT workflow.is_gone($1, $2, $4) AND EXISTS (SELECT FROM workflow.trip_sessions
                WHERE user_id = $1 AND session_id = $2 AND trip_id = $3 AND deleted_at IS NULL
                    AND NOT workflow.is_gone(user_id, session_id, started_at))
            """,
            event.user_id,
            event.session_id,
            trip_id,
            event.accepted,
        )
    )


async def _prepare(db: Connection, event: ProposalPrepared, trip_id: UUID) -> None:
    content = event.content
    await db.execute(
        """
        INSERT INTO workflow.proposals (proposal_id, trip_id, user_id, session_id, quote_ids, margin_percent, note,
            content, prepared_at, accepted_at, changed_at, changed_by, event_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $10, $10)
        ON CONFLICT (proposal_id) DO NOTHING
        """,
        event.proposal_id,
        trip_id,
        event.user_id,
        event.session_id,
        [option.quote_id for option in content.options],
        content.margin_percent,
        content.note,
        content.model_dump(mode="json"),
        event.accepted,
        event.event_id,
    )
    await stand_anew(db, trip_id)


async def _change(db: Connection, event: ProposalChanged) -> None:
    content = event.content
    await db.execute(
        """
        UPDATE workflow.proposals SET quote_ids = $2, margin_percent = $3, note = $4, content = $5, changed_at = $6,
            changed_by = $7, updated_at = clock_timestamp()
        WHERE proposal_id = $1 AND state IN ('prepared', 'failed') AND (changed_at, changed_by) < ($6, $7)
        """,
        event.proposal_id,
        [option.quote_id for option in content.options],
        content.margin_percent,
        content.note,
        content.model_dump(mode="json"),
        event.accepted,
        event.event_id,
    )


async def _send(db: Connection, event: ProposalSent, *, mails: bool) -> None:
    """Commit the intent, which the mailer works afterwards; what is sent by hand is sent."""
    proposal = await db.fetchrow(
        """
        SELECT p.trip_id, p.state, t.closed_at IS NOT NULL AS is_over
        FROM workflow.proposals p JOIN workflow.trips t USING (trip_id)
        WHERE proposal_id = $1 AND NOT EXISTS (SELECT FROM workflow.proposal_sends WHERE event_id = $2)
        """,
        event.proposal_id,
        event.event_id,
    )
    if proposal is None:  # a repeat, or the proposal is gone
        return
    is_mailed = mails and bool(event.to)
    refusal = refusal_of(proposal["state"], is_over=proposal["is_over"], is_mailed=is_mailed)
    state = "lost" if refusal else "intended" if is_mailed else "by_hand"
    await _keep_send(db, event, proposal["trip_id"], state, refusal)
    if state == "intended":
        await _move(db, event.proposal_id, "sending")
    elif state == "by_hand":
        await _move(db, event.proposal_id, "by_hand")
        await complete_trip(db, proposal["trip_id"], event.proposal_id)


def refusal_of(state: str, *, is_over: bool, is_mailed: bool) -> Refused | None:
    """Say why a proposal in this state may not be sent; None where it may."""
    if state == "unconfirmed" and is_mailed:
        return ProposalUnconfirmed()
    if state not in ("prepared", "failed", "unconfirmed"):
        return ProposalSettled()
    return errors.TripClosed() if is_over else None


async def _keep_send(db: Connection, event: ProposalSent, trip_id: UUID, state: str, refusal: Refused | None) -> None:
    await db.execute(
        """
        INSERT INTO workflow.proposal_sends (event_id, proposal_id, trip_id, user_id, session_id, recipients, subject,
            message, state, code, error, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        event.event_id,
        event.proposal_id,
        trip_id,
        event.user_id,
        event.session_id,
        list(event.to),
        event.subject,
        event.message,
        state,
        refusal.code if refusal else None,
        refusal.detail if refusal else None,
        event.accepted,
    )


async def _move(db: Connection, proposal_id: UUID, state: str) -> None:
    await db.execute(
        """
        UPDATE workflow.proposals SET state = $2, updated_at = clock_timestamp(),
            sent_at = CASE WHEN $2 = 'by_hand' THEN clock_timestamp() END
        WHERE proposal_id = $1
        """,
        proposal_id,
        state,
    )
    await db.execute(
        """
        UPDATE workflow.trips SET updated_at = clock_timestamp()
        WHERE trip_id = (SELECT trip_id FROM workflow.proposals WHERE proposal_id = $1)
        """,
        proposal_id,
    )
