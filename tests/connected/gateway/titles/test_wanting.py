"""Which sessions want a title of a model's, by what is stored of them."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.gateway.titles.asking import Beginning
from services.gateway.titles.queries import WANTS_TITLE, TitleQueries
from shared.database import open_pool, reading
from shared.ids import new_id, user_hash
from shared.settings import Settings
from tests.connected.gateway.stage import Rows
from tests.pure.gateway.samples import NOON, minutes

OWN = Beginning("ann", "s1", new_id(), new_id(), NOON, "question", "answer")

EVENT = {"event_id": new_id(), "correlation_id": new_id()}
Prepare = Callable[[Rows], Awaitable[None]]


async def said(rows: Rows, at: float = -1, **columns: Any) -> None:
    await rows.session("s1")
    await rows.message("s1", "a0", at, **{"role": "assistant", "status": "complete", "turn_id": new_id(), **columns})


async def turned(rows: Rows, at: float = -1, **columns: Any) -> None:
    turn_id = columns.pop("turn_id", new_id())
    values = {"body_hash": b"", "owner": "", "lease_until": NOON, "correlation_id": turn_id, "model": "m"}
    values |= {
        "provider": "p",
        "question": {},
        "asked_at": minutes(at),
        "answered_at": minutes(at),
        "state": "complete",
    }
    values |= {"turn_id": turn_id, "user_id": "ann", "session_id": "s1", "answer": {"content": "x"}, **columns}
    await rows.insert("gateway.turns", **values)


async def opened(rows: Rows, **opening: Any) -> None:
    row = {"user_id": "ann", "body_hash": b"", "session_id": "s1", "event_id": new_id(), "accepted_at": NOON}
    await rows.insert("gateway.session_openings", **row, opening=opening)


async def erased(rows: Rows, minute: float) -> None:
    await rows.insert("gateway.erasures", user_hash=user_hash("ann"), user_id="ann", erased_at=minutes(minute), **EVENT)


WANTS: dict[str, Prepare] = {
    "nothing is stored": lambda rows: rows.run("SELECT 1"),
    "the title is of the first message": lambda rows: rows.session("s1", title="q", title_source="message"),
    "its own answer is stored": lambda rows: said(rows, 1, turn_id=OWN.turn_id),
    "its own turn is there": lambda rows: turned(rows, 0, turn_id=OWN.turn_id),
    "an answer before it failed": lambda rows: said(rows, status="failed", content=""),
    "an answer before it was stopped": lambda rows: said(rows, status="stopped"),
    "a turn before it was interrupted": lambda rows: turned(rows, state="interrupted"),
    "a turn before it said nothing": lambda rows: turned(rows, answer={"content": ""}),
    "the next answer is stored by now": lambda rows: said(rows, 1),
    "the next turn is complete by now": lambda rows: turned(rows, 1),
    "a client stored an answer of its own": lambda rows: said(rows, turn_id=None),
    "it was opened without a title": lambda rows: opened(rows, helper="h"),
    "somebody else's of this id has a title": lambda rows: rows.session(
        "s1", user="bob", title="t", title_source="user"
    ),
    "its user was erased before": lambda rows: erased(rows, -1),
}
WANTS_NONE: dict[str, Prepare] = {
    "its user has titled it": lambda rows: rows.session("s1", title="t", title_source="user"),
    "a model has titled it": lambda rows: rows.session("s1", title="t", title_source="model"),
    "its user took the title back": lambda rows: rows.session(
        "s1", title="t", title_source="message", field_stamps={"title": ["2020", "id"]}
    ),
    "it was opened with a title": lambda rows: opened(rows, title="t"),
    "an answer before it is stored": said,
    "a turn before it is complete": turned,
    "its tombstone is stored": lambda rows: rows.session("s1", deleted_at=minutes(1)),
    "it is being deleted": lambda rows: rows.insert(
        "gateway.deletions", user_id="ann", session_id="s1", deleted_at=NOON, **EVENT
    ),
    "its user was erased since": lambda rows: erased(rows, 1),
    "its client wanted the answer kept from others": lambda rows: rows.insert(
        "gateway.withheld_responses", user_id="ann", turn_id=OWN.turn_id, session_id="s1"
    ),
}


MUCH = """
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at) VALUES ('ann', 's1', now(), now());
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at, turn_id)
    SELECT 'ann', 's1', 'm' || n, 'user', 'text', gen_random_uuid(), now(), gen_random_uuid()
    FROM generate_series(1, 5000) n;
    ANALYZE chat.messages, chat.sessions
"""


async def wants(settings: Settings) -> bool:
    async with open_pool(settings.reader_database_url, "test", size=1) as pool:
        return await TitleQueries(pool).wants_title(OWN)


@pytest.mark.parametrize("prepare", WANTS.values(), ids=WANTS)
async def test_session_wants_a_title(prepare: Prepare, rows: Rows, read_settings: Settings) -> None:
    await prepare(rows)
    assert await wants(read_settings)


@pytest.mark.parametrize("prepare", WANTS_NONE.values(), ids=WANTS_NONE)
async def test_session_wants_none(prepare: Prepare, rows: Rows, read_settings: Settings) -> None:
    await prepare(rows)
    assert not await wants(read_settings)


async def test_what_was_said_is_read_in_its_order_and_nothing_else_of_its_user(
    rows: Rows, read_settings: Settings
) -> None:
    await rows.run(MUCH)
    async with open_pool(read_settings.reader_database_url, "test", size=1) as pool, reading(pool, "ann") as db:
        plan = await db.fetchval(f"EXPLAIN (FORMAT JSON) {WANTS_TITLE}", "ann", "s1", OWN.turn_id, NOON)
    assert re.findall(r'"Index Name": "(messages_\w+)"', plan) == ["messages_in_order"]
    assert "Seq Scan" not in plan
