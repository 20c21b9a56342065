"""Count what is stored of one session: in the database, so that no text leaves it."""

from datetime import datetime

from pydantic import BaseModel

from shared.database import Pool, reading

MOST_COUNTED = 50_000  # messages of a session, the newest; and traces
MOST_TOOLS = 100  # names
NAME_LENGTH = 64


class MessageCounts(BaseModel):
    user: int
    assistant: int
    system: int
    tool: int
    total: int


class WordCounts(BaseModel):
    """Texts between spaces."""

    user: int
    assistant: int
    total: int


class TokenCounts(BaseModel):
    """Of all calls of models that have a trace."""

    input: int
    output: int
    total: int
    estimated: bool  # some of them were not reported by the model's service


class Counts(BaseModel):
    messages: MessageCounts
    words: WordCounts
    tool_calls: dict[str, int]  # by the tool's name
    tokens: TokenCounts
    turns: int  # questions that were answered, however often
    first_at: datetime | None  # of the first message that was counted, and of the last one
    last_at: datetime | None
    duration_s: float  # from the one to the other
    answering_s: float  # all that models took
    is_complete: bool  # false: older messages were too many to be counted, too


class StatsQueries:
    def __init__(self, pool: Pool, most_counted: int = MOST_COUNTED) -> None:
        self._pool = pool
        self._most = most_counted

    async def of(self, user_id: str, session_id: str) -> Counts:
        """Count the newest messages and traces of a session.

        Raises:
            TimeoutError: It took longer than any reading may.
        """
        which = user_id, session_id, self._most
        async with reading(self._pool, user_id) as db:
            said = await db.fetchrow(_SAID, *which)
            tools = await db.fetch(_TOOLS, *which, NAME_LENGTH, MOST_TOOLS)
            calls = await db.fetchrow(_CALLS, *which)
        assert said is not None and calls is not None  # noqa: S101, PT018 - aggregates have one row
        tokens = {name: calls[name] for name in ("input", "output", "estimated")}
        first_at, last_at = said["first_at"], said["last_at"]
        return Counts(
            messages=MessageCounts(**{name: said[name] for name in MessageCounts.model_fields}),
            words=WordCounts(user=said["user_words"], assistant=said["assistant_words"], total=said["words"]),
            tool_calls={row["name"]: row["calls"] for row in tools},
            tokens=TokenCounts(total=calls["input"] + calls["output"], **tokens),
            turns=said["turns"],
            first_at=first_at,
            last_at=last_at,
            duration_s=(last_at - first_at).total_seconds() if first_at else 0.0,
            answering_s=calls["seconds"],
            is_complete=said["total"] < self._most,
        )


_NEWEST = """
    SELECT role, content, parts, parent_id, created_at FROM chat.messages
    WHERE user_id = $1 AND session_id = $2 ORDER BY created_at DESC, message_id DESC LIMIT $3
"""
_SAID = f"""
    SELECT count(*) AS total, count(*) FILTER (WHERE role = 'user') AS user,
        count(*) FILTER (WHERE role = 'assistant') AS assistant, count(*) FILTER (WHERE role = 'system') AS system,
        count(*) FILTER (WHERE role = 'tool') AS tool, coalesce(sum(words), 0) AS words,
        coalesce(sum(words) FILTER (WHERE role = 'user'), 0) AS user_words,
        coalesce(sum(words) FILTER (WHERE role = 'assistant'), 0) AS assistant_words,
        count(DISTINCT parent_id) FILTER (WHERE role = 'assistant') AS turns,
        min(created_at) AS first_at, max(created_at) AS last_at
    FROM ({_NEWEST}) newest CROSS JOIN LATERAL (  -- a twentieth of what a regular expression takes
        SELECT cardinality(array_remove(string_to_array(translate(content, E'\\n\\r\\t\\f\\u00a0', '     '), ' '), ''))
            AS words) counted
"""  # noqa: S608 - a constant of this module, here and below
_TOOLS = f"""
    SELECT left(name, $4) AS name, count(*) AS calls
    FROM ({_NEWEST}) newest CROSS JOIN LATERAL jsonb_array_elements(newest.parts) AS part
    CROSS JOIN LATERAL (SELECT CASE
        WHEN part ->> 'type' IN ('dynamic-tool', 'tool-call') THEN part ->> 'toolName'
        WHEN part ->> 'type' = 'tool-invocation' THEN part -> 'toolInvocation' ->> 'toolName'
        WHEN part ->> 'type' <> 'tool-result' AND part ->> 'type' LIKE 'tool-_%' THEN substr(part ->> 'type', 6)
        END AS name) AS call
    WHERE parts <> '[]' AND name IS NOT NULL
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $5
"""  # noqa: S608
_CALLS = """
    SELECT coalesce(sum(input_tokens), 0) AS input, coalesce(sum(output_tokens), 0) AS output,
        coalesce(bool_or(usage_source = 'estimated'), false) AS estimated,
        coalesce(sum(duration_ms), 0) / 1000 AS seconds
    FROM (SELECT input_tokens, output_tokens, usage_source, duration_ms FROM chat.traces
        WHERE user_id = $1 AND session_id = $2 ORDER BY started_at DESC LIMIT $3) newest
"""
