"""What users think of messages, over HTTP."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from services.gateway.turns.past.history import HistoryMessage
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World
from tests.tokens import token_for

SESSION = "/api/chat/sessions/s1"


@pytest.fixture
def world() -> World:
    message = HistoryMessage("m1", "assistant", "hello", [], None, "complete", None, minutes(1))
    return World(sessions=[facts("s1", stored=stored(1, project_id="p"))], messages=[message])


async def give(
    world: World, message: str = "m1", user: str = "u1", token: str | None = None, session: str = "s1", **body: Any
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    async with world.client(user) as client:
        return await client.post(
            f"/api/chat/sessions/{session}/messages/{message}/feedback", json=body, headers=headers
        )


async def shown(world: World) -> list[Any]:
    async with world.client("u1") as client:
        return [each["feedback"] for each in (await client.get(f"{SESSION}/messages")).json()["messages"]]


async def test_what_was_said_last_stands_and_is_shown_with_the_message(world: World) -> None:
    assert await shown(world) == [None]
    first = await give(world, value="up", comment="<b>good</b>\u202e")
    assert (first.status_code, first.json()["stored"]) == (201, True)
    assert first.json()["feedback"]["comment"] == "<b>good</b>\u202e"
    second = await give(world, value="down")
    assert (second.status_code, second.json()["message_id"]) == (200, "m1")
    assert await shown(world) == [second.json()["feedback"]]
    assert (second.json()["feedback"]["value"], second.json()["feedback"]["comment"]) == ("down", None)


async def test_a_message_that_is_not_stored_yet_takes_it_too(world: World) -> None:
    world.turns = [turn("s1", at=2, answered=3)]
    answer_id = world.turns[0].answer_id
    assert (await give(world, answer_id, value="up")).status_code == 201
    assert [each["value"] if each else None for each in await shown(world)] == [None, None, "up"]


async def test_what_is_not_stored_in_time_is_accepted(world: World) -> None:
    world.consumers_away = True
    answer = await give(world, value="up", comment="x")
    assert (answer.status_code, answer.json()["stored"]) == (202, False)
    assert (answer.json()["feedback"]["value"], answer.json()["feedback"]["comment"]) == ("up", "x")


async def test_nobody_says_anything_of_what_is_not_theirs(world: World) -> None:
    world.sessions.append(facts("gone", stored=stored(1), deleted=True))
    limited = token_for(world.settings, "u1", projects=["other"])
    answers = [
        await give(world, user="u2", value="up"),
        await give(world, "nothing", value="up"),
        await give(world, session="s2", value="up"),
        await give(world, session="gone", value="up"),
        await give(world, token=limited, value="up"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert world.published == []


async def test_without_a_broker_nothing_is_accepted(world: World) -> None:
    world.broker_away = True
    answer = await give(world, value="up")
    assert (answer.status_code, answer.json()["code"], "retry-after" in answer.headers) == (503, "broker_away", True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": None},
        {"value": "sideways"},
        {"value": "up", "comment": "x" * 2001},
        {"value": "up", "comment": "x" * 100_000},
        {"value": "up", "comment": "a\x00b"},
        {"value": "up", "surprise": 1},
    ],
)
async def test_what_cannot_be_kept_is_refused(world: World, body: dict[str, Any]) -> None:
    assert (await give(world, **body)).status_code == 422
    assert world.published == []


async def test_the_session_s_other_identity_is_its_owner(world: World) -> None:
    world.sessions = [replace(world.sessions[0], user_id="u2")]
    assert (await give(world, user="u2", value="up")).status_code == 201
    assert [event.user_id for event in world.published] == ["u2"]  # type: ignore[attr-defined]
