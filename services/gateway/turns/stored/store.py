"""Write `gateway.turns`: the lock, the question and, until it is stored, the answer of each turn."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from services.gateway.turns.call_parts import carried
from services.gateway.turns.stored.again import begin_again
from services.gateway.turns.stored.claims import LEASE_S, Claim, Claimed, claim_turns
from services.gateway.turns.stored.finishes import EXPIRED, STOPPED, Finish, end_instead, finish_turns, lengthen
from services.gateway.turns.stored.grouped import Grouped
from services.gateway.turns.stored.posted import claim_posted, keep_place, settle_posted
from services.gateway.turns.stored.rows import COLUMNS, columns, read_turn
from services.gateway.turns.turn import POSTED, Answer, Turn
from services.gateway.turns.weight import question_bytes
from shared.database import Pool, borrowed, fetched
from shared.events import AnswerStatus

READINGS = 5  # of a turn whose owner keeps more of it meanwhile
TAKEN_AMONG = 20  # newest turns of a session, for a message that comes again


@dataclass(frozen=True)
class RunningTurn:
    """Which turn runs where; no more of it is read, which another release may have written."""

    turn_id: UUID
    user_id: str
    session_id: str
    asked_at: datetime


@asynccontextmanager
async def _claim_posted(pool: Pool, claims: Sequence[Claim]) -> AsyncIterator[list[Claimed]]:
    yield await claim_posted(pool, claims)  # whose connection is given back before it says what is in doubt


class TurnStore:
    """The turns; claims and finishes of concurrent turns share a statement and its commit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._claims, self._posts = (
            Grouped[Claim, Claimed](partial(claim, pool), weigh=lambda claim: question_bytes(claim.question))
            for claim in (claim_turns, _claim_posted)
        )
        self._finishes: Grouped[Finish, Turn | None] = Grouped(
            partial(finish_turns, pool), weigh=lambda finish: 2 * len(finish.answer.content)
        )

    async def claim(self, claim: Claim) -> Claimed:
        """Take the session for this turn."""
        return await (self._posts if claim.state == POSTED else self._claims).call(claim)

    async def settle(self, claim: Claim) -> Turn | None:
        """Find out what became of the claim of a message that was broken off; None where it is not accepted."""
        return await settle_posted(self._pool, claim)

    async def finish(self, finish: Finish) -> Turn | None:
        """Keep the answer of an attempt; None when that attempt is over already, with another answer."""
        return await self._finishes.call(finish)

    async def rerun(self, turn: Turn, owner: str, *, takes_over: bool = True) -> Turn | None:
        """Begin another attempt at a failed or interrupted turn, with the calls that were made already.

        Args:
            turn: As it was read.
            owner: Who runs it now.
            takes_over: False where the calls are the client's own to run: then it has none.

        Returns:
            None when its session is taken or was deleted, or it has changed.
        """
        try:
            return await begin_again(self._pool, turn, owner, carried(turn.parts_so_far) if takes_over else [])
        except asyncpg.UniqueViolationError:
            return None

    async def withdraw(self, turn_id: UUID, nonce: UUID) -> None:
        """Forget a claim whose question never reached the broker: nothing of it was accepted.

        The nonce tells it from a repeat of the same request that has claimed the turn since, here or elsewhere.
        """
        async with borrowed(self._pool) as db, db.transaction():
            await keep_place(db, turn_id, nonce)
            await db.execute(
                """
                WITH gone AS (
                    DELETE FROM gateway.turns
                    WHERE turn_id = $1 AND nonce = $2 AND attempt = 1 AND state = 'running' AND NOT question_published
                    RETURNING counted
                )
                SELECT gateway.uncount(counted) FROM gone WHERE counted IS NOT NULL
                """,
                turn_id,
                nonce,
            )

    async def interrupt_expired(self, turn: Turn) -> Turn | None:
        """End a running turn whose owner let its lease pass, with the text it had; None when it is not so any more."""
        return await self._end_instead(EXPIRED, turn, "interrupted", "The gateway that answered is gone.")

    async def stop(self, turn: Turn) -> Turn | None:
        """End a running turn in its owner's stead, as its user wants, with the text that the row has.

        Returns:
            None when it has ended, or runs as another attempt.
        """
        return await self._end_instead(STOPPED, turn, "stopped", None)

    async def _end_instead(self, ending: str, turn: Turn, status: AnswerStatus, error: str | None) -> Turn | None:
        """End what runs as it was read; read it again where its owner has kept more of it meanwhile."""
        for _ in range(READINGS):
            ended = await end_instead(self._pool, ending, turn, status, error)
            now = None if ended is not None else await self.find(turn.turn_id)
            if now is None or _run_of(now) != _run_of(turn) or now.partial_parts == turn.partial_parts:
                return ended
            turn = now
        return None

    async def lengthen(self, turn: Turn, answer: Answer) -> Turn | None:
        """Keep what its owner had more of an answer than the checkpoint by which another gateway stopped the turn.

        Returns:
            None where the row has another attempt, another end, or as much already.
        """
        return await lengthen(self._pool, turn, answer)

    async def renew(self, running: Sequence[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
        """Renew the leases of running turns: (turn, attempt); return those that were ended for good meanwhile.

        No index knows a lease, so this writes each row's new version beside the old one, and nothing else.
        """
        renewed = await self._pool.fetch(
            f"""
            UPDATE gateway.turns t SET lease_until = clock_timestamp() + make_interval(secs => {LEASE_S})
            FROM unnest($1::uuid[], $2::integer[]) AS r (id, number)
            WHERE t.turn_id = r.id AND t.attempt = r.number AND t.state = 'running'
            RETURNING t.turn_id, t.attempt
            """,  # noqa: S608
            *columns(running),
        )
        missing = set(running) - {(row["turn_id"], row["attempt"]) for row in renewed}
        if not missing:
            return missing
        # One that was only interrupted, as where the database was away for longer than a lease, can still end well.
        rows = await self._pool.fetch(
            "SELECT turn_id, attempt FROM gateway.turns WHERE turn_id = ANY ($1) AND state = 'interrupted'",
            [turn_id for turn_id, _ in missing],
        )
        return missing - {(row["turn_id"], row["attempt"]) for row in rows}

    async def checkpoint(self, parts: Sequence[tuple[UUID, int, int, list[dict[str, Any]]]]) -> None:
        """Keep what running turns have said so far: (turn, attempt, revision, parts)."""
        await self._pool.execute(
            """
            UPDATE gateway.turns t SET partial_parts = c.so_far::jsonb
            FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[]) AS c (id, number, revision, so_far)
            WHERE t.turn_id = c.id AND t.attempt = c.number AND t.revision = c.revision AND t.state = 'running'
                -- what was given up and is committed late must take no call out that was run meanwhile
                AND jsonb_array_length(c.so_far::jsonb) >= coalesce(jsonb_array_length(t.partial_parts), 0)
            """,
            # As text, since a list of lists is an array of two dimensions.
            *columns([(*named, orjson.dumps(so_far).decode()) for *named, so_far in parts]),
        )

    async def keep_calls(self, turn: Turn, parts: Sequence[dict[str, Any]], rounds: Sequence[dict[str, Any]]) -> bool:
        """Keep what a turn has so far before it acts, with the traces of the rounds that are over.

        Returns:
            False where it has ended, or runs as another attempt: then it must not act.
        """
        rows = await self._pool.fetch(
            """
            UPDATE gateway.turns SET partial_parts = $3, partial_rounds = $4
            WHERE turn_id = $1 AND attempt = $2 AND revision = $5 AND state = 'running'
            RETURNING turn_id
            """,
            turn.turn_id,
            turn.attempt,
            list(parts),
            list(rounds),
            turn.revision,
        )
        return bool(rows)

    async def take(self, user_id: str, session_id: str, role: str, text: str, name: str | None = None) -> Turn | None:
        """Find the session's newest turn where its question or its answer says this and was not taken for another yet.

        A client that stores what it showed stores what the turn has stored: the same message, once a turn. Who names
        its message takes the same one again, as where it did not hear of the first time.
        """
        rows = await fetched(
            self._pool,
            f"""
            UPDATE gateway.turns
            SET taken = coalesce(taken, '{{}}') || jsonb_build_object($3::text, coalesce(to_jsonb($5::text), 'true'))
            WHERE turn_id = (
                    SELECT turn_id FROM (
                        SELECT turn_id, place, taken FROM gateway.turns
                        WHERE user_id = $1 AND session_id = $2 AND state <> '{POSTED}'
                            AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
                        ORDER BY place DESC LIMIT {TAKEN_AMONG}) newest
                    ORDER BY coalesce(taken ->> $3 = $5, false) DESC, place DESC LIMIT 1)
                AND (NOT coalesce(taken ? $3, false) OR taken ->> $3 = $5)
                AND CASE $3 WHEN 'user' THEN question ->> 'content' WHEN 'assistant' THEN answer ->> 'content' END = $4
            RETURNING {COLUMNS}
            """,  # noqa: S608
            user_id,
            session_id,
            role,
            text,
            name,
        )
        return read_turn(rows[0]) if rows else None

    async def by_key(self, user_id: str, key: str) -> Turn | None:
        """Find the turn that this key of this user names."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT {COLUMNS} FROM gateway.turns
            WHERE user_id = $1 AND idempotency_key = $2 AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
            """,  # noqa: S608
            user_id,
            key,
        )
        return read_turn(rows[0]) if rows else None

    async def sent_before(
        self, user_id: str, sent: str, session_id: str | None = None, projects: Sequence[str] | None = None
    ) -> str | None:
        """Return the key of the turn that a client's retry is about: one without an answer, else the newest.

        Args:
            user_id: Whose.
            sent: What the keys of this request's turns begin with.
            session_id: Of the session that the request is for; none: it names none.
            projects: Those that who asks is limited to: of others they may learn nothing.
        """
        rows = await fetched(
            self._pool,
            """
            SELECT idempotency_key FROM gateway.turns
            WHERE user_id = $1 AND idempotency_key IS NOT NULL AND starts_with(idempotency_key, $2)
                AND asked_at > clock_timestamp() - interval '1 hour'
                AND ($3::text IS NULL OR session_id = $3) AND ($4::text[] IS NULL OR project_id = ANY ($4))
                AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
            ORDER BY state IN ('failed', 'interrupted') DESC, state = 'running' DESC, asked_at DESC LIMIT 1
            """,
            user_id,
            sent,
            session_id,
            projects,
        )
        return rows[0]["idempotency_key"] if rows else None

    async def is_gone(self, user_id: str, session_id: str) -> bool:
        """Tell whether a session can't be claimed, since it was deleted or what was said in it is just being erased."""
        (row,) = await fetched(self._pool, "SELECT gateway.is_gone($1, $2)", user_id, session_id)
        return bool(row[0])

    async def expired(self) -> list[tuple[UUID, int]]:
        """Return the running turns whose owner has let the lease pass: (turn, attempt)."""
        rows = await fetched(
            self._pool,
            "SELECT turn_id, attempt FROM gateway.turns WHERE state = 'running' AND lease_until < clock_timestamp()",
        )
        return [(row["turn_id"], row["attempt"]) for row in rows]

    async def find(self, turn_id: UUID) -> Turn | None:
        """Return the turn of this id."""
        rows = await fetched(self._pool, f"SELECT {COLUMNS} FROM gateway.turns WHERE turn_id = $1", turn_id)  # noqa: S608
        return read_turn(rows[0]) if rows else None

    async def running_of(self, whose: Sequence[tuple[str, str | None]]) -> list[RunningTurn]:
        """Return the turns that run in these sessions: (user, session), or anywhere for a user: (user, None)."""
        rows = await fetched(
            self._pool,
            """
            SELECT turn_id, user_id, session_id, asked_at FROM gateway.turns
            WHERE state = 'running' AND (user_id = ANY ($3)
                OR (user_id, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[])))
            """,
            [user_id for user_id, session_id in whose if session_id is not None],
            [session_id for _, session_id in whose if session_id is not None],
            [user_id for user_id, session_id in whose if session_id is None],
        )
        return [RunningTurn(**dict(row)) for row in rows]

    async def running(self, user_ids: Sequence[str], session_id: str) -> Turn | None:
        """Find the turn that this session is busy with, of the first of these users who has one."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT {COLUMNS} FROM gateway.turns
            WHERE user_id = ANY ($1) AND session_id = $2 AND state = 'running'
                AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
            ORDER BY array_position($1, user_id) LIMIT 1
            """,  # noqa: S608
            list(user_ids),
            session_id,
        )
        return read_turn(rows[0]) if rows else None


def _run_of(turn: Turn) -> tuple[int, int, str]:
    """Tell one run of a turn from every other."""
    return turn.attempt, turn.revision, turn.state
