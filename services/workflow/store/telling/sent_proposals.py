"""Proposals that were sent, and that the chat has not been told of."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.workflow.store.telling.untold import Untold
from shared.database import Pool
from shared.events import Json


@dataclass(frozen=True, kw_only=True)
class UntoldProposal(Untold):
    """A proposal that was sent."""

    proposal_id: UUID
    is_by_hand: bool
    content: Json  # as it was stored: whoever says what it is reads it


class SentProposalStore:
    """A proposal is sent once, and so is told once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def next_untold(self) -> UntoldProposal | None:
        """Return the sent proposal that the chat has waited longest for."""
        row = await self._pool.fetchrow(
            """
            SELECT p.proposal_id, p.trip_id, p.state = 'by_hand' AS is_by_hand, p.content, p.said_at,
                ARRAY (SELECT (s.user_id, s.session_id, s.started_at) FROM workflow.trip_sessions s
                    WHERE s.trip_id = p.trip_id AND (s.open OR s.ended_at >= p.sent_at) AND s.deleted_at IS NULL
                    AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at)
                    ORDER BY s.user_id, s.session_id) AS sessions
            FROM workflow.proposals p
            WHERE p.sent_at IS NOT NULL AND p.told_at IS NULL AND p.unsaid IS NULL
                AND NOT workflow.is_gone(p.user_id, p.session_id, p.accepted_at)
            ORDER BY p.sent_at LIMIT 1
            """
        )
        if row is None:
            return None
        return UntoldProposal(**{**row, "sessions": [tuple(session) for session in row["sessions"]]})

    async def say(self, proposal: UntoldProposal) -> datetime | None:
        """Commit when it is told; None where it is gone."""
        said_at: datetime | None = await self._pool.fetchval(
            """
            UPDATE workflow.proposals SET said_at = coalesce(said_at, clock_timestamp())
            WHERE proposal_id = $1 RETURNING said_at
            """,
            proposal.proposal_id,
        )
        return said_at

    async def told(self, proposal: UntoldProposal) -> None:
        """Note that the chat was told."""
        await self._pool.execute(
            "UPDATE workflow.proposals SET told_at = clock_timestamp() WHERE proposal_id = $1", proposal.proposal_id
        )

    async def leave_unsaid(self, proposal: UntoldProposal, why: str) -> None:
        """Note why nobody can be told."""
        await self._pool.execute(
            "UPDATE workflow.proposals SET unsaid = $2 WHERE proposal_id = $1", proposal.proposal_id, why
        )
