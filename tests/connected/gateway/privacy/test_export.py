"""An export has every row that names its user, of every table, and nothing of anybody else."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aio_pika
import asyncpg
import orjson
import pytest
from starlette.types import Message, Receive, Scope

from services.gateway.account.caller import Caller
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.visitors.store import LinkStore
from services.gateway.http.held.room import Room
from services.gateway.privacy.export import Exporting, ExportPlaces
from services.gateway.privacy.kinds import KINDS
from services.gateway.privacy.pages import PAGE_BYTES, ExportReader, read_page, statement
from shared.database import Pool, open_pool, reading
from shared.events import ConversationRead, Event, decode
from shared.ids import new_id
from shared.settings import Settings
from shared.topology import LOGGER_CHAT
from tests.connected.everywhere import SCHEMAS, where
from tests.connected.gateway.stage import Rows, Stage, ask
from tests.connected.test_deletion import FILLED_BY_HAND
from tests.pure.gateway.samples import minutes
from tests.tokens import token_for

PATH = "/api/me/export"
# What names a user and is in no export, and why.
NOT_EXPORTED = {
    "chat.search": "the words of what is exported",
    "chat.session_marks": "labels and folders of sessions, which are exported",
    "chat.erased_users": "names a user while they are being erased: nothing else is there to be read then",
    "tagging.erased_users": "the same",
    "workflow.erased_users": "the same",
    "gateway.erasures": "the same",
    "gateway.deletions": "that a session was deleted; what is deleted is in no export",
    "workflow.deleted_sessions": "the same",
    "workflow.bans": "an operator's word about a trip, which knows a hash only",
}
SECRET = ("hash", "token", "secret", "nonce", "conversation", "counted")


async def export(stage: Stage, user: str = "ann", path: str = PATH, role: str = "user", **query: str) -> list[Any]:
    answer = await stage.get(path, user, role, **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.text.splitlines()]


def of(lines: list[Any], table: str) -> list[Any]:
    return [line["row"] for line in lines if line.get("table") == table]


async def plant(stage: Stage, rows: Rows, user: str) -> None:
    """Write a row for this user into every table."""
    session = f"s-{user}"
    await rows.session(session, at=1, user=user)
    await rows.message(session, "m1", at=1, user=user, content=f"words of {user}", client={"address": "192.0.2.0/24"})
    await rows.message(session, "m2", at=2, user=user, role="assistant", conversation="a-digest")
    await rows.trace(f"t-{user}", user=user)
    model = await rows.model(f"model-{user}", short_id=new_id().hex[-6:])
    await rows.tag(session, model, 1, user=user)
    await rows.insert("tagging.counters", user_id=user, model_id=model, last_number=1)
    await ask(stage, f"fresh-{user}", user, f"unstored words of {user}")
    await end(rows, user)
    await rows.insert(
        "gateway.session_openings",
        user_id=user,
        body_hash=b"x",
        session_id=f"opened-{user}",
        event_id=new_id(),
        accepted_at=minutes(1),
        opening={},
    )
    trip = await rows.trip(session, user)
    await rows.quote(f"q-{user}", trip)
    await rows.run(
        "INSERT INTO workflow.lifts (lift_id, rfq_id, trip_id, fetched_at)"
        " SELECT 'l-' || rfq_id, rfq_id, trip_id, now() FROM workflow.rfqs WHERE trip_id = $1",
        trip,
    )
    await rows.run(
        "INSERT INTO workflow.trip_messages (avinode_message_id, trip_id, kind, fetched_at)"
        " VALUES ($1, $2, 'chat', now())",
        f"a-{user}",
        trip,
    )
    await rows.run(
        "INSERT INTO workflow.requests (request_id, trip_id, promised_trip_id, user_id, session_id, segments, pax,"
        " state, event_id, created_at) VALUES ($1, $2, $1, $3, $4, '[]', 1, 'created', $1, now())",
        new_id(),
        trip,
        user,
        session,
    )
    for filling in FILLED_BY_HAND:
        statement = filling.replace("'x'", f"'x{user}'")  # a token of each
        await rows.run(statement, *([user, session] if "$2" in statement else [user]))


async def end(rows: Rows, user: str) -> None:
    """End a user's turn as one does whose client says again all that was said: it is known by hashes of that."""
    await rows.run(
        """
        UPDATE gateway.turns SET state = 'complete', answered_at = now(), answer = $2,
            question = question || '{"history": "a-digest"}',
            past = jsonb_build_array(jsonb_build_object('attempt', 1, 'answer', $2::jsonb, 'answered_at', now())),
            counted = '{"by": ["a-digest"], "day": "2026-11-30", "turns": 1, "sessions": 0}'
        WHERE user_id = $1
        """,
        user,
        json.dumps({"content": f"answer to {user}", "history": "a-digest"}),
    )


async def test_every_table_that_names_a_user_is_exported_or_has_a_reason(rows: Rows) -> None:
    naming = await rows.fetch(
        """
        SELECT DISTINCT table_schema || '.' || table_name AS name FROM information_schema.columns
        WHERE table_schema = ANY ($1) AND (column_name IN ('user_id', 'visitor_id', 'user_hash')
            OR table_schema = 'workflow' AND column_name = 'trip_id')
        """,
        SCHEMAS,
    )
    exported = [kind.table for kind in KINDS]
    assert len(exported) == len(set(exported))
    assert {row["name"] for row in naming} == {*exported, *NOT_EXPORTED}


async def test_every_column_is_exported_but_for_hashes_and_what_is_of_the_machine(rows: Rows) -> None:
    columns = await rows.fetch(
        """
        SELECT table_schema || '.' || table_name AS name, array_agg(column_name::text) AS columns,
            array_agg(column_name::text) FILTER (WHERE is_nullable = 'NO') AS filled
        FROM information_schema.columns WHERE table_schema = ANY ($1) GROUP BY 1
        """,
        SCHEMAS,
    )
    there = {row["name"]: set(row["columns"]) for row in columns}
    filled = {row["name"]: set(row["filled"]) for row in columns}
    for kind in KINDS:
        assert set(kind.key) <= filled[kind.table], "else rows without it would never be beyond others"
        assert {*kind.key, *kind.large, *kind.without} <= there[kind.table], kind.table
        shown = there[kind.table] - set(kind.without)
        assert [name for name in shown if name.endswith(SECRET) and not name.endswith("input_tokens")] == [], kind.table


async def test_an_export_has_a_row_of_every_table_and_nobody_else_s(gateway: Stage, rows: Rows) -> None:
    for user in ("amy", "bob"):
        await plant(gateway, rows, user)
    lines = await export(gateway, "amy")
    assert {line["table"] for line in lines[1:-1]} == {kind.table for kind in KINDS}
    assert (lines[0]["users"], lines[-1]["complete"], lines[-1]["rows"]) == (
        ["amy", "visitor_of amy"],
        True,
        len(lines) - 2,
    )
    text = orjson.dumps(lines).decode()
    assert ("words of amy" in text, "unstored words of amy" in text, "192.0.2.0/24" in text) == (True, True, True)
    assert [line for line in lines[1:-1] if "bob" in str(line)] == []
    whose = {line["row"]["user_id"] for line in lines[1:-1] if "user_id" in line["row"]}
    assert whose == {"amy"}
    assert ("answer to amy" in text, "a-digest" in text) == (True, False)
    (turn,) = of(lines, "gateway.turns")
    assert [past["answer"]["content"] for past in turn["past"]] == ["answer to amy"]
    (read,) = of(lines, "chat.conversation_reads")
    assert (read["operator"], read["session_id"]) == ("eve", "s-amy")
    (letter,) = of(lines, "chat.dead_letters")
    assert letter["body"] == "bWFyemlwYW4="
    assert [line for line in await export(gateway, "nobody") if "table" in line] == []


async def test_no_table_has_a_user_s_name_that_is_not_exported_or_has_a_reason(
    gateway: Stage, rows: Rows, read_settings: Settings
) -> None:
    await plant(gateway, rows, "amy")
    owner = await asyncpg.connect(read_settings.database_url)
    try:
        naming = await where(owner, "amy")
    finally:
        await owner.close()
    assert len(naming) > 15
    assert naming - {*NOT_EXPORTED, "tagging.models"} <= {kind.table for kind in KINDS}, "a model is called so here"


async def test_what_a_visitor_was_who_signed_in_is_in_the_export_of_the_user(gateway: Stage, rows: Rows) -> None:
    await rows.insert("gateway.linked_visitors", visitor_id="visitor_1", user_id="vera")
    await rows.session("s1", at=1, user="visitor_1")
    await rows.message("s1", "m1", at=1, user="visitor_1")
    await rows.session("s1", at=1, user="vera")
    lines = await export(gateway, "vera")
    assert lines[0]["users"] == ["vera", "visitor_1"]
    assert [row["user_id"] for row in of(lines, "chat.sessions")] == ["vera", "visitor_1"]
    assert [row["user_id"] for row in of(lines, "chat.messages")] == ["visitor_1"]


async def test_what_is_deleted_is_in_no_export_from_then_on(gateway: Stage, rows: Rows) -> None:
    await plant(gateway, rows, "ann")
    await rows.run(
        "INSERT INTO chat.dead_letters (dead_letter_id, queue, dedupe_key, body, reason, error, user_id)"
        " VALUES (gen_random_uuid(), 'logger.chat', 'd', '{\"session_id\": \"s-ann\"}', 'x', 'x', 'ann')"
    )
    for session in ("s-ann", "fresh-ann", "opened-ann"):
        await rows.insert(
            "gateway.deletions", user_id="ann", session_id=session, event_id=new_id(), correlation_id=new_id()
        )
    lines = await export(gateway)
    left = {line["table"] for line in lines[1:-1]}
    assert not left & {"chat.sessions", "chat.messages", "gateway.turns", "gateway.session_openings", "gateway.shares"}
    assert [letter["body"] for letter in of(lines, "chat.dead_letters")] == ["bWFyemlwYW4="]
    await rows.run(
        "INSERT INTO gateway.erasures (user_hash, user_id, event_id, correlation_id)"
        " VALUES (tripthread.user_hash('ann'), 'ann', gen_random_uuid(), gen_random_uuid())"
    )
    left = {line["table"] for line in (await export(gateway))[1:-1]}
    assert not {name for name in left if name.startswith("chat.")}


async def test_a_token_that_is_limited_to_projects_exports_nothing(gateway: Stage) -> None:
    token = token_for(gateway.settings, "ann", projects=["p1"])
    answer = await gateway.http.get(PATH, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def told_to_logger(stage: Stage) -> list[Event]:
    """Take what the broker has for the logger."""
    told = []
    async with await aio_pika.connect(stage.settings.amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(LOGGER_CHAT.name)
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            assert message.type is not None
            told.append(decode(message.type, message.body))
    return told


async def test_an_administrator_is_recorded_before_they_have_an_export(gateway: Stage, rows: Rows) -> None:
    path = "/api/admin/users/vic/export"
    await rows.insert("gateway.linked_visitors", visitor_id="visitor_2", user_id="vic")
    await rows.session("s1", at=1, user="visitor_2")
    assert (await gateway.get(path, "vic")).status_code == 403
    lines = await export(gateway, "root", path, "admin", reason="they asked")
    assert (lines[0]["users"], lines[-1]["complete"]) == (["vic", "visitor_2"], True)
    assert [row["user_id"] for row in of(lines, "chat.sessions")] == ["visitor_2"]
    told = [event for event in await told_to_logger(gateway) if isinstance(event, ConversationRead)]
    assert [(event.operator, event.kind, event.user_id, event.query["reason"]) for event in told] == [
        ("root", "export", "vic", "they asked"),
        ("root", "export", "visitor_2", "they asked"),
    ]


async def test_who_was_read_is_not_told_what_else_was_looked_for(gateway: Stage, rows: Rows) -> None:
    asked = {"path": "/api/admin/messages", "reason": "ticket 12", "q": "bob divorce", "user": "bob", "tag": "t"}
    await rows.insert(
        "chat.conversation_reads",
        read_id=new_id(),
        operator="root",
        occurred_at=minutes(1),
        kind="messages",
        user_id="ann",
        items=1,
        query=asked,
    )
    (read,) = of(await export(gateway, "ann"), "chat.conversation_reads")
    assert (read["operator"], read["query"]) == ("root", {"path": "/api/admin/messages", "reason": "ticket 12"})


async def many_messages(rows: Rows, count: int, large: int = 0) -> None:
    await rows.session("s1", at=1)
    await rows.run(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
        SELECT 'ann', 's1', 'm' || lpad(n::text, 6, '0'), 'user',
            repeat('word ', CASE WHEN n % 100 = 0 THEN $2 ELSE 20 END), gen_random_uuid(),
            $3::timestamptz + n * interval '1 second'
        FROM generate_series(0, $1 - 1) AS n
        """,
        count,
        large,
        minutes(1),
    )


async def test_a_long_export_is_whole_and_held_in_pieces(reader: Pool, rows: Rows) -> None:
    await many_messages(rows, 5000, large=100_000)
    export = ExportReader(partial(read_page, reader), ["ann"])
    found: list[str] = []
    while not export.is_done:
        lines = (await export.next_lines()).splitlines()
        assert sum(map(len, lines[:-1])) <= 2 * PAGE_BYTES, "one row may be more than a page"
        read = [orjson.loads(line) for line in lines]
        found += [line["row"]["message_id"] for line in read if line["table"] == "chat.messages"]
    assert found == [f"m{number:06}" for number in range(5000)]


async def test_a_page_looks_each_row_up_and_joins_none_also_where_a_table_is_taken_for_small(
    reader: Pool, rows: Rows
) -> None:
    for kind in KINDS:
        async with reading(reader, "ann") as db:
            plan = await db.fetch(f"EXPLAIN {statement(kind, is_first=True)}", "ann")
        text = "\n".join(row[0] for row in plan)
        assert "Nested Loop" in text, kind.table
        assert re.findall(r"(?:Join Filter|Hash Cond|Merge Cond): .*\bpicked\b.*", text) == [], kind.table


@pytest.fixture
async def reader(read_settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(read_settings.reader_database_url, "test", size=2) as pool:
        yield pool


ANN = Caller("ann", None, "user", None, ("ann",))
SCOPE: Scope = {"type": "http", "method": "GET", "path": PATH, "headers": []}


async def test_an_export_whose_database_goes_away_does_not_say_that_it_is_complete(reader: Pool, rows: Rows) -> None:
    await many_messages(rows, 5000)
    places = ExportPlaces(1)
    read = partial(read_page, reader)
    response = Exporting(read, LinkStore(reader), places, Lanes(), Room(2**20)).of(["ann"], ANN)
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])
            reader.terminate()

    with pytest.raises(Exception, match="clos"):
        await response(SCOPE, waiting(), send)
    assert len(b"".join(sent).splitlines()) > 1
    assert b'"complete":true' not in b"".join(sent)
    with places.taken(ANN):  # its place is free again
        pass


def waiting() -> Receive:
    """Receive of a caller who stays."""

    async def receive() -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    return receive
