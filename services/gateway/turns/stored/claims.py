"""Claiming a session for a turn: the lock, the idempotency key and the durable copy of the question, in one row."""

import enum
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import asyncpg

from services.gateway.turns.offered import Tools
from services.gateway.turns.quota import Quota, UsedUp
from services.gateway.turns.stored.rows import columns, question_columns
from services.gateway.turns.turn import Question, Turn
from shared.database import Connection, Pool, borrowed
from shared.ids import new_id, scoped

LEASE_S = 30  # how long a running turn is its owner's without a renewal


class Lost(enum.Enum):
    """Why a claim got nothing."""

    TAKEN = "taken"  # the session is answering, or was deleted; or the key is known already
    STALE = "stale"  # more was said since the claimant read the session


Claimed = Turn | Lost | UsedUp


@dataclass(frozen=True)
class Claim:
    """A turn that somebody wants to run, or a message that its client stores and nobody is to answer."""

    turn_id: UUID
    user_id: str
    session_id: str
    key: str | None
    body_hash: bytes
    owner: str
    correlation_id: UUID
    traceparent: str | None
    model: str
    provider: str
    project_id: str | None
    helper: str | None
    question: Question
    # Tells this claim from every other, also of the same turn and request, as where a proxy sent it to two gateways.
    nonce: UUID = field(default_factory=new_id)
    account: str = ""  # whom the limits count the turn for; of no interest to other gateways
    state: Literal["running", "posted"] = "running"
    known_until: datetime | None = None  # the place of the newest turn that the claimant knows; none: it knows none
    remembers_from: datetime | None = None  # the place of the oldest message that the model is told of; none: it is new
    begins: bool = False  # the session is a new one, as far as the claimant knows
    quota: Quota | None = None  # what it counts against; none: as much as one likes
    tools: Tools | None = None  # what its model may call; no part of its row
    is_recalled: bool = False  # its claimant has not read the session: the claim proves that there is no more of it
    tag: str | None = None  # and the session is known to have this one, if that is proved
    names_session: bool = False  # its request does: in another session its key cannot be a repeat's


@asynccontextmanager
async def claim_turns(pool: Pool, claims: Sequence[Claim]) -> AsyncIterator[list[Claimed]]:
    """Take the sessions of all these claims that can be had, in one transaction; answer each in order, in the block."""
    async with borrowed(pool) as db:
        yield await claim_in(db, claims)


def lock_of(user_id: str, session_id: str) -> int:
    """Name the lock of a session to the database."""
    return int.from_bytes(sha256(scoped(user_id, session_id).encode()).digest()[:8], signed=True)


async def lock_sessions(db: Connection, sessions: Sequence[tuple[str, str]]) -> None:
    """Let nobody else claim these sessions until the end of the transaction; wait for those who do."""
    keys = sorted({lock_of(*session) for session in sessions})
    await db.execute("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key", keys)
    # Turns take no such lock. A row in the way of theirs, which nobody ever sees, waits for them and lets them wait.
    placeholders = [(new_id(), *session) for session in sessions]
    await db.execute(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at)
        SELECT p.id, p.user_id, p.session_id, '', '', 'running', clock_timestamp(), p.id, '', '', '{}',
            clock_timestamp()
        FROM unnest($1::uuid[], $2::text[], $3::text[]) AS p (id, user_id, session_id)
        ORDER BY p.user_id, p.session_id
        ON CONFLICT DO NOTHING
        """,
        *columns(placeholders),
    )
    await db.execute("DELETE FROM gateway.turns WHERE turn_id = ANY ($1)", [each[0] for each in placeholders])


async def claim_in(db: Connection, claims: Sequence[Claim]) -> list[Claimed]:
    """Take the sessions of all these claims that can be had; answer each in order.

    A turn that ended between the claimant's reading and its claim may have been in the way of the insert, so the
    function looks for what is stale by a second statement, under the lock that the first took: see its revision,
    `deploy/migrations/sql/0032_stale_by_key.up.sql`.
    """
    if any(claim.quota for claim in claims):
        return await _claim_within(db, claims)
    rows = await db.fetch(
        f"""
        SELECT (turn).nonce, is_stale, (turn).asked_at
        FROM gateway.take_turns($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $20, {LEASE_S})
        """,  # noqa: S608 - a constant of this module
        *columns([_claim_row(claim) for claim in claims]),
    )
    taken = {row["nonce"]: row for row in rows}
    return [_claimed(claim, taken.get(claim.nonce)) for claim in claims]


async def _claim_within(db: Connection, claims: Sequence[Claim]) -> list[Claimed]:
    """Do the same where some of them have a quota: what is claimed is counted in the same statement, or not claimed."""
    rows = await db.fetch(
        f"""
        SELECT (turn).nonce, is_stale, (turn).asked_at, used_up, next_day, (turn).counted
        FROM gateway.take_turns_within($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
            $19, $20, {LEASE_S}, $21)
        """,  # noqa: S608
        *columns([(*_claim_row(claim), claim.quota and {**claim.quota, "begins": claim.begins}) for claim in claims]),
    )
    taken = {row["nonce"]: row for row in rows}
    return [_claimed_within(claim, taken.get(claim.nonce)) for claim in claims]


def _claimed_within(claim: Claim, row: asyncpg.Record | None) -> Claimed:
    if row is not None and row["used_up"]:
        return UsedUp(row["used_up"], row["next_day"])
    return _claimed(claim, row, row["counted"] if row is not None else None)


def _claimed(claim: Claim, row: asyncpg.Record | None, counted: dict[str, Any] | None = None) -> Claimed:
    """Say what came of a claim. What its turn's row has is known, but for when it was asked: nothing else is read."""
    if row is None:
        return Lost.TAKEN
    if row["is_stale"]:
        return Lost.STALE
    return turn_of(claim, claim.question, row["asked_at"], counted)


def turn_of(claim: Claim, question: Question, asked_at: datetime, counted: dict[str, Any] | None = None) -> Turn:
    """Return the turn that a claim has begun, at its first attempt."""
    return Turn(
        turn_id=claim.turn_id,
        user_id=claim.user_id,
        session_id=claim.session_id,
        body_hash=claim.body_hash,
        owner=claim.owner,
        attempt=1,
        state=claim.state,
        correlation_id=claim.correlation_id,
        model=claim.model,
        provider=claim.provider,
        project_id=claim.project_id,
        helper=claim.helper,
        question=question,
        asked_at=asked_at,
        traceparent=claim.traceparent,
        nonce=claim.nonce,
        counted=counted,
    )


def _claim_row(claim: Claim) -> tuple[Any, ...]:
    return (
        claim.turn_id,
        claim.user_id,
        claim.session_id,
        claim.key,
        claim.body_hash,
        claim.owner,
        claim.correlation_id,
        claim.traceparent,
        claim.model,
        claim.provider,
        claim.project_id,
        claim.helper,
        *question_columns(claim.question),
        claim.nonce,
        claim.state,
        1 + len(claim.question.earlier),
        claim.known_until,
        claim.remembers_from,
        claim.is_recalled,
    )
