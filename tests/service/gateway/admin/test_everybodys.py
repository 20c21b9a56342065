"""What administrators read of everybody, over HTTP: recorded, left out, and refused."""

from typing import Any

import httpx2
import pytest

from services.gateway.admin.conversations.message_routes import PAGINGS
from services.gateway.http.requests.pages import PageQuery
from services.gateway.turns.past.history import HistoryMessage
from shared.events import ConversationRead
from tests.pure.gateway.samples import NOON, facts, stored
from tests.service.gateway.fakes import World

SECRET = "Paris"
LISTS = ("/api/admin/sessions", "/api/admin/messages")
OTHERS = ("/api/admin/users", "/api/admin/queues")


@pytest.fixture
def world() -> World:
    words: dict[str, Any] = {
        "title": SECRET,
        "last_message": SECRET,
        "folder": SECRET,
        "labels": [SECRET],
        "experiment_name": SECRET,
        "metadata": {"a": SECRET},
    }
    session = facts("s1", stored=stored(**words), workflow_state={"a": SECRET})
    said = HistoryMessage(
        message_id="m1",
        role="user",
        content=SECRET,
        parts=[{"type": "text", "text": SECRET}],
        model=None,
        status="complete",
        parent_id=None,
        created_at=NOON,
        metadata={"a": SECRET},
        error=SECRET,
    )
    return World(sessions=[session], messages=[said])


async def call(world: World, path: str, caller_role: str = "admin", **query: Any) -> httpx2.Response:
    async with world.client("root", role=caller_role) as client:
        return await client.get(path, params=query)


def reads(world: World) -> list[ConversationRead]:
    return [event for event in world.published if isinstance(event, ConversationRead)]


@pytest.mark.parametrize(("path", "kind"), list(zip(LISTS, ("sessions", "messages"), strict=True)))
async def test_a_page_of_texts_is_recorded_before_it_is_shown(world: World, path: str, kind: str) -> None:
    answer = await call(world, path, q="paris", reason="ticket 12")
    assert SECRET in answer.text
    (read,) = reads(world)
    assert (read.operator, read.kind, read.user_id, read.items) == ("root", kind, "u1", 1)
    assert read.query == {"path": path, "q": "paris", "reason": "ticket 12"}
    for fault in ("broker_loses_all", "broker_away"):
        setattr(world, fault, True)
        answer = await call(world, path)
        assert (answer.status_code, SECRET in answer.text) == (503, False)


@pytest.mark.parametrize("path", LISTS)
async def test_without_bodies_no_word_of_theirs_is_shown_and_nothing_recorded(world: World, path: str) -> None:
    world.settings = world.settings.model_copy(update={"admins_read_bodies": False})
    world.broker_away = True
    answer = await call(world, path)
    (shown,) = answer.json()[path.rpartition("/")[2]]
    assert (answer.status_code, shown["user_id"]) == (200, "u1")
    assert SECRET not in answer.text
    assert reads(world) == []


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("q", ["paris", "rome"])
async def test_without_bodies_nobody_can_ask_for_one_word_after_the_other(world: World, path: str, q: str) -> None:
    world.settings = world.settings.model_copy(update={"admins_read_bodies": False})
    answer = await call(world, path, q=q)
    assert (answer.status_code, SECRET in answer.text) == (403, False)


async def test_a_session_shows_where_the_words_are(world: World) -> None:
    (session,) = (await call(world, "/api/admin/sessions", q="paris")).json()["sessions"]
    assert {"text": SECRET, "match": True} in session["snippet"]["parts"]
    (session,) = (await call(world, "/api/admin/sessions")).json()["sessions"]
    assert session["snippet"] is None


@pytest.mark.parametrize(
    ("path", "query"),
    [
        *((path, query) for path in LISTS for query in ({"q": ""}, {"q": "!!"}, {"q": "x" * 201}, {"nonsense": "1"})),
        *(
            (path, query)
            for path in LISTS
            for query in ({"limit": "201"}, {"cursor": "x"}, {"from": "1"}, {"user": ""})
        ),
        ("/api/admin/sessions", {"role": "user"}),
        ("/api/admin/messages", {"role": "king"}),
        ("/api/admin/messages", {"session_id": "s1"}),
        ("/api/admin/users", {"q": "x"}),
        ("/api/admin/users", {"reason": "x"}),
        ("/api/admin/users", {"refused": "true", "user": "ann"}),
        ("/api/admin/users", {"refused": "true", "cursor": "x"}),
        ("/api/admin/queues", {"limit": "1"}),
    ],
)
async def test_what_a_list_does_not_know_is_refused(world: World, path: str, query: dict[str, str]) -> None:
    assert (await call(world, path, **query)).status_code == 422
    assert reads(world) == []


async def test_a_cursor_of_one_list_is_none_of_another(world: World) -> None:
    for kind, paging in PAGINGS.items():
        placed = [((NOON, f"m{n}/s/u"), n) for n in range(2)]
        _, cursor = paging.cut(placed, PageQuery(limit=1))
        for other, query in (("all", {}), ("user", {"user": "u"}), ("session", {"user": "u", "session_id": "s"})):
            answer = await call(world, "/api/admin/messages", cursor=cursor, **query)
            assert answer.status_code == (200 if other == kind else 422)


@pytest.mark.parametrize("path", [*LISTS, *OTHERS])
async def test_they_are_for_administrators(world: World, path: str) -> None:
    for role in ("user", "service"):
        answer = await call(world, path, caller_role=role)
        assert (answer.status_code, SECRET in answer.text) == (403, False)
    assert reads(world) == []


async def test_users_are_shown_with_what_they_may_and_did(world: World) -> None:
    world.settings = world.settings.model_copy(update={"turns_per_day": 7})
    world.broker_away = True  # it shows nothing that would be recorded
    (user,) = (await call(world, "/api/admin/users")).json()["users"]
    assert (user["user_id"], user["limits"]["turns_per_day"], user["quota"]["turns_per_day"]) == ("u1", 7, None)
    assert user["today"]["refused"] == 0
    assert (await call(world, "/api/admin/users", user="u1")).json()["users"] == [user]
    assert (await call(world, "/api/admin/users", user="u2")).json()["users"] == []


async def test_an_administrator_erases_a_user_and_that_is_kept(world: World) -> None:
    async with world.client("root", role="admin") as client:
        answer = await client.post("/api/admin/users/u1/erase")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert (world.erased, world.erased_by) == ({"u1"}, "root")
    async with world.client("u2") as client:
        assert (await client.post("/api/admin/users/u1/erase")).status_code == 403


async def test_queues_are_shown_with_their_past_also_where_the_broker_tells_nothing(world: World) -> None:
    queues = {each["name"]: each for each in (await call(world, "/api/admin/queues")).json()["queues"]}
    assert set(queues) == {
        "logger.chat",
        "logger.consumers",
        "tagger.sessions",
        "workflow.trips",
        "workflow.deliveries",
        "dead",
    }
    assert queues["dead"]["service"] == "logger"
    chat = queues["logger.chat"]
    assert (chat["messages"], chat["consumers"], chat["oldest_age_s"]) == (None, None, None)
    assert [(each["messages"], each["consumers"]) for each in chat["history"]] == [(3, 1)]
