"""What people find by words, of what the logger has stored and indexed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from services.logger.searching.indexing import Indexer
from services.logger.searching.store import SearchStore
from shared.database import open_pool, reading
from shared.events import MessagePosted
from shared.ids import user_hash
from shared.search_words import search_of
from shared.settings import Settings
from tests.connected.gateway.stage import Log, Rows, Stage, ask, ids
from tests.pure.gateway.samples import minutes

SESSIONS = "/api/chat/sessions"
SOME_ID = UUID(int=1)
EVERYWHERE = "SELECT user_id, session_id, message_id FROM chat.search_everywhere($1, $2, $3, $4, 100)"
Index = Callable[[], Awaitable[None]]
Say = Callable[..., Awaitable[None]]


@pytest.fixture
async def index(read_settings: Settings) -> AsyncIterator[Index]:
    """Index what is stored, in portions of three."""
    async with open_pool(read_settings.logger_database_url, "test", size=2) as pool:

        async def all_of_it() -> None:
            indexer = Indexer(SearchStore(pool), portion=3)
            await indexer.begin()
            while await indexer.index_next():
                pass

        yield all_of_it


@pytest.fixture
def say(log: Log) -> Say:
    async def said(session_id: str, content: str, at: float = 0, user: str = "ann", **fields: Any) -> None:
        message = {"message_id": f"m{at:.0f}-{session_id}", "role": "user", "created_at": minutes(at)} | fields
        await log(MessagePosted(user_id=user, session_id=session_id, content=content, **message))

    return said


async def found(gateway: Stage, q: str, **query: Any) -> list[str]:
    return list(ids(await gateway.get(SESSIONS, q=q, **query), "sessions"))


def marked(answer: httpx2.Response) -> list[str]:
    return [part["text"] for part in answer.json()["sessions"][0]["snippet"]["parts"] if part["match"]]


async def test_a_session_is_found_by_words_of_one_message_in_any_order(gateway: Stage, say: Say, index: Index) -> None:
    await say("s1", "A light jet from Teterboro to Van Nuys, please", 1)
    await say("s2", "A heavy jet from Teterboro", 2)
    await say("s3", "To Van Nuys", 3)
    await index()
    assert await found(gateway, "jet") == ["s2", "s1"]
    assert await found(gateway, "nuys jet") == ["s1"]
    assert await found(gateway, "NUYS teter") == ["s1"]
    assert await found(gateway, '"jet from teterboro"') == ["s2", "s1"]
    assert await found(gateway, '"teterboro jet"') == []
    assert await found(gateway, "yacht") == []
    answer = await gateway.get(SESSIONS, q="nuys teter")
    (session,) = answer.json()["sessions"]
    assert session["snippet"]["message_id"] is None  # the title is its first message
    assert marked(answer) == ["Teterboro", "Nuys"]


async def test_a_snippet_is_of_the_message_that_was_found(gateway: Stage, say: Say, index: Index) -> None:
    await say("s1", "hello", 1)
    await say("s1", "<b>Zürich</b> it is, " + "and so on, " * 50 + "to ZÜRICH", 2)
    await index()
    answer = await gateway.get(SESSIONS, q="zurich")
    (session,) = answer.json()["sessions"]
    snippet = session["snippet"]
    assert snippet["message_id"] == "m2-s1"
    assert snippet["parts"][:3] == [
        {"text": "<b>", "match": False},
        {"text": "Zürich", "match": True},
        {"text": snippet["parts"][2]["text"], "match": False},
    ]
    assert len("".join(part["text"] for part in snippet["parts"])) < 200
    assert (await gateway.get(f"{SESSIONS}/s1")).json()["session"] == {**session, "snippet": None}


async def test_a_title_is_found_as_it_stands(gateway: Stage, say: Say, rows: Rows, index: Index) -> None:
    await say("s1", "hello there", 1)
    await index()
    assert await found(gateway, "hel the") == []
    assert await found(gateway, "the hel") == []
    assert await found(gateway, "hello the") == ["s1"]
    update = "UPDATE chat.sessions SET title = $1, title_source = $2, updated_at = clock_timestamp()"
    await rows.run(update, "Ski trip", "user")
    await index()
    answer = await gateway.get(SESSIONS, q="ski")
    assert answer.json()["sessions"][0]["snippet"] == {
        "message_id": None,
        "parts": [{"text": "Ski", "match": True}, {"text": " trip", "match": False}],
    }
    await rows.run(update, None, "none")
    await index()
    assert await found(gateway, "ski") == []
    assert await found(gateway, "hello") == ["s1"]


async def test_pages_and_filters_hold_for_what_is_found(gateway: Stage, say: Say, rows: Rows, index: Index) -> None:
    for number in range(40):
        fields = {"model": "m1" if number % 4 else "m2", "helper": "h1" if number == 7 else None}
        await say(f"s{number:02}", f"common {'rare' if number in (3, 11) else 'other'} word", number, **fields)
    await rows.run("UPDATE chat.sessions SET pinned = true WHERE session_id = 's11'")
    await rows.run("UPDATE chat.sessions SET archived = true WHERE session_id = 's39'")
    tag = await rows.tag("s03", await rows.model("m"), 1)
    await index()
    for q, expected in (("com", range(38, -1, -1)), ("rare", (11, 3))):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await gateway.get(SESSIONS, q=q, limit=7, **cursor)
            seen += ids(page, "sessions")
            if page.json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.json()["next_cursor"]}
        assert seen == [f"s{number:02}" for number in expected]
    assert await found(gateway, "common", model="m2") == [f"s{number:02}" for number in range(36, -1, -4)]
    assert await found(gateway, "common", helper="h1") == ["s07"]
    assert await found(gateway, "rare", helper="h1") == []
    assert await found(gateway, "rare", tag=tag) == ["s03"]
    assert await found(gateway, "rare", pinned="true") == ["s11"]
    assert await found(gateway, "common", archived="true") == ["s39"]


async def test_a_rare_word_is_found_among_many_sessions_and_a_common_one_wherever_it_is(
    gateway: Stage, rows: Rows, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        await rows.session(f"s{number:02}", number)
        for message in range(3):
            text = "old" if number < 30 else "new"
            await rows.message(
                f"s{number:02}", f"m{number:02}-{message}", number, content=f"{text} w{number} x{message}"
            )
    await index()
    for few, most in ((300, 20_000), (2, 20_000), (300, 5), (2, 5)):
        monkeypatch.setattr("services.gateway.sessions.finding.searching.FEW_TEXTS", few)
        monkeypatch.setattr("services.gateway.sessions.finding.searching.MOST_TEXTS", most)
        assert await found(gateway, "w4", limit=2) == ["s49", "s48"]
        assert await found(gateway, "w07", limit=2) == []
        assert await found(gateway, "w7 x1", limit=2) == ["s07"]
        assert await found(gateway, "old", limit=3) == ["s29", "s28", "s27"]
        assert await found(gateway, "new", limit=3) == ["s59", "s58", "s57"]
        assert await found(gateway, "old x0", limit=50) == [f"s{number:02}" for number in range(29, -1, -1)]


async def test_what_is_said_since_moves_a_session_that_is_found(gateway: Stage, say: Say, index: Index) -> None:
    await say("s1", "a jet", 1)
    await say("s2", "a yacht", 2)
    newer = [f"n{number}" for number in range(20)]  # many more than a page of one looks through
    for number, session_id in enumerate(newer):
        await say(session_id, "a jet", 3 + number)
    await index()
    await ask(gateway, "s1", text="a boat")  # which is not stored yet
    await ask(gateway, "s2", text="a jet")
    first = await gateway.get(SESSIONS, q="jet", limit=1)
    assert ids(first, "sessions") == ["s1"]
    assert await found(gateway, "jet", limit=1, cursor=first.json()["next_cursor"]) == newer[:-2:-1]
    assert await found(gateway, "jet") == ["s1", *reversed(newer)]


async def test_a_new_version_of_a_message_takes_the_old_one_s_place(gateway: Stage, rows: Rows, index: Index) -> None:
    await rows.session("s1")
    await rows.message("s1", "m1", 0, content="before")
    await index()
    await rows.run(
        "UPDATE chat.messages SET content = 'after', event_id = gen_random_uuid(), stored_at = clock_timestamp()"
    )
    await index()
    assert await found(gateway, "before") == []
    assert await found(gateway, "after") == ["s1"]


async def test_what_is_committed_late_is_found(
    gateway: Stage, read_settings: Settings, rows: Rows, index: Index
) -> None:
    await rows.session("s1")
    async with open_pool(read_settings.logger_database_url, "test", size=2) as pool:
        indexer = Indexer(SearchStore(pool))
        await indexer.begin()
        late = await asyncpg.connect(read_settings.logger_database_url)
        async with late.transaction():
            await late.execute(
                "INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)"
                " VALUES ('ann', 's1', 'late', 'user', 'late', gen_random_uuid(), now())"
            )
            await rows.message("s1", "m1", 0, content="early")
            while await indexer.index_next():
                pass
        await late.close()
        while await indexer.index_next():
            pass
    assert await found(gateway, "late") == ["s1"]
    assert await found(gateway, "early") == ["s1"]


@pytest.mark.parametrize("q", ["", " ", "|&!:*'\\()<->", "🙂", "\x00", "x" * 201, '""'])
async def test_what_is_no_word_is_refused(gateway: Stage, q: str) -> None:
    answer = await gateway.get(SESSIONS, q=q)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "q"


@pytest.mark.parametrize(
    "q", ["a'b", "a\\", "a:*b", "a & !b", "'a", "a\x00b", "{u}a", "a <-> b", "$1a", "a\ufffd", "(a" * 60]
)
async def test_whatever_is_around_a_word_is_data(gateway: Stage, say: Say, index: Index, q: str) -> None:
    await say("s1", q.replace("\x00", " "))
    await index()
    assert await found(gateway, q) == ["s1"]


async def test_nobody_finds_what_somebody_else_has_said(
    gateway: Stage, say: Say, index: Index, read_settings: Settings
) -> None:
    await say("s1", "marzipan", user="bob")
    await say("s1", "cocoa", user="ann")
    await index()
    for q in ("marzipan", "m", "marzipan' | '", f"{user_hash('bob').hex()[:6]}marzipan"):
        assert await found(gateway, q) == []
    async with open_pool(read_settings.reader_database_url, "test") as pool:
        call = "SELECT user_id FROM chat.search_sessions($1, $2, $3, 100, 100)"
        bobs = f"'{user_hash('bob').hex()[:6]}marzipan' | '{{u}}marzipan'"
        for users, expected in ((("ann",), []), ((), []), (("bob",), ["bob"])):
            async with reading(pool, *users) as db:
                assert [row["user_id"] for row in await db.fetch(call, bobs, None, None)] == expected
                assert [row["user_id"] for row in await db.fetch(call, bobs, ["bob"], ["s1"])] == expected
                for whole in (bobs, None):
                    for newest in ([], ["s1"]):
                        rows = await db.fetch(EVERYWHERE, bobs, whole, ["bob"] * len(newest), newest)
                        assert [row["user_id"] for row in rows] == expected
                assert {row["user_id"] for row in await db.fetch("SELECT user_id FROM chat.search")} == set(users)


@pytest.mark.usefixtures("rows")  # which are gone again afterwards
@pytest.mark.parametrize("typed", ["jet tet", "jet fro", '"light jet" nu', "paris j", "jet yacht", "a jet from t"])
async def test_it_is_the_same_whatever_is_asked_of_the_index(
    say: Say, index: Index, read_settings: Settings, typed: str
) -> None:
    """Rare whole words are looked up alone, and beginnings are compared with what they find."""
    for number, text in enumerate(
        ("a light jet from Teterboro", "a jet to Van Nuys", "a light jet from Nuuk", "Paris")
    ):
        await say(f"s{number}", text, number)
    await index()
    search = search_of(typed)
    assert search is not None
    assert search.whole_words() not in (None, search.as_query())
    query = search.as_query()
    async with open_pool(read_settings.reader_database_url, "test") as pool, reading(pool, "ann") as db:
        asked = [(search.whole_words(), []), (search.whole_words(), [f"s{number}" for number in range(4)]), (None, [])]
        rows = [await db.fetch(EVERYWHERE, query, whole, ["ann"] * len(newest), newest) for whole, newest in asked]
    found = [sorted((row["session_id"], row["message_id"]) for row in each) for each in rows]
    assert found[0] == found[1] == found[2]
    expected = {"jet tet": 1, "jet fro": 2, '"light jet" nu': 1, "paris j": 0, "jet yacht": 0, "a jet from t": 1}
    assert len(found[0]) == expected[typed]


async def test_what_is_being_deleted_is_not_found_though_it_is_still_there(
    gateway: Stage, say: Say, index: Index, rows: Rows, read_settings: Settings
) -> None:
    async def seen() -> list[str]:
        call = "SELECT session_id FROM chat.search_sessions('{u}marzipan', $1, $2, 100, 100) ORDER BY 1"
        async with open_pool(read_settings.reader_database_url, "test") as pool, reading(pool, "ann") as db:
            found = [row["session_id"] for row in await db.fetch(call, None, None)]
            assert found == [row["session_id"] for row in await db.fetch(call, ["ann"] * 2, ["s1", "s2"])]
            for whole in ("'{u}marzipan'", None):
                anywhere = await db.fetch(EVERYWHERE, "'{u}marzipan'", whole, [], [])
                assert found == sorted(row["session_id"] for row in anywhere)
            assert set(found) == {row["session_id"] for row in await db.fetch("SELECT session_id FROM chat.search")}
        return found

    await say("s1", "old marzipan", 1)
    await say("s2", "more marzipan", 2)
    await index()
    assert await seen() == ["s1", "s2"]
    await rows.insert("gateway.deletions", user_id="ann", session_id="s2", event_id=SOME_ID, correlation_id=SOME_ID)
    assert await seen() == await found(gateway, "marzipan") == ["s1"]
    await rows.insert(
        "gateway.erasures", user_hash=user_hash("ann"), user_id="ann", event_id=SOME_ID, correlation_id=SOME_ID
    )
    assert await seen() == await found(gateway, "marzipan") == []
