"""Sessions that are begun before anything is said in them, over HTTP."""

from typing import Any

import httpx2
import pytest

from services.gateway.sessions.beginning.templates import TemplateRow
from shared.events import MessagePosted, SessionOpened
from shared.ids import new_id
from tests.pure.gateway.samples import NOON, facts, stored, turn
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/chat/sessions"


@pytest.fixture
def world() -> World:
    return World()


async def create(world: World, user: str = "u1", headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    async with world.client(user) as client:
        return await client.post(PATH, json=body, headers=headers)


async def test_a_session_is_there_with_what_it_was_begun_with(world: World) -> None:
    body: dict[str, Any] = {
        "id": "s1",
        "projectId": "p",
        "helper": "h",
        "model": "sandbox-small",
        "title": "  <b>Smith</b>  ",
        "experiment_name": "blue",
        "analytics": False,
        "metadata": {"client": "Smith", "n": 1, "vip": True},
    }
    answer = await create(world, **body)
    assert answer.status_code == 201, answer.text
    session = answer.json()["session"]
    assert (session["id"], session["project_id"], session["helper"], session["model"]) == (
        "s1",
        "p",
        "h",
        "sandbox-small",
    )
    assert (session["title"], session["experiment_name"], session["analytics"]) == ("<b>Smith</b>", "blue", False)
    assert (session["metadata"], session["stored"], session["message_count"]) == (body["metadata"], True, 0)
    assert (session["status"], session["workflow_state"]) == ("active", {})
    async with world.client("u1") as client:
        assert (await client.get(f"{PATH}/s1")).json()["session"]["title"] == "<b>Smith</b>"


async def test_new_chat_is_no_title(world: World) -> None:
    assert (await create(world, title="New Chat")).json()["session"]["title"] is None


async def test_what_is_not_stored_in_time_is_shown_as_it_is_going_to_be(world: World) -> None:
    world.consumers_away = True
    answer = await create(world, id="s1", title="mine", helper="h")
    assert answer.status_code == 202
    session = answer.json()["session"]
    assert (session["title"], session["helper"], session["stored"]) == ("mine", "h", False)
    async with world.client("u1") as client:
        shown = await client.get(f"{PATH}/s1")
    assert (shown.json()["session"], "etag" in shown.headers) == (session, False)


async def test_a_session_that_is_there_is_answered_as_it_is(world: World) -> None:
    world.sessions, world.turns = [facts("s1", stored=stored())], [turn("s2", at=1)]
    for session_id in ("s1", "s2"):
        answer = await create(world, id=session_id, title="other")
        assert (answer.status_code, answer.json()["session"]["id"]) == (200, session_id)
    assert world.published == []


async def test_a_deleted_session_is_not_begun_again(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(), deleted=True)]
    assert (await create(world, id="s1")).status_code == 404
    assert world.published == []


async def test_a_stranger_s_id_is_another_session(world: World) -> None:
    world.sessions = [facts("s1", stored=stored())]
    answer = await create(world, "u2", id="s1", title="hers")
    assert (answer.status_code, answer.json()["session"]["title"]) == (201, "hers")


async def test_equal_creations_are_one_and_others_are_not(world: World) -> None:
    first = await create(world, title="a")
    again = await create(world, title="a")
    other = await create(world, title="b")
    strangers = await create(world, "u2", title="a")
    assert [answer.status_code for answer in (first, again, other, strangers)] == [201, 200, 201, 201]
    assert len({answer.json()["session"]["id"] for answer in (first, again, other, strangers)}) == 3


async def test_one_key_is_one_session_whatever_it_is_asked_for(world: World) -> None:
    first = await create(world, headers={"Idempotency-Key": "k"}, title="a")
    again = await create(world, headers={"Idempotency-Key": "k"}, title="b")
    strangers = await create(world, "u2", headers={"Idempotency-Key": "k"}, title="a")
    assert [answer.status_code for answer in (first, again, strangers)] == [201, 200, 201]
    assert first.json() == again.json()
    assert strangers.json()["session"]["id"] != first.json()["session"]["id"]


async def test_a_repeat_of_what_is_not_stored_publishes_the_same_event(world: World) -> None:
    world.consumers_away = True
    answers = [await create(world, id="s1", title="a") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({event.event_id for event in world.published}) == 1


async def test_without_a_broker_nothing_is_accepted(world: World) -> None:
    world.broker_away = True
    answer = await create(world, id="s1")
    assert (answer.status_code, answer.json()["code"], "retry-after" in answer.headers) == (503, "broker_away", True)
    world.broker_away, world.broker_loses_all = False, True
    assert (await create(world, id="s1")).status_code == 503
    async with world.client("u1") as client:
        assert (await client.get(f"{PATH}/s1")).status_code == 404


async def test_a_journey_begins_with_what_its_helper_says_first(world: World) -> None:
    world.first_words = {"charter": "Where to?"}
    await create(world, helper="charter", start_journey=True)
    await create(world, helper="other", start_journey=True)
    await create(world, helper="charter")
    said = [event for event in world.published if isinstance(event, MessagePosted)]
    assert [(event.role, event.content, event.helper) for event in said] == [("assistant", "Where to?", "charter")]
    opening = next(event for event in world.published if isinstance(event, SessionOpened))
    assert said[0].session_id == opening.session_id


async def test_a_template_must_be_there(world: World) -> None:
    known = new_id()
    world.templates = {known: TemplateRow("u1", known, "mine", {}, NOON, new_id())}
    assert (await create(world, template_id=str(known))).status_code == 201
    refused = await create(world, template_id=str(new_id()))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "template_id")


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x" * 256},
        {"title": "   "},
        {"title": "a\x00b"},
        {"title": 5},
        {"id": "no spaces"},
        {"surprise": 1},
        {"analytics": "yes"},
        {"metadata": {str(number): "x" for number in range(17)}},
        {"metadata": {"k" * 65: "x"}},
        {"metadata": {"k": "x" * 513}},
        {"metadata": {"k": {"deep": 1}}},
        {"template_id": "x"},
    ],
)
async def test_what_cannot_be_kept_is_refused(world: World, body: dict[str, Any]) -> None:
    assert (await create(world, **body)).status_code == 422
    assert (world.published, world.openings) == ([], {})


async def test_a_title_that_runs_backwards_comes_back_as_it_is(world: World) -> None:
    title = "\u202egnp.exe \u2067<img src=x onerror=alert(1)>"
    assert (await create(world, title=title)).json()["session"]["title"] == title


async def test_a_token_for_projects_begins_sessions_of_these_and_finds_no_others(world: World) -> None:
    async def limited(projects: list[str], headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
        token = token_for(world.settings, "u1", projects=projects)
        async with world.client() as client:
            return await client.post(PATH, json=body, headers={"Authorization": f"Bearer {token}", **(headers or {})})

    first = await limited(["p1"], title="a")
    assert (first.status_code, first.json()["session"]["project_id"]) == (201, "p1")
    assert (await limited(["p2"], title="a")).json()["session"]["project_id"] == "p2", "equal, but of another project"
    key = {"Idempotency-Key": "k"}
    keyed = [(await limited([project], key)).json()["session"]["project_id"] for project in ("p1", "p2")]
    assert keyed == ["p1", "p2"]
    assert (await limited(["p1", "p2"])).status_code == 422
    assert (await limited(["p1", "p2"], project_id="p2")).status_code == 201
    assert [(await limited(projects, project_id="p2")).status_code for projects in (["p1"], [])] == [403, 403]
    session_id = first.json()["session"]["id"]
    assert [(await limited([project], id=session_id)).status_code for project in ("p1", "p2")] == [200, 404]
