"""What administrators read of everybody, from real tables."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from services.gateway.admin.conversations import message_queries, session_queries
from services.gateway.admin.users import queries as user_queries
from services.gateway.http.requests.cursors import write_cursor
from shared.ids import new_id, user_hash
from shared.search_words import vector_of
from tests.connected.gateway.stage import Rows, Stage
from tests.pure.gateway.samples import minutes

SHOWN_AS = {"sessions": "id", "messages": "id", "users": "user_id"}
TAG = "chat_model_a1b2c3_001"


async def listing(gateway: Stage, plural: str, **query: str | int) -> httpx2.Response:
    params = {"from" if name == "since" else name: value for name, value in query.items()}
    headers = gateway.as_user("root", "admin")
    answer = await gateway.http.get(f"/api/admin/{plural}", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def shown(answer: httpx2.Response) -> Sequence[str]:
    (plural,) = SHOWN_AS.keys() & answer.json().keys()
    return [item[SHOWN_AS[plural]] for item in answer.json()[plural]]


async def walked(
    gateway: Stage, plural: str, between: Callable[[int], Awaitable[None]] | None = None, **query: str | int
) -> list[str]:
    """Read a list to its end, page by page, and have something happen between two of them."""
    seen: list[str] = []
    cursor: str | None = ""
    number = 0
    while cursor is not None:
        page = await listing(gateway, plural, **query, **({"cursor": cursor} if cursor else {}))
        seen += shown(page)
        cursor = page.json()["next_cursor"]
        assert page.json()["has_more"] is (cursor is not None)
        number += 1
        assert number < 50, "it has no end"
        if between is not None:
            await between(number)
    return seen


async def say(rows: Rows, session_id: str, message_id: str, at: float, user: str = "ann", **columns: Any) -> None:
    """Write a message that was stored when it was said, and what it is found by."""
    text = columns.get("content", f"text {message_id}")
    known = await rows.fetch("SELECT FROM chat.sessions WHERE (user_id, session_id) = ($1, $2)", user, session_id)
    if not known:
        await rows.session(session_id, at, user)
    await rows.message(session_id, message_id, at, user, **{"stored_at": minutes(at), **columns})
    await rows.run(
        """
        INSERT INTO chat.search (user_id, session_id, message_id, version, since, terms)
        VALUES ($1, $2, $3, $4, $5, $6::text::tsvector)
        """,
        user,
        session_id,
        message_id,
        new_id(),
        minutes(at),
        vector_of(user, text),
    )


@pytest.fixture
async def filled(rows: Rows) -> Rows:
    """Three sessions of ann and bob, of a message each, and their tags."""
    for number, user in enumerate(("ann", "bob", "ann")):
        title = {"title": f"title {number}", "title_source": "user"}
        await rows.session(f"s{number}", number, user, model=f"model-{user}", message_count=1, **title)
        role = "assistant" if number == 2 else "user"
        await say(rows, f"s{number}", f"m{number}", number, user, role=role, model=f"model-{user}")
    await rows.tag("s0", await rows.model("m"), 1)
    return rows


async def _session(rows: Rows, number: int, at: float) -> None:
    await rows.session(f"s{number}", at, f"u{number % 3}")


async def _message(rows: Rows, number: int, at: float) -> None:
    await say(rows, f"s{number % 2}", f"m{number}", at, f"u{number % 3}")


async def _user(rows: Rows, number: int, at: float) -> None:
    await rows.session("s", at, f"u{number}", archived=number % 2 == 1, pinned=number % 3 == 1)


MADE = {"sessions": _session, "messages": _message, "users": _user}


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("plural", MADE)
async def test_pages_neither_skip_nor_repeat_whatever_comes_meanwhile(
    gateway: Stage, rows: Rows, plural: str, limit: int
) -> None:
    make = MADE[plural]
    for number in range(8):
        await make(rows, number, number // 3)  # three at a time
    seen = await walked(gateway, plural, lambda page: make(rows, 100 + page, 60 + page), limit=limit)
    assert sorted(seen) == sorted(f"{plural[0]}{number}" for number in range(8))


async def test_a_user_with_two_sessions_of_one_moment_is_listed_once(
    gateway: Stage, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_queries, "LOOKED_THROUGH", 2)
    for number, user in enumerate(("ann", "bob", "ann", "bob", "cy")):
        await rows.session(f"s{number}", 0 if user != "cy" else -1, user)
    assert sorted(await walked(gateway, "users", limit=2)) == ["ann", "bob", "cy"]


async def test_a_user_stands_where_their_newest_session_does(gateway: Stage, rows: Rows) -> None:
    for number, user in enumerate(("ann", "bob", "ann")):
        await rows.session(f"s{number}", number, user, archived=number == 2)
    answer = await listing(gateway, "users")
    assert shown(answer) == ["ann", "bob"]
    assert answer.json()["users"][0]["last_activity_at"] == minutes(2).isoformat().replace("+00:00", "Z")
    assert shown(await listing(gateway, "users", to=minutes(2).isoformat())) == ["bob"], "ann was active since"
    assert shown(await listing(gateway, "users", since=minutes(2).isoformat())) == ["ann"]
    assert shown(await listing(gateway, "users", user="bob")) == ["bob"]
    assert shown(await listing(gateway, "users", user="nobody")) == []
    assert shown(await listing(gateway, "users", user="ann", since=minutes(2).isoformat())) == ["ann"]
    assert shown(await listing(gateway, "users", user="ann", to=minutes(2).isoformat())) == []
    assert shown(await listing(gateway, "users", user="bob", since=minutes(2).isoformat())) == []


AT_ONE = {"since": minutes(1).isoformat(), "to": minutes(2).isoformat()}


@pytest.mark.parametrize(
    ("plural", "query", "expected"),
    [
        ("sessions", {}, ["s2", "s1", "s0"]),
        ("sessions", {"user": "ann"}, ["s2", "s0"]),
        ("sessions", {"model": "model-bob"}, ["s1"]),
        ("sessions", {"model": "model-ann", "user": "bob"}, []),
        ("sessions", {"tag": TAG}, ["s0"]),
        ("sessions", {"tag": TAG, "user": "ann"}, ["s0"]),
        ("sessions", {"tag": TAG, "user": "bob"}, []),
        ("sessions", {"tag": TAG, "model": "model-bob"}, []),
        ("sessions", AT_ONE, ["s1"]),
        ("sessions", {"user": "ann", "since": minutes(1).isoformat()}, ["s2"]),
        ("sessions", {"user": "ann", "to": minutes(2).isoformat()}, ["s0"]),
        ("sessions", {"q": "m1"}, ["s1"]),
        ("sessions", {"q": "text"}, ["s2", "s1", "s0"]),
        ("sessions", {"q": "text", "user": "bob"}, ["s1"]),
        ("sessions", {"q": "text", "model": "model-ann", "to": minutes(2).isoformat()}, ["s0"]),
        ("sessions", {"q": "text", "tag": TAG}, ["s0"]),
        ("messages", {}, ["m2", "m1", "m0"]),
        ("messages", {"user": "ann"}, ["m2", "m0"]),
        ("messages", {"user": "ann", "session_id": "s0"}, ["m0"]),
        ("messages", {"user": "bob", "session_id": "s0"}, []),
        ("messages", {"role": "assistant"}, ["m2"]),
        ("messages", {"model": "model-bob"}, ["m1"]),
        ("messages", {"tag": TAG}, ["m0"]),
        ("messages", {"tag": TAG, "user": "bob"}, []),
        ("messages", {"tag": TAG, "user": "ann"}, ["m0"]),
        ("messages", {"tag": TAG, "q": "text", "user": "ann", "session_id": "s0"}, ["m0"]),
        ("messages", {"tag": TAG, "q": "m1"}, []),
        ("messages", AT_ONE, ["m1"]),
        ("messages", {"user": "ann", "to": minutes(2).isoformat()}, ["m0"]),
        ("messages", {"user": "ann", "session_id": "s2", "since": minutes(3).isoformat()}, []),
        ("messages", {"q": "text"}, ["m2", "m1", "m0"]),
        ("messages", {"q": "m1"}, ["m1"]),
        ("messages", {"q": "text", "user": "ann"}, ["m2", "m0"]),
        ("messages", {"q": "m1", "user": "ann"}, []),
        ("messages", {"q": "text", "user": "ann", "session_id": "s0"}, ["m0"]),
        ("messages", {"q": "text", "user": "ann", "role": "user"}, ["m0"]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("filled")
async def test_filters(
    gateway: Stage, monkeypatch: pytest.MonkeyPatch, plural: str, query: dict[str, Any], expected: Sequence[str]
) -> None:
    assert await walked(gateway, plural, **query) == expected
    for name, most in (("LOOKED_THROUGH", 1), ("SEARCHED", 1), ("RARE", 0)):
        monkeypatch.setattr(message_queries, name, most)
        monkeypatch.setattr(session_queries, name, most)
    assert await walked(gateway, plural, **query, limit=1) == expected, "a row at a time, and nothing looked up"


@pytest.mark.parametrize("most", [0, 2000], ids=["by a walk", "looked up"])
async def test_one_users_words_are_found_far_back(
    gateway: Stage, rows: Rows, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(message_queries, "SEARCHED", 3)
    monkeypatch.setattr(message_queries, "MOST_FOUND", most)
    for number in range(12):
        await say(rows, "s", f"m{number}", number, content="rare" if number in (0, 1, 5) else "usual")
    page = await listing(gateway, "messages", user="ann", q="rare", limit=2)
    assert shown(page) == (["m5", "m1"] if most else [])
    assert page.json()["has_more"]
    assert await walked(gateway, "messages", user="ann", q="rare", limit=2) == ["m5", "m1", "m0"]


async def test_a_page_of_long_messages_ends_sooner(gateway: Stage, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_queries, "PAGE_BYTES", 250)
    for number in range(5):
        await say(rows, "s", f"m{number}", number, content="x" * 100)
    assert len(shown(await listing(gateway, "messages"))) == 2
    assert await walked(gateway, "messages") == [f"m{number}" for number in reversed(range(5))]


@pytest.mark.parametrize("whose", [{}, {"user": "ann"}, {"user": "ann", "q": "text"}], ids=str)
async def test_what_is_deleted_is_gone_at_once(gateway: Stage, filled: Rows, whose: dict[str, str]) -> None:
    await filled.insert("gateway.deletions", user_id="ann", session_id="s2", event_id=new_id(), correlation_id=new_id())
    assert "s2" not in shown(await listing(gateway, "sessions", **whose))
    assert "s0" in shown(await listing(gateway, "sessions", **whose))
    assert "m2" not in shown(await listing(gateway, "messages", **whose))
    assert "m0" in shown(await listing(gateway, "messages", **whose))


async def test_a_user_whose_newest_session_is_deleted_stands_where_the_next_one_does(
    gateway: Stage, filled: Rows
) -> None:
    await filled.insert("gateway.deletions", user_id="ann", session_id="s2", event_id=new_id(), correlation_id=new_id())
    assert shown(await listing(gateway, "users")) == ["bob", "ann"]


async def test_an_administrator_erases_a_user_who_is_gone_at_once(gateway: Stage, filled: Rows) -> None:
    await filled.insert("gateway.linked_visitors", visitor_id="v-ann", user_id="ann")
    await filled.session("sv", 5, "v-ann")
    answer = await gateway.http.post("/api/admin/users/ann/erase", headers=gateway.as_user("root", "admin"))
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert shown(await listing(gateway, "sessions")) == ["s1"]
    assert shown(await listing(gateway, "messages")) == ["m1"]
    assert shown(await listing(gateway, "users")) == ["bob"]
    rows = await filled.fetch("SELECT user_id, operator FROM gateway.erasures ORDER BY user_id")
    assert [tuple(row) for row in rows] == [("ann", "root"), ("v-ann", "root")]
    assert (await gateway.call("DELETE", "/api/me/data", user="ann")).status_code == 202
    rows = await filled.fetch("SELECT operator FROM gateway.erasures WHERE user_id = 'ann'")
    assert [row["operator"] for row in rows] == [None], "the last time it was ann"


async def test_users_are_shown_with_who_they_were_and_what_they_did(gateway: Stage, filled: Rows) -> None:
    day = (await filled.fetch("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day"))[0]["day"]
    await filled.insert("gateway.usage", user_id="ann", day=day, turns=3, refused=8)
    await filled.insert("gateway.usage", user_id="ann", day=day - timedelta(days=1), turns=9, refused=9)
    await filled.insert("gateway.users", user_id="ann", turns_per_day=5)
    await filled.insert("gateway.linked_visitors", visitor_id="v-ann", user_id="ann")
    (ann,) = (await listing(gateway, "users", user="ann")).json()["users"]
    assert (ann["today"]["turns"], ann["today"]["refused"], ann["visitors"]) == (3, 8, ["v-ann"])
    assert (ann["quota"]["turns_per_day"], ann["limits"]["turns_per_day"]) == (5, 5)
    (visitor,) = (await listing(gateway, "users", user="v-ann")).json()["users"]
    assert (visitor["linked_to"], visitor["last_activity_at"]) == ("ann", None)


async def test_whose_calls_were_refused_most_come_first(gateway: Stage, filled: Rows) -> None:
    day = (await filled.fetch("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day"))[0]["day"]
    for user, refused in (("ann", 7), ("bob", 7), ("cy", 100), ("dan", 0), ("eve", 1), ("fay", 2)):
        await filled.insert("gateway.usage", user_id=user, day=day, refused=refused)
        await filled.insert("gateway.usage", user_id=user, day=day - timedelta(days=1), refused=50)
    await filled.insert(
        "gateway.erasures", user_id="eve", user_hash=user_hash("eve"), event_id=new_id(), correlation_id=new_id()
    )
    answer = await listing(gateway, "users", refused="true")
    assert [(each["user_id"], each["today"]["refused"]) for each in answer.json()["users"]] == [
        ("cy", 100),
        ("bob", 7),
        ("ann", 7),
        ("fay", 2),
    ]
    assert answer.json()["users"][2]["last_activity_at"] == minutes(2).isoformat().replace("+00:00", "Z")
    assert answer.json()["users"][3]["last_activity_at"] is None, "nothing of theirs is stored"

    async def refuse(page: int) -> None:
        await filled.insert("gateway.usage", user_id=f"late{page}", day=day, refused=1000)

    assert await walked(gateway, "users", refuse, refused="true", limit=1) == ["cy", "bob", "ann", "fay"]


@pytest.mark.parametrize("key", ["7", "x/ann", "-1/ann", f"{2**31}/ann", "7/"])
async def test_a_cursor_of_the_refused_is_read_with_care(gateway: Stage, key: str) -> None:
    headers = gateway.as_user("root", "admin")
    cursor = write_cursor("refused_users", minutes(0), key)
    params = {"refused": "true", "cursor": cursor}
    assert (await gateway.http.get("/api/admin/users", params=params, headers=headers)).status_code == 422
