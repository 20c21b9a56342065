"""Accept messages that clients store themselves: rows of `gateway.turns` that nobody answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.gateway.turns.stored.claims import Claim, Claimed, Lost, claim_in, lock_of, lock_sessions, turn_of
from services.gateway.turns.stored.rows import columns, question_columns, read_question
from services.gateway.turns.turn import Turn
from shared.database import Connection, Pool, borrowed
from shared.ids import new_id


async def claim_posted(pool: Pool, claims: Sequence[Claim]) -> list[Claimed]:
    """Accept messages that clients store, in one transaction: of each session one at a time; answer each in order.

    They are no turns, so the insert of one takes no lock of its session: two at once would reply to the same message,
    and one of them be on no branch that goes on.
    """
    first = {(claim.user_id, claim.session_id): claim for claim in reversed(claims)}
    async with borrowed(pool) as db:
        if any(claim.quota for claim in first.values()):
            async with db.transaction():
                await lock_sessions(db, list(first))
                results = await claim_in(db, list(first.values()))
            claimed = dict(zip([claim.turn_id for claim in first.values()], results, strict=True))
        else:
            claimed = await _take_posted(db, list(first.values()))
    return [claimed.get(claim.turn_id, Lost.STALE) for claim in claims]


async def _take_posted(db: Connection, claims: Sequence[Claim]) -> dict[UUID, Claimed]:
    """Accept those of these messages, each of another session, that can be; see the function's revision.

    It is `deploy/migrations/sql/0050_posted.up.sql`.
    """
    keys = sorted({lock_of(claim.user_id, claim.session_id) for claim in claims})
    rows = await db.fetch(
        """
        SELECT * FROM gateway.take_posted($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
            $17, $18)
        """,
        [claim.turn_id for claim in claims],
        [claim.user_id for claim in claims],
        [claim.session_id for claim in claims],
        keys,
        [new_id() for _ in claims],
        *columns([_posted_row(claim) for claim in claims]),
    )
    by_id = {claim.turn_id: claim for claim in claims}
    return {row["id"]: _posted(by_id[row["id"]], row["said_at"], row["said"]) for row in rows}


def _posted_row(claim: Claim) -> tuple[Any, ...]:
    return (
        claim.key,
        claim.body_hash,
        claim.owner,
        claim.correlation_id,
        claim.traceparent,
        claim.model,
        claim.provider,
        claim.project_id,
        claim.helper,
        question_columns(claim.question)[0],
        claim.nonce,
        claim.known_until,
        claim.is_recalled,
    )


def _posted(claim: Claim, said_at: datetime, said: dict[str, Any]) -> Turn:
    """Return the row of an accepted message: what its claim says, and the database has spelled."""
    return turn_of(claim, read_question(said), said_at)
