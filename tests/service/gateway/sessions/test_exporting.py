"""Sessions as documents, over HTTP."""

import pytest

from services.gateway.turns.past.history import HistoryMessage
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/chat/sessions/s1"


@pytest.fixture
def world() -> World:
    messages = [
        HistoryMessage(f"m{n}", "user", f"<b>{n}</b>\u202e" * 9000, [], None, "complete", None, minutes(n))
        for n in range(9)
    ]
    return World(
        sessions=[facts("s1", stored=stored(8, title="<i>mine</i>", project_id="p"))],
        messages=messages,
        turns=[turn("s1", at=20, answered=21)],
    )


async def test_json_has_the_session_and_every_message_that_the_list_has(world: World) -> None:
    async with world.client("u1") as client:
        answer = await client.get(f"{PATH}/export", params={"format": "json"})
        listed = (await client.get(f"{PATH}/messages")).json()["messages"]
        session = (await client.get(PATH)).json()["session"]
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="session-s1.json"'
    assert answer.json() == {"session": session, "messages": listed}
    assert len(listed) == 11


async def test_markdown_has_every_message_in_order(world: World) -> None:
    async with world.client("u1") as client:
        answer = await client.get(f"{PATH}/export")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="session-s1.md"'
    assert answer.text.startswith("# `<i>mine</i>`\n")
    found = [line for line in answer.text.split("\n") if line.startswith("## ")]
    assert found == ["## User"] * 10 + ["## Assistant"]
    places = [answer.text.index(f"<b>{n}</b>") for n in range(9)]
    assert places == sorted(places)


@pytest.mark.parametrize("form", ["md", "json"])
async def test_an_empty_session_is_a_document_too(world: World, form: str) -> None:
    world.messages, world.turns = [], []
    async with world.client("u1") as client:
        answer = await client.get(f"{PATH}/export", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="session-s1.{form}"'
    assert "<i>mine</i>" in answer.text
    if form == "json":
        assert answer.json()["messages"] == []


@pytest.mark.parametrize("what", ["export", "stats"])
async def test_nobody_elses_session_is_told_of(world: World, what: str) -> None:
    limited = {"Authorization": f"Bearer {token_for(world.settings, 'u1', projects=['other'])}"}
    world.sessions.append(facts("gone", stored=stored(1), deleted=True))
    async with world.client("u2") as stranger, world.client("u1") as owner:
        answers = [
            await stranger.get(f"{PATH}/{what}"),
            await owner.get(f"{PATH}/{what}", headers=limited),
            await owner.get(f"/api/chat/sessions/gone/{what}"),
            await owner.get(f"/api/chat/sessions/nobody/{what}"),
        ]
        unknown = await owner.get(f"{PATH}/export", params={"format": "pdf"})
    assert [answer.status_code for answer in answers] == [404] * 4
    assert unknown.status_code == 422


async def test_stats_say_whether_there_is_more(world: World) -> None:
    async with world.client("u1") as client:
        assert (await client.get(f"{PATH}/stats")).json()["stored"] is False
        world.turns = []
        answer = (await client.get(f"{PATH}/stats")).json()
    assert (answer["stored"], answer["messages"]["total"], answer["session_id"]) == (True, 9, "s1")
