"""Write the rows of turns that wait for their user's consent: let them go on, or close what nobody will answer.

Such a turn is over, so its session is free. What is said there next is another turn, which denies what waits: the
session's lock puts one before the other, as it does with two questions at once.
"""

import enum
from collections.abc import Sequence
from typing import Any

import asyncpg

from services.gateway.turns.call_parts import carried
from services.gateway.turns.stored.again import begin_again
from services.gateway.turns.stored.claims import LEASE_S
from services.gateway.turns.stored.rows import COLUMNS, read_turn
from services.gateway.turns.turn import POSTED, Turn
from shared.database import Connection, Pool, borrowed, fetched

AT_ONCE = 100  # turns that one look finds


def _passed(at: str) -> str:
    """Whether the conversation went on after this place of the turn `t`: a user has said something else."""
    return f"""EXISTS (SELECT FROM gateway.turns later
        WHERE later.user_id = t.user_id AND later.session_id = t.session_id AND later.place > {at}
            AND later.turn_id <> t.turn_id AND (later.state <> '{POSTED}' OR NOT later.question ? 'role'))"""


_IS_PASSED, _WAS_PASSED = _passed("t.place"), _passed("$2")


class Standing(enum.Enum):
    """Why a turn does not go on."""

    LATE = "late"  # its time is over
    PASSED = "passed"  # the conversation went on without it
    CHANGED = "changed"  # it is not as it was read


class WaitingTurns:
    """The turns that wait."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def go_on(self, turn: Turn, parts: Sequence[dict[str, Any]], owner: str) -> Turn | None:
        """Let a turn go on with its answer, whose calls its user has answered in these parts, as its next revision.

        Returns:
            None where it does not wait any more, or its session is taken.
        """
        assert turn.answer is not None  # noqa: S101 - whoever waits has said so
        try:
            async with borrowed(self._pool) as db, db.transaction():
                row = await db.fetchrow(
                    f"""
                    UPDATE gateway.turns t
                    SET state = 'running', owner = $3, answer = NULL, revision = $4 + 1, waits_until = NULL,
                        partial_parts = $5, partial_rounds = $6, carried = $7,
                        counted = counted || jsonb_build_object('before', jsonb_build_object('rounds', $6::jsonb)),
                        answer_published = false, stored_at = NULL, retold_at = NULL,
                        lease_until = clock_timestamp() + make_interval(secs => {LEASE_S})
                    WHERE turn_id = $1 AND attempt = $2 AND state = 'complete'
                        AND (answer ->> 'revision')::integer = $4 AND waits_until > clock_timestamp()
                        AND NOT gateway.is_gone(user_id, session_id)
                    RETURNING {COLUMNS}, t.place AS at
                    """,  # noqa: S608 - constants of this folder, here and below
                    turn.turn_id,
                    turn.attempt,
                    owner,
                    turn.answer.revision,
                    list(parts),
                    turn.answer.traces,
                    len(parts),
                )
                # From here on nobody else can claim the session; what was claimed just before is seen by this.
                if row is None or await self._is_passed(db, turn):
                    raise _NotSo
        except (_NotSo, asyncpg.UniqueViolationError):
            return None
        return read_turn(row)

    async def run_again(self, turn: Turn, parts: Sequence[dict[str, Any]], owner: str) -> Turn | None:
        """Begin another attempt at a turn that broke off, with the calls that its user has answered in these parts.

        Returns:
            None where its session is taken or was deleted, it has changed, or the conversation went on without it.
        """
        try:
            async with borrowed(self._pool) as db, db.transaction():
                again = await begin_again(db, turn, owner, carried(parts))
                if again is None or await self._is_passed(db, turn):  # as above
                    raise _NotSo
        except (_NotSo, asyncpg.UniqueViolationError):
            return None
        return again

    async def standing(self, turn: Turn) -> Standing:
        """Say why a turn that waited when it was read did not go on."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT waits_until IS NOT NULL AND waits_until <= clock_timestamp() AS is_late, {_IS_PASSED} AS is_passed
            FROM gateway.turns t WHERE turn_id = $1
            """,  # noqa: S608
            turn.turn_id,
        )
        if not rows:
            return Standing.CHANGED
        if rows[0]["is_late"]:
            return Standing.LATE
        return Standing.PASSED if rows[0]["is_passed"] else Standing.CHANGED

    async def unanswered(self) -> list[Turn]:
        """Return turns that nobody will answer any more: their time is over, or the conversation went on."""
        rows = await fetched(
            self._pool,
            f"""
            SELECT {COLUMNS} FROM gateway.turns t
            WHERE waits_until IS NOT NULL AND (waits_until <= clock_timestamp() OR {_IS_PASSED}) LIMIT {AT_ONCE}
            """,  # noqa: S608
        )
        return [read_turn(row) for row in rows]

    async def close(self, turn: Turn, parts: Sequence[dict[str, Any]]) -> Turn | None:
        """Keep a greater version of an answer, in which nothing waits; None where it waits no more anyway."""
        rows = await fetched(
            self._pool,
            f"""
            UPDATE gateway.turns
            SET answer = answer || jsonb_build_object('parts', $3::jsonb, 'revision', $4::integer + 1),
                revision = $4 + 1, carried = $5, waits_until = NULL,
                answer_published = false, stored_at = NULL, retold_at = NULL
            WHERE turn_id = $1 AND attempt = $2 AND state <> 'running' AND waits_until IS NOT NULL
                AND (answer ->> 'revision')::integer = $4
            RETURNING {COLUMNS}
            """,  # noqa: S608
            turn.turn_id,
            turn.attempt,
            list(parts),
            turn.answer.revision if turn.answer else 0,
            len(parts),
        )
        return read_turn(rows[0]) if rows else None

    @staticmethod
    async def _is_passed(db: Connection, turn: Turn) -> bool:
        """Tell of a turn that was locked whether the conversation went on after the place where it was read."""
        passed = f"SELECT {_WAS_PASSED} FROM gateway.turns t WHERE turn_id = $1"  # noqa: S608
        return bool(await db.fetchval(passed, turn.turn_id, turn.place))


class _NotSo(Exception):
    """The turn does not wait any more."""
