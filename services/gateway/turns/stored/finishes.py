"""End turns in their rows: with the answer of their owner, or in the owner's stead; and count what answers took."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace

import asyncpg

from services.gateway.turns.consent import KEPT
from services.gateway.turns.stored.rows import COLUMNS, IS_TOLD, SO_FAR, columns, read_turn
from services.gateway.turns.turn import Answer, Turn
from shared.database import Pool, fetched
from shared.events import AnswerStatus


@dataclass(frozen=True)
class Finish:
    """The end of one attempt."""

    turn: Turn  # as it began to run
    answer: Answer
    question_published: bool = False  # it is known to be with the broker
    counts: bool = False  # its tokens count as used, with its turn


# What of a row that was finished is not known: see `_finished`.
_UNKNOWN = f"turn_id, answered_at, (answer ->> 'revision')::integer AS answer_revision, {IS_TOLD} AS told"


def _finish(also_from: str = "", returning: str = _UNKNOWN) -> str:
    return f"""
        UPDATE gateway.turns t
        SET state = f.said ->> 'status', partial = '', partial_parts = NULL, partial_rounds = NULL,
            stored_at = NULL, retold_at = NULL,
            question_published = t.question_published OR f.told,
            waits_until = CASE WHEN f.waits THEN clock_timestamp() + make_interval(secs => {KEPT.total_seconds()}) END,
            -- what its owner has is a greater version than the checkpoint in its stead
            answer = CASE WHEN t.answer - 'revision' = f.said - 'revision' THEN t.answer
                WHEN t.state = 'interrupted'
                THEN jsonb_set(f.said, '{{revision}}', to_jsonb((t.answer ->> 'revision')::integer + 1))
                ELSE f.said END,
            -- of the answer that this one replaces, if any, and not of this one
            answer_published = t.answer_published
                AND t.answer - 'revision' IS NOT DISTINCT FROM f.said - 'revision',
            answered_at = coalesce(t.answered_at,
                greatest(clock_timestamp(), t.asked_at + interval '1 microsecond'))
        FROM unnest($1::uuid[], $2::integer[], $3::jsonb[], $4::boolean[], $5::boolean[])
            AS f (id, number, said, told, waits) {also_from}
        WHERE t.turn_id = f.id AND t.attempt = f.number
            -- or it is this very answer, whose commit succeeded although we were not told so
            AND (t.state IN ('running', 'interrupted') AND t.revision = (f.said ->> 'revision')::integer
                OR t.answer - 'revision' = f.said - 'revision')
        RETURNING {returning}
        """  # noqa: S608 - constants of this module, here and below


def _counted(ending: str, returning: str = COLUMNS) -> str:
    """Count the tokens of whatever answers a statement ends turns with; of one that replaces another, what it has more.

    The rows are locked before they are written, so what was counted before is what is there.
    """
    return f"""
        WITH before AS MATERIALIZED (
            -- of one that goes on after its user was asked, what it was at before: see waiting.py
            SELECT turn_id AS id, coalesce(answer, counted -> 'before') AS answer FROM gateway.turns
            WHERE turn_id = ANY ($1::uuid[]) AND counted IS NOT NULL FOR UPDATE
        ), ended AS ({ending}), used AS (
            INSERT INTO gateway.usage AS u (user_id, day, input_tokens, output_tokens)
            SELECT by, (clock_timestamp() AT TIME ZONE 'UTC')::date, {_more("input_tokens")}, {_more("output_tokens")}
            FROM ended, jsonb_array_elements_text(counted -> 'by') AS by
            GROUP BY by ORDER BY by
            ON CONFLICT (user_id, day) DO UPDATE SET input_tokens = u.input_tokens + excluded.input_tokens,
                output_tokens = u.output_tokens + excluded.output_tokens
        )
        SELECT {returning} FROM ended
        """  # noqa: S608


def _more(kind: str) -> str:
    return f"sum(greatest(0, {_tokens('answer', kind)} - {_tokens('answer_before', kind)}))"


def _tokens(answer: str, kind: str) -> str:
    """Count the tokens of all calls of the model that an answer took."""
    rounds = f"SELECT sum((each ->> '{kind}')::bigint) FROM jsonb_array_elements({answer} -> 'rounds') AS each"  # noqa: S608
    return f"(coalesce(({answer} -> 'trace' ->> '{kind}')::bigint, 0) + coalesce(({rounds}), 0))"


_FINISH = _finish()
_COUNTED_FINISH = _counted(
    _finish("LEFT JOIN before ON before.id = f.id", "t.*, before.answer AS answer_before"), _UNKNOWN
)


def _instead(where: str) -> str:
    """End a running turn in its owner's stead, with what the row had of its answer when it was read.

    What has come to it since may be a call that its owner makes just now: without that it must not end.
    """
    return _counted(f"""
        UPDATE gateway.turns t
        SET state = $3::jsonb ->> 'status', answer = $3,
            answered_at = coalesce(answered_at, greatest(clock_timestamp(), asked_at + interval '1 microsecond'))
        FROM (SELECT) AS one LEFT JOIN before ON true
        WHERE turn_id = ANY ($1) AND attempt = $2 AND state = 'running' AND {where}
            AND revision = ($3::jsonb ->> 'revision')::integer AND {SO_FAR} IS NOT DISTINCT FROM $4::jsonb
        RETURNING t.*, before.answer AS answer_before
        """)  # noqa: S608


STOPPED = _instead("true")
EXPIRED = _instead("lease_until < clock_timestamp()")
LENGTHENED = _counted("""
    UPDATE gateway.turns t SET answer = $3, answer_published = false, stored_at = NULL, retold_at = NULL
    FROM (SELECT) AS one LEFT JOIN before ON true
    WHERE turn_id = ANY ($1) AND attempt = $2 AND state = 'stopped'
        AND (t.answer ->> 'revision')::integer < ($3::jsonb ->> 'revision')::integer
    RETURNING t.*, before.answer AS answer_before
    """)


@asynccontextmanager
async def finish_turns(pool: Pool, finishes: Sequence[Finish]) -> AsyncIterator[list[Turn | None]]:
    """Keep the answers of these attempts in one statement; None for one that is over already, with another answer.

    They are there in the block.
    """
    finishing = _COUNTED_FINISH if any(finish.counts for finish in finishes) else _FINISH
    said = [(f.turn.turn_id, f.turn.attempt, vars(f.answer), f.question_published, f.answer.waits) for f in finishes]
    async with pool.acquire() as db:
        rows = await db.fetch(finishing, *columns(said))
        finished = {row["turn_id"]: row for row in rows}
        yield [_finished(finish, finished.get(finish.turn.turn_id)) for finish in finishes]


def _finished(finish: Finish, row: asyncpg.Record | None) -> Turn | None:
    """Return the turn as its row has it now: nobody else writes the rest of it while it runs."""
    if row is None:
        return None
    answer = finish.answer
    if row["answer_revision"] != answer.revision:
        answer = replace(answer, revision=row["answer_revision"])
    return replace(
        finish.turn,
        state=answer.status,
        answer=answer,
        answered_at=row["answered_at"],
        partial_parts=None,
        rounds=(),
        told=row["told"],
        expired=False,
    )


async def end_instead(pool: Pool, ending: str, turn: Turn, status: AnswerStatus, error: str | None) -> Turn | None:
    """End a running turn by one of the statements above; None where its row is another one by now."""
    answer = turn.so_far(status, error)
    rows = await fetched(pool, ending, [turn.turn_id], turn.attempt, asdict(answer), turn.partial_parts)
    return read_turn(rows[0]) if rows else None


async def lengthen(pool: Pool, turn: Turn, answer: Answer) -> Turn | None:
    """Keep a longer answer of a stopped turn; None where its row is another one by now, or has as much."""
    rows = await fetched(pool, LENGTHENED, [turn.turn_id], turn.attempt, asdict(answer))
    return read_turn(rows[0]) if rows else None
