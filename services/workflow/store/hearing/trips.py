"""Write what users did: their requests, the trips they attached, and what they deleted."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.workflow.avinode.notices import trip_reference
from services.workflow.store.hearing.changing import Change, change_trip
from services.workflow.store.orders.rows import (
    OpenTrip,
    Order,
    keep_attachment,
    keep_lost,
    keep_request,
    known_order,
    open_trip_of,
)
from services.workflow.store.orders.tombstones import forsake, hold_session, is_gone, note_deleted
from services.workflow.store.proposals.acts import ProposalAct, hear_proposal
from services.workflow.store.ties.bans import RELEASED, is_banned
from services.workflow.store.ties.releasing import release_trip
from shared.database import Connection, Pool, transaction
from shared.errors import NoSuchTrip, TripOpen, TripUnconfirmed
from shared.events import (
    ProposalChanged,
    ProposalPrepared,
    ProposalSent,
    SessionDeleted,
    TripAdvanced,
    TripAttached,
    TripReleased,
    UserErased,
)
from shared.jobs.ledger import note_erased

Heard = Order | Change | TripReleased | ProposalAct


class TripStore:
    """The events of one group, in one transaction."""

    def __init__(self, pool: Pool, *, shared: bool, mails: bool = False) -> None:
        self._pool = pool
        self._shared = shared  # may a user attach a trip that another user holds?
        self._mails = mails  # can proposals be mailed?

    async def note(self, deleted: Sequence[SessionDeleted], erased: Sequence[UserErased]) -> None:
        """Note what is gone, in one transaction that is safe to repeat: from then on nothing of it is sent or told."""
        async with transaction(self._pool) as db:
            if erased:
                await note_erased(db, "workflow.erased_users", erased)
            if deleted:
                await note_deleted(db, deleted)

    async def record(self, events: Sequence[Heard]) -> list[TripAdvanced]:
        """Store these events, once, in their order.

        Returns:
            For each order the trip that its session has now; the promised one where it has none; nothing for one that
            is gone. For each release the sessions that have lost the trip; for each change, and for what was done to a
            proposal, all that are about the trip.
        """
        try:
            return await self._record(events)
        except asyncpg.IntegrityConstraintViolationError:
            # Somebody was quicker who takes no lock of ours, such as an older workflow: now their rows are seen.
            return await self._record(events)

    async def _record(self, events: Sequence[Heard]) -> list[TripAdvanced]:
        async with transaction(self._pool) as db:
            return [outcome for event in events for outcome in await self._heard(db, event)]

    async def _heard(self, db: Connection, event: Heard) -> list[TripAdvanced]:
        if isinstance(event, TripReleased):
            return await release_trip(db, event)
        if isinstance(event, Change):
            return await change_trip(db, event)
        if isinstance(event, ProposalPrepared | ProposalChanged | ProposalSent):
            return await hear_proposal(db, event, mails=self._mails)
        await hold_session(db, event.user_id, event.session_id)
        if await is_gone(db, event):
            return []
        trip_id, causes = await self._place(db, event), (event.event_id,)
        return [TripAdvanced(user_id=event.user_id, session_id=event.session_id, trip_id=trip_id, causes=causes)]

    async def _place(self, db: Connection, order: Order) -> UUID:
        """Tie the session to a trip, unless it has an open one, and keep the order with what becomes of it.

        A request that nobody can confirm gives way to an attachment: of the trip that was made, or of any other.
        """
        known = await known_order(db, order)
        if known is not None:
            return known
        has = await open_trip_of(db, order)
        if isinstance(order, TripAttached):
            return await self._attach(db, order, has)
        if has is not None:
            return await keep_lost(db, order, TripUnconfirmed() if has.is_unconfirmed else TripOpen(), has.trip_id)
        return await keep_request(db, order)

    async def _attach(self, db: Connection, order: TripAttached, has: OpenTrip | None) -> UUID:
        reference = trip_reference(order.avinode_trip_id)
        if has is not None and reference is not None and reference in has.names:
            return await keep_attachment(db, order, has.trip_id)
        if has is not None and not has.is_unconfirmed:
            return await keep_lost(db, order, TripOpen(), has.trip_id)
        attached = None if reference is None else await self._trip_called(db, order, reference)
        if attached is None:
            return await keep_lost(db, order, NoSuchTrip())  # or a stranger's: nobody can tell which
        await _tie(db, order, attached)
        return await keep_attachment(db, order, attached)

    async def _trip_called(self, db: Connection, order: TripAttached, reference: str) -> UUID | None:
        """Return the trip of that name, made here if need be; None where it is a stranger's, or was this user's."""
        await forsake(db, reference)
        if await is_banned(db, order.user_id, reference):  # before a row is made, which would be nobody's
            return None
        await db.execute(
            """
            INSERT INTO workflow.trips (trip_id, avinode_trip_id, trip_code)
            SELECT $1, CASE WHEN $3 THEN $2 END, CASE WHEN NOT $3 THEN $2 END
            WHERE NOT EXISTS (SELECT FROM workflow.trips WHERE avinode_trip_id = $2 OR trip_code = $2)
            ON CONFLICT DO NOTHING
            """,
            order.trip_id,
            reference,
            reference.startswith("atrip-"),
        )
        # Locked by a statement of its own, so that the next one sees who was tied to it meanwhile.
        await db.execute(
            "SELECT FROM workflow.trips WHERE avinode_trip_id = $1 OR trip_code = $1 FOR UPDATE", reference
        )
        trip_id: UUID | None = await db.fetchval(
            """
            SELECT trip_id FROM workflow.trips t
            WHERE (avinode_trip_id = $1 OR trip_code = $1)
                AND ($2 OR NOT EXISTS (SELECT FROM workflow.trip_sessions s
                    WHERE s.trip_id = t.trip_id AND s.user_id <> $3 AND s.deleted_at IS NULL
                        AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at)))
                AND NOT EXISTS (SELECT FROM workflow.requests r
                    WHERE r.trip_id = t.trip_id AND r.user_id = $3 AND r.code = $4)  -- by a workflow of before bans
            """,
            reference,
            self._shared,
            order.user_id,
            RELEASED,
        )
        # Asked again: whoever had the lock may have taken the trip from them.
        return None if trip_id is None or await is_banned(db, order.user_id, reference) else trip_id


async def _tie(db: Connection, order: TripAttached, trip_id: UUID) -> None:
    """Tie the session to this trip instead of the one it has open, which is a request that nobody can confirm."""
    session = order.user_id, order.session_id
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = false, ended_at = clock_timestamp()
        WHERE user_id = $1 AND session_id = $2 AND open
        """,
        *session,
    )
    await db.execute(
        "UPDATE workflow.trips SET due_at = clock_timestamp() WHERE trip_id = $1 AND due_at = 'infinity'", trip_id
    )
    await db.execute(
        """
        INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, open, ended_at, started_at)
        SELECT $1, $2, trip_id, closed_at IS NULL, closed_at, $4 FROM workflow.trips WHERE trip_id = $3
        ON CONFLICT (user_id, session_id, trip_id) DO UPDATE SET open = EXCLUDED.open, ended_at = EXCLUDED.ended_at,
            started_at = EXCLUDED.started_at, deleted_at = NULL  -- it may be a tie of before its user's erasure
        """,
        *session,
        trip_id,
        order.accepted,
    )
