"""Accept messages that clients store themselves: rows of `gateway.turns` that nobody answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.turns.stored.claims import Claim, Claimed, Lost, claim_in, lock_of, lock_sessions, turn_of
from services.gateway.turns.stored.grouped import BrokenOff
from services.gateway.turns.stored.rows import COLUMNS, columns, question_columns, read_question, read_turn
from services.gateway.turns.turn import Turn
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS, Connection, Fault, Pool, borrowed, fault_of
from shared.ids import new_id

SETTLE_DEADLINE_S = 2.0  # whoever waits for it has waited for the claim, too
IN_DOUBT = ("08", "57P")  # what SQLSTATEs begin with: the connection is lost, or the server shuts down


async def claim_posted(pool: Pool, claims: Sequence[Claim]) -> list[Claimed]:
    """Accept messages that clients store, in one transaction: of each session one at a time; answer each in order.

    They are no turns, so the insert of one takes no lock of its session: two at once would reply to the same message,
    and one of them be on no branch that goes on.

    Raises:
        BrokenOff: They may be accepted, or not: see `settle_posted`.
    """
    first = {(claim.user_id, claim.session_id): claim for claim in reversed(claims)}
    is_sent = False
    try:
        async with borrowed(pool) as db:
            is_sent = True
            claimed = await _claim_first(db, list(first.values()))
    except DATABASE_ERRORS as error:
        if is_sent and _leaves_doubt(error):
            raise BrokenOff(describe(error)) from error
        raise
    return [claimed.get(claim.turn_id, Lost.STALE) for claim in claims]


async def _claim_first(db: Connection, first: Sequence[Claim]) -> dict[UUID, Claimed]:
    if not any(claim.quota for claim in first):
        return await _take_posted(db, first)
    async with db.transaction():
        await lock_sessions(db, [(claim.user_id, claim.session_id) for claim in first])
        results = await claim_in(db, first)
    return dict(zip([claim.turn_id for claim in first], results, strict=True))


def _leaves_doubt(error: Exception) -> bool:
    """Tell whether what met this error may be committed all the same: nobody has said that it is rolled back."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(IN_DOUBT)
    return fault_of(error) is Fault.TRANSIENT


async def settle_posted(pool: Pool, claim: Claim) -> Turn | None:
    """Find out what became of a claim that was broken off: the message, or None where there never will be one.

    Raises:
        DATABASE_ERRORS: Nobody can tell.
    """
    async with borrowed(pool, SETTLE_DEADLINE_S) as db:
        await keep_place(db, claim.turn_id, claim.nonce)
        row = await db.fetchrow(
            f"SELECT {COLUMNS} FROM gateway.turns WHERE turn_id = $1 AND nonce = $2 AND user_id = $3",  # noqa: S608
            claim.turn_id,
            claim.nonce,
            claim.user_id,
        )
    return read_turn(row) if row else None


async def keep_place(db: Connection, turn_id: UUID, nonce: UUID) -> None:
    """Let a claim that is not committed by now never be; wait for one that is being committed.

    It may be under way still: an insert of the same turn waits for that, where a look sees nothing. Or the claim itself
    may be, held up on its way: nobody's message, told and stored, keeps its place then until it is trimmed.
    """
    await db.execute(
        """
        INSERT INTO gateway.turns (turn_id, nonce, user_id, session_id, body_hash, owner, state, lease_until,
            correlation_id, model, provider, question, asked_at, question_published, stored_at)
        VALUES ($1::uuid, $2, '', $1::uuid::text, '', '', 'posted', clock_timestamp(),
            $2, '', '', '{"message_id": "", "content": ""}', clock_timestamp(), true, clock_timestamp())
        ON CONFLICT DO NOTHING
        """,
        turn_id,
        nonce,
    )


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
