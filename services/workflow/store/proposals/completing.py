"""Complete a trip whose proposal was sent; within somebody's transaction, the trip's row locked."""

from uuid import UUID

from shared.database import Connection


async def complete_trip(db: Connection, trip_id: UUID, proposal_id: UUID) -> None:
    """End a trip with its proposal, by the time at which that was sent; its sessions may have another.

    One that was cancelled before stays so.
    """
    await db.execute(
        """
        UPDATE workflow.trips t SET proposal_sent_at = coalesce(t.proposal_sent_at, p.sent_at),
            closed_at = coalesce(t.closed_at, p.sent_at), outcome = coalesce(t.outcome, 'completed'),
            updated_at = clock_timestamp()
        FROM workflow.proposals p WHERE t.trip_id = $1 AND p.proposal_id = $2
        """,
        trip_id,
        proposal_id,
    )
    await db.execute(
        """
        UPDATE workflow.trip_sessions SET open = false,
            ended_at = (SELECT sent_at FROM workflow.proposals WHERE proposal_id = $2)
        WHERE trip_id = $1 AND open
        """,
        trip_id,
        proposal_id,
    )
