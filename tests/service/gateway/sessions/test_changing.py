"""Sessions that their users change and end, over HTTP."""

from typing import Any

import httpx2
import pytest

from services.gateway.sessions.edits.fields import changed
from services.gateway.sessions.edits.settled import has_settled
from services.gateway.sessions.own_session import OwnSession
from services.gateway.sessions.view import show_session
from shared.events import SessionChanged
from shared.ids import new_id
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World

PATH = "/api/chat/sessions/s1"


@pytest.fixture
def world() -> World:
    return World(sessions=[facts("s1", stored=stored(1))])


async def patch(
    world: World, body: dict[str, Any], if_match: str | None = None, user: str = "u1", path: str = PATH
) -> httpx2.Response:
    headers = {"If-Match": if_match} if if_match is not None else None
    async with world.client(user) as client:
        return await client.patch(path, json=body, headers=headers)


async def end(world: World, user: str = "u1", path: str = PATH) -> httpx2.Response:
    async with world.client(user) as client:
        return await client.post(f"{path}/end")


async def etag(world: World) -> str:
    async with world.client("u1") as client:
        return str((await client.get(PATH)).headers["etag"])


async def test_what_is_set_is_shown_and_the_rest_stays(world: World) -> None:
    body = {
        "title": " mine ",
        "pinned": True,
        "archived": True,
        "folder": "clients",
        "labels": ["a", "b", "a"],
        "metadata": {"client": "Smith"},
        "analytics": False,
        "experiment_name": "blue",
    }
    answer = await patch(world, body)
    assert answer.status_code == 200, answer.text
    session = answer.json()["session"]
    assert {name: session[name] for name in body} == {**body, "title": "mine", "labels": ["a", "b"]}
    assert answer.headers["etag"] == await etag(world)
    session = (await patch(world, {"folder": None, "labels": []})).json()["session"]
    assert (session["folder"], session["labels"], session["title"], session["pinned"]) == (None, [], "mine", True)
    assert [event.changed for event in world.published if isinstance(event, SessionChanged)][1] == ("folder", "labels")


async def test_a_change_of_what_was_edited_since_is_refused_and_an_answer_is_no_edit(world: World) -> None:
    first = await etag(world)
    world.turns = [turn("s1", at=2)]
    assert await etag(world) != first
    changed = await patch(world, {"title": "mine"}, first)
    assert changed.status_code == 200
    refused = await patch(world, {"title": "other"}, first)
    assert (refused.status_code, refused.json()["code"]) == (412, "stale")
    for accepted in ("*", f'"x", {changed.headers["etag"]}', f"W/{changed.headers['etag']}"):
        assert (await patch(world, {"title": "mine"}, accepted)).status_code == 200
    for other in ("", '"x"', changed.headers["etag"].strip('"')):
        assert (await patch(world, {"title": "other"}, other)).status_code == 412
    assert len(world.published) == 4


async def test_a_session_that_is_not_stored_yet_matches_nothing_but_anything(world: World) -> None:
    world.sessions, world.turns, world.consumers_away = [], [turn("s1", at=2)], True
    assert (await patch(world, {"pinned": True}, '"x.y"')).status_code == 412
    assert (await patch(world, {"pinned": True}, "*")).status_code == 202
    answer = await patch(world, {"title": "mine"})
    assert (answer.status_code, answer.json()["session"]["title"], "etag" in answer.headers) == (202, "mine", False)


async def test_what_is_not_stored_in_time_is_shown_as_it_is_going_to_be(world: World) -> None:
    world.consumers_away = True
    answer = await patch(world, {"title": None, "folder": "clients"})
    session = answer.json()["session"]
    assert (answer.status_code, session["title"], session["folder"]) == (202, "A title", "clients")
    assert session["stored"] is False
    ended = await end(world)
    assert (ended.status_code, ended.json()["session"]["ended_at"] is None) == (202, False)


async def test_a_session_ends_once_and_a_message_begins_it_again(world: World) -> None:
    first = await end(world)
    again = await end(world)
    assert [answer.status_code for answer in (first, again)] == [200, 200]
    assert first.json()["session"]["ended_at"] == again.json()["session"]["ended_at"] is not None
    assert len(world.published) == 1
    world.turns = [turn("s1", at=2)]
    async with world.client("u1") as client:
        assert (await client.get(PATH)).json()["session"]["ended_at"] is None


async def test_somebody_elses_session_is_neither_changed_nor_ended(world: World) -> None:
    for path in (PATH, "/api/chat/sessions/nobody"):
        assert (await patch(world, {"pinned": True}, user="u2", path=path)).status_code == 404
        assert (await patch(world, {"pinned": True}, "*", "u2", path)).status_code == 404
        assert (await end(world, "u2", path)).status_code == 404
    assert world.published == []


async def test_without_a_broker_nothing_is_accepted(world: World) -> None:
    world.broker_away = True
    for answer in (await patch(world, {"pinned": True}), await end(world)):
        assert (answer.status_code, answer.json()["code"], "retry-after" in answer.headers) == (
            503,
            "broker_away",
            True,
        )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"surprise": 1},
        {"helper": "h"},
        {"project_id": "p"},
        {"title": "x" * 256},
        {"title": ""},
        {"title": "x" * 100_000},
        {"pinned": None},
        {"pinned": "yes"},
        {"labels": ["x"] * 21},
        {"labels": [" "]},
        {"labels": None},
        {"metadata": {"k": ["x"]}},
        {"folder": "a\x00b"},
        {"ended_at": "2026-01-01T00:00:00Z"},
    ],
)
async def test_what_cannot_be_kept_is_refused(world: World, body: dict[str, Any]) -> None:
    assert (await patch(world, body)).status_code == 422
    assert world.published == []


async def test_a_change_that_lost_has_settled_and_one_that_nobody_heard_has_not() -> None:
    known = facts("s1", stored=stored(1), read_at=minutes(5))
    view = show_session(known, [])
    assert view is not None
    event = changed(OwnSession(known, [], view.session), {"title": "mine", "pinned": True}, new_id())

    def settled(**stamps: list[str]) -> bool:
        return has_settled(facts("s1", stored=stored(1, field_stamps=stamps)), event)

    own = [minutes(5).isoformat(timespec="microseconds"), str(event.event_id)]
    newer, older = ([minutes(at).isoformat(timespec="microseconds"), str(new_id())] for at in (6, 4))
    assert [settled(title=own, pinned=stamp) for stamp in (own, newer, older)] == [True, True, False]
    assert not settled(title=own)
    assert not settled(title=own, pinned=[*newer, "opened"])
    assert not has_settled(facts("s1"), event)
