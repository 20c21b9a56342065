"""Find turns as clients of OpenAI's Responses ask for them, by their ids; and note which are withheld.

A turn's row is looked at first, so that it is found while the logger is away; once that is trimmed, what is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.turns.stored.rows import COLUMNS, read_turn
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Answer, Turn
from services.gateway.v1.past.asked_items import stored_items
from services.gateway.v1.told.input_items import AskedItem
from shared.database import Pool, fetched, reading
from shared.ids import answer_id


def is_offered(alias: str) -> str:
    """Spell the condition that a turn, or a message of one, is a response still: it was not withheld."""
    return f"""NOT EXISTS (SELECT FROM gateway.withheld_responses w
        WHERE w.user_id = {alias}.user_id AND w.turn_id = {alias}.turn_id)"""


@dataclass(frozen=True)
class KeptResponse:
    """A turn with what is kept of its answer."""

    turn_id: UUID
    user_id: str
    session_id: str
    project_id: str | None
    model: str
    asked_at: datetime
    answered_at: datetime | None
    answer: Answer | None  # none: it is coming
    metadata: dict[str, Any]  # of the question
    previous: UUID | None  # the turn that it goes on from
    so_far: list[dict[str, Any]] | None = None  # parts of an answer that is coming
    asked: tuple[AskedItem, ...] = ()  # as far as its row has it

    @classmethod
    def of(cls, turn: Turn, previous: UUID | None) -> "KeptResponse":
        """Tell of a turn what its row has."""
        questions = (*turn.question.earlier, turn.question)
        return cls(
            turn_id=turn.turn_id,
            user_id=turn.user_id,
            session_id=turn.session_id,
            project_id=turn.project_id,
            model=turn.model,
            asked_at=turn.asked_at,
            answered_at=turn.answered_at,
            answer=turn.answer,
            metadata=turn.question.metadata,
            previous=previous,
            so_far=turn.partial_parts,
            asked=tuple([AskedItem(each.role, each.content, each.parts) for each in questions]),
        )


@dataclass(frozen=True)
class KeptAnswer:
    """What a turn has answered."""

    turn_id: UUID
    project_id: str | None
    answer: Answer


class ResponseReadings:
    def __init__(self, own_pool: Pool, reader_pool: Pool, store: TurnStore) -> None:
        self._own = own_pool
        self._reader = reader_pool
        self._store = store

    async def withhold(self, user_id: str, session_id: str, turn_id: UUID) -> None:
        """Withhold a turn, begun or not yet; of a session that is deleted nothing is noted any more."""
        await fetched(
            self._own,
            """
            INSERT INTO gateway.withheld_responses (user_id, turn_id, session_id)
            SELECT $1, $2, $3 WHERE NOT gateway.is_gone($1, $3)
            ON CONFLICT DO NOTHING
            """,
            user_id,
            turn_id,
            session_id,
        )

    async def forget_unbegun(self, user_id: str, turn_id: UUID) -> None:
        """Forget that a turn was to be withheld that has not begun, and will not."""
        await fetched(
            self._own,
            """
            DELETE FROM gateway.withheld_responses
            WHERE user_id = $1 AND turn_id = $2 AND NOT EXISTS (SELECT FROM gateway.turns t WHERE t.turn_id = $2)
            """,
            user_id,
            turn_id,
        )

    async def find(self, user_ids: tuple[str, ...], turn_id: UUID) -> KeptResponse | None:
        """Return a turn of these users' that is not withheld, in whichever project."""
        rows = await fetched(
            self._own,
            """
            SELECT
                EXISTS (SELECT FROM gateway.withheld_responses WHERE user_id = ANY ($1) AND turn_id = $2) AS withheld,
                EXISTS (SELECT FROM gateway.turns t WHERE turn_id = $2 AND user_id = ANY ($1) AND state <> 'posted'
                    AND NOT tripthread.is_hidden(user_id, session_id, asked_at)) AS known
            """,
            user_ids,
            turn_id,
        )
        if rows[0]["withheld"]:
            return None
        turn = await self._store.find(turn_id) if rows[0]["known"] else None
        return await self._of_turn(turn) if turn is not None else await self._stored(user_ids, turn_id)

    async def asked(self, kept: KeptResponse) -> Sequence[AskedItem]:
        """Return what a turn was asked, in order; of one that was another answer to a question, that question."""
        if kept.asked:
            return kept.asked
        return await stored_items(self._reader, kept.user_id, kept.session_id, kept.turn_id)

    async def answers(self, user_ids: tuple[str, ...], turn_ids: list[UUID]) -> list[KeptAnswer]:
        """Return the last answers of these turns, those alone that are these users' and not withheld."""
        rows = await fetched(
            self._own,
            f"""
            SELECT {COLUMNS} FROM gateway.turns t
            WHERE turn_id = ANY ($2) AND user_id = ANY ($1) AND answer IS NOT NULL
                AND NOT tripthread.is_hidden(user_id, session_id, asked_at)
                AND {is_offered("t")}
            """,  # noqa: S608 - a constant of `turns/stored/rows.py`
            user_ids,
            turn_ids,
        )
        found = [(turn, turn.answer) for turn in map(read_turn, rows)]
        kept = [KeptAnswer(turn.turn_id, turn.project_id, answer) for turn, answer in found if answer is not None]
        missing = list({*turn_ids} - {each.turn_id for each in kept})
        return kept + await self._stored_answers(user_ids, missing) if missing else kept

    async def _stored_answers(self, user_ids: tuple[str, ...], turn_ids: list[UUID]) -> list[KeptAnswer]:
        async with reading(self._reader, *user_ids) as db:
            rows = await db.fetch(
                f"""
                SELECT DISTINCT ON (m.turn_id) m.turn_id, m.content, m.parts, m.status, s.project_id
                FROM chat.messages m JOIN chat.sessions s USING (user_id, session_id)
                WHERE m.user_id = ANY ($1) AND m.turn_id = ANY ($2) AND m.role = 'assistant'
                    AND s.created_at <= m.created_at
                    AND {is_offered("m")}
                ORDER BY m.turn_id, m.created_at DESC
                """,  # noqa: S608
                user_ids,
                turn_ids,
            )
        return [
            KeptAnswer(row["turn_id"], row["project_id"], Answer(row["content"], row["parts"], row["status"]))
            for row in rows
        ]

    async def _of_turn(self, turn: Turn) -> KeptResponse:
        first = (*turn.question.earlier, turn.question)[0]
        previous = await self._turn_of(turn, first.parent_id) if first.parent_id else None
        return KeptResponse.of(turn, previous)

    async def _turn_of(self, turn: Turn, message_id: str) -> UUID | None:
        """Return the turn of the session whose answer this is."""
        rows = await fetched(
            self._own,
            "SELECT turn_id, attempt FROM gateway.turns WHERE user_id = $1 AND session_id = $2 AND state <> 'posted'",
            turn.user_id,
            turn.session_id,
        )
        for row in rows:
            if str(answer_id(row["turn_id"], row["attempt"])) == message_id:
                return UUID(int=row["turn_id"].int)
        async with reading(self._reader, turn.user_id) as db:
            found: UUID | None = await db.fetchval(
                "SELECT turn_id FROM chat.messages WHERE user_id = $1 AND session_id = $2 AND message_id = $3",
                turn.user_id,
                turn.session_id,
                message_id,
            )
        return found

    async def _stored(self, user_ids: tuple[str, ...], turn_id: UUID) -> KeptResponse | None:
        async with reading(self._reader, *user_ids) as db:
            row = await db.fetchrow(_STORED, user_ids, turn_id)
        return _kept(row) if row is not None else None


# The last attempt's answer, its question, and what the first message that came with that replies to.
_STORED = """
    WITH RECURSIVE answer AS (
        SELECT m.*, s.project_id FROM chat.messages m JOIN chat.sessions s USING (user_id, session_id)
        WHERE m.user_id = ANY ($1) AND m.turn_id = $2 AND m.role = 'assistant'
            AND s.created_at <= m.created_at  -- which a fork's copies are older than
        ORDER BY m.created_at DESC LIMIT 1
    ), way (parent_id, turn_id, steps) AS (
        SELECT answer.parent_id, answer.turn_id, 0 FROM answer
        UNION ALL
        SELECT m.parent_id, m.turn_id, way.steps + 1 FROM way CROSS JOIN answer JOIN chat.messages m
            ON m.user_id = answer.user_id AND m.session_id = answer.session_id AND m.message_id = way.parent_id
        WHERE way.turn_id = $2 AND way.steps < 1000
    )
    SELECT a.turn_id, a.user_id, a.session_id, a.content, a.parts, a.status, a.error, a.model,
        a.created_at AS answered_at, a.metadata -> 'finish_reason' AS finish_reason,
        coalesce(q.created_at, a.created_at) AS asked_at, coalesce(q.metadata, '{}') AS metadata, a.project_id,
        t.input_tokens, t.output_tokens,
        (SELECT way.turn_id FROM way WHERE way.turn_id <> $2 LIMIT 1) AS previous
    FROM answer a
    LEFT JOIN chat.messages q ON q.user_id = a.user_id AND q.session_id = a.session_id AND q.message_id = a.parent_id
    CROSS JOIN LATERAL (
        SELECT sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens FROM chat.traces
        WHERE user_id = a.user_id AND message_id = a.message_id  -- of each round one, whose ids begin with the answer's
            AND trace_id >= a.message_id AND trace_id < a.message_id || '.') t
    """


def _kept(row: asyncpg.Record) -> KeptResponse:
    trace = {name: row[name] for name in ("finish_reason", "input_tokens", "output_tokens")}
    return KeptResponse(
        turn_id=row["turn_id"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        project_id=row["project_id"],
        model=row["model"] or "",
        asked_at=row["asked_at"],
        answered_at=row["answered_at"],
        answer=Answer(row["content"], row["parts"], row["status"], row["error"], trace),
        metadata=row["metadata"],
        previous=row["previous"],
    )
