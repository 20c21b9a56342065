"""How rows of `gateway.turns` become turns, and lists of rows the columns that `unnest` takes."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import asyncpg

from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.turn import Answer, PastAttempt, Question, Turn

# All that a turn says is known to be with the broker; or it is over and not all is, as `turns_unpublished` has it.
IS_TOLD = "question_published AND (answer_published OR state = 'posted')"
IS_UNTOLD = "(NOT question_published OR (answer IS NOT NULL AND NOT answer_published)) AND state <> 'running'"
# What a turn has of its answer while it runs.
SO_FAR = """coalesce(partial_parts, CASE WHEN partial <> '' THEN  -- of a gateway from before the former
    jsonb_build_array(jsonb_build_object('type', 'text', 'text', partial)) END)"""
COLUMNS = f"""turn_id, user_id, session_id, body_hash, owner, attempt, state, correlation_id, traceparent, nonce, model,
    provider, project_id, helper, question, known_at, asked_at, answer, answered_at, past, counted,
    {SO_FAR} AS partial_parts,
    partial_rounds AS rounds, revision, carried,
    {IS_TOLD} AS told,
    state = 'running' AND lease_until < clock_timestamp() AS expired"""
# The same without what may be large, which is then not even unpacked where it was said in answer.
GLIMPSE = f"""turn_id, user_id, session_id, attempt, state, model, project_id, helper, asked_at, answered_at,
    question - '{{content,parts,metadata,earlier}}'::text[] AS question,
    CASE WHEN jsonb_array_length(question -> 'earlier') > 0 THEN (
        SELECT jsonb_agg(said - '{{content,parts,metadata}}'::text[] ORDER BY number)
        FROM jsonb_array_elements(question -> 'earlier') WITH ORDINALITY AS each (said, number)
    ) END AS earlier,
    {IS_TOLD} AS told,
    extract(epoch FROM clock_timestamp() - place)::float8 AS age_s,
    state = 'running' AND lease_until < clock_timestamp() AS expired"""  # noqa: S608 - a constant of this module


TURN_FIELDS = tuple(each.name for each in fields(Turn))
GLIMPSE_FIELDS = tuple(each.name for each in fields(Glimpse))
ANSWER_FIELDS, QUESTION_FIELDS = (frozenset(each.name for each in fields(kind)) for kind in (Answer, Question))


def _known(values: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Leave out what a gateway of a later release has added."""
    return values if values.keys() <= names else {name: values[name] for name in values.keys() & names}


def read_turn(row: asyncpg.Record) -> Turn:
    """Make a turn of a row with COLUMNS."""
    values = {name: row[name] for name in TURN_FIELDS}
    answer, past, rounds = values.pop("answer"), values.pop("past") or (), values.pop("rounds") or ()
    question = read_question(values.pop("question"), row["known_at"])
    return Turn(
        **values,
        question=question,
        rounds=tuple(rounds),
        answer=_read_answer(answer) if answer else None,
        past=tuple([_read_past(each) for each in past]),
    )


def _read_answer(values: dict[str, Any]) -> Answer:
    return Answer(**_known(values, ANSWER_FIELDS))


def _read_past(values: dict[str, Any]) -> PastAttempt:
    return PastAttempt(values["attempt"], _read_answer(values["answer"]), datetime.fromisoformat(values["answered_at"]))


def read_glimpse(row: asyncpg.Record) -> Glimpse:
    """Make what is small of a turn of a row with GLIMPSE."""
    values = {name: row[name] for name in GLIMPSE_FIELDS}
    return Glimpse(**values | {"earlier": values["earlier"] or ()})


def question_columns(question: Question) -> tuple[dict[str, Any], dict[str, datetime] | None]:
    """Return what the columns `question` and `known_at` hold of a question and of what came with it.

    There are two because a gateway from before the second reads no question with a field that it does not know.
    """
    known_at = {said.message_id: said.said_at for said in (*question.earlier, question) if said.said_at is not None}
    return _document(question), known_at or None


def _document(question: Question) -> dict[str, Any]:
    values = {
        **vars(question),
        "earlier": [_document(each) for each in question.earlier],
    }  # asdict would copy all of it
    del values["said_at"]
    if question.role == "user":
        del values["role"]  # which a gateway from before it would not read
    if question.history is None:
        del values["history"]
    if question.client is None:
        del values["client"]
    return values


def read_question(values: dict[str, Any], known_at: Mapping[str, str] | None = None) -> Question:
    """Make a question of what the columns `question` and `known_at` have."""
    earlier = tuple([read_question(each, known_at) for each in values.pop("earlier", ())])
    said_at = known_at.get(values["message_id"]) if known_at else None
    return Question(
        **_known(values, QUESTION_FIELDS), said_at=datetime.fromisoformat(said_at) if said_at else None, earlier=earlier
    )


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Turn rows into the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
