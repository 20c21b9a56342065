"""Long sessions as documents and as numbers, read from a real PostgreSQL by the reader's role."""

import time
from typing import Any

import orjson
import pytest

from services.gateway.sessions.messages.stats_queries import StatsQueries
from shared.database import open_pool
from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage
from tests.pure.gateway.samples import minutes

PATH = "/api/chat/sessions/s1"
TOOL = [{"type": "tool-search", "toolCallId": "c"}, {"type": "dynamic-tool", "toolName": "book"}, {"type": "text"}]


async def fill(rows: Rows, turns: int, words: int = 10) -> None:
    """Write a session of so many turns, each a question and an answer."""
    await rows.session("s1", at=1)
    await rows.run(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parent_id, event_id, created_at)
        SELECT 'ann', 's1', 'm' || n, CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, repeat('word ', $2),
            CASE WHEN n > 0 THEN 'm' || n - 1 END, gen_random_uuid(), $3::timestamptz + n * interval '1 second'
        FROM generate_series(0, $1 * 2 - 1) AS n
        """,
        turns,
        words,
        minutes(1),
    )


async def trace(rows: Rows, session_id: str = "s1", user: str = "ann", **columns: Any) -> None:
    values = {"status": "ok", "started_at": minutes(1), "duration_ms": 1500.0, "input_tokens": 10, "output_tokens": 5}
    known = {"user_id": user, "trace_id": new_id().hex, "session_id": session_id, "model": "m", "event_id": new_id()}
    await rows.insert("chat.traces", **{**known, **values, **columns})


@pytest.mark.parametrize("form", ["json", "md"])
async def test_a_session_of_ten_thousand_turns_is_exported_whole(gateway: Stage, rows: Rows, form: str) -> None:
    await fill(rows, 10_000)
    answer = await gateway.get(f"{PATH}/export", format=form)
    assert answer.status_code == 200
    if form == "md":
        assert answer.text.count("\n## ") == 20_000
        return
    found = [message["id"] for message in answer.json()["messages"]]
    assert found == [f"m{n}" for n in range(20_000)]


async def test_a_session_is_counted_as_it_is_stored(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", at=1)
    await rows.message("s1", "m1", 1, content="From  KTEB\nto\tKPBI?\u00a0Please ")
    await rows.message("s1", "a1", 2, role="assistant", content="Two words", parts="[]", parent_id="m1")
    await rows.message("s1", "a2", 3, role="assistant", content="", parent_id="m1")
    await rows.message("s1", "n1", 4, role="system", content="noted")
    await rows.run("UPDATE chat.messages SET parts = $1::jsonb WHERE message_id = 'a1'", _json(TOOL))
    await trace(rows)
    await trace(rows, usage_source="estimated", output_tokens=None, duration_ms=None)
    await rows.session("s2", at=1)
    await rows.message("s2", "m9", 1, content="not of this one")
    await trace(rows, "s2")
    await rows.session("s1", at=1, user="eve")
    await rows.message("s1", "m1", 1, user="eve", content="a stranger's")
    await trace(rows, user="eve")
    answer = await gateway.get(f"{PATH}/stats")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["messages"] == {"user": 1, "assistant": 2, "system": 1, "tool": 0, "total": 4}
    assert told["words"] == {"user": 5, "assistant": 2, "total": 8}
    assert told["tool_calls"] == {"book": 1, "search": 1}
    assert told["tokens"] == {"input": 20, "output": 5, "total": 25, "estimated": True}
    assert (told["turns"], told["duration_s"], told["answering_s"], told["is_complete"]) == (1, 180, 1.5, True)
    assert (await gateway.get(f"{PATH}/stats", "bob")).status_code == 404


async def test_ten_thousand_turns_are_counted_at_once_and_more_than_that_in_part(gateway: Stage, rows: Rows) -> None:
    await fill(rows, 10_000, words=100)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        told = (await gateway.get(f"{PATH}/stats")).json()
        took.append(time.perf_counter() - began)
        assert (told["turns"], told["words"]["total"], told["is_complete"]) == (10_000, 2_000_000, True)
    assert min(took) < 3, "half of what a reading may take, on a machine that does other things"
    async with open_pool(gateway.settings.reader_database_url, "test", size=1) as pool:
        counts = await StatsQueries(pool, most_counted=10).of("ann", "s1")
    assert (counts.messages.total, counts.turns, counts.is_complete) == (10, 5, False)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
