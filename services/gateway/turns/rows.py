"""How rows of `gateway.turns` become turns, and lists of rows the columns that `unnest` takes."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from services.gateway.turns.turn import Answer, Question, Turn

COLUMNS = """turn_id, user_id, session_id, body_hash, owner, attempt, state, correlation_id, nonce, model, provider,
    project_id, helper, question, asked_at, answer, answered_at, partial,
    question_published AND answer_published AS told,
    state = 'running' AND lease_until < clock_timestamp() AS expired"""


def read_turn(row: asyncpg.Record) -> Turn:
    """Make a turn of a row with COLUMNS."""
    values = dict(row)
    answer = values.pop("answer")
    question = values.pop("question")
    earlier = tuple(Question(**each) for each in question.pop("earlier", ()))
    return Turn(
        **values,
        question=Question(**question, earlier=earlier),
        answer=Answer(**answer) if answer else None,
    )


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Turn rows into the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
