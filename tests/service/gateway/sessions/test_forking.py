"""Sessions that begin as copies of others, over HTTP."""

from typing import Any

import httpx2
import pytest

from services.gateway.turns.past.history import HistoryMessage
from shared.events import SessionForked
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/chat/sessions/s1/fork"


@pytest.fixture
def world() -> World:
    messages = [HistoryMessage(f"m{n}", "user", "x", [], None, "complete", None, minutes(n)) for n in range(3)]
    row = stored(2, title="first", helper="h", project_id="p", metadata={"client": "Smith"}, pinned=True)
    return World(sessions=[facts("s1", stored=row)], messages=messages)


async def fork(
    world: World, user: str = "u1", path: str = PATH, headers: dict[str, str] | None = None, **body: Any
) -> httpx2.Response:
    async with world.client(user) as client:
        return await client.post(path, json=body, headers=headers)


def forked(world: World) -> list[tuple[str, str | None]]:
    events = [event for event in world.published if isinstance(event, SessionForked)]
    assert len(events) == len(world.published)
    return [(event.message_id, event.title) for event in events]


async def test_a_fork_is_a_session_of_its_own_that_says_where_it_began(world: World) -> None:
    answer = await fork(world, message_id="m1", title=" <b>again</b> ")
    assert answer.status_code == 201, answer.text
    session = answer.json()["session"]
    assert (session["forked_from"], session["title"], session["helper"]) == ("s1", "<b>again</b>", "h")
    assert session["id"] != "s1"
    assert (await fork(world)).json()["session"]["title"] == "first"
    assert forked(world) == [("m1", "<b>again</b>"), ("m2", None)]


async def test_one_key_is_one_fork(world: World) -> None:
    first, again = [await fork(world, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    other = await fork(world, headers={"Idempotency-Key": "l"})
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201]
    assert first.json() == again.json()
    assert other.json()["session"]["id"] != first.json()["session"]["id"]


async def test_a_repeat_of_what_is_not_stored_publishes_the_same_event(world: World) -> None:
    world.consumers_away = True
    answers = [await fork(world, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({event.event_id for event in world.published}) == 1
    session = answers[0].json()["session"]
    assert (session["stored"], session["pinned"], session["metadata"]) == (False, False, {"client": "Smith"})
    assert (session["project_id"], session["forked_from"], session["session_tag"]) == ("p", "s1", None)


async def test_what_is_not_stored_is_not_copied(world: World) -> None:
    world.turns = [turn("s1", at=0.5, answered=5)]
    answers = [
        await fork(world),
        await fork(world, message_id=world.turns[0].answer_id),
        await fork(world, message_id="m2"),  # one before it is not stored
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "not_stored_yet")] * 3
    assert (await fork(world, message_id="m0")).status_code == 201
    world.sessions, world.turns = [], [turn("s1", at=1)]
    assert (await fork(world)).status_code == 409


async def test_nobody_forks_what_is_not_theirs(world: World) -> None:
    world.sessions.append(facts("gone", stored=stored(1), deleted=True))
    limited, nothing = ({"Authorization": f"Bearer {token_for(world.settings, 'u1', projects=p)}"} for p in (["x"], []))
    answers = [
        await fork(world, "u2"),
        await fork(world, path="/api/chat/sessions/gone/fork"),
        await fork(world, path="/api/chat/sessions/nobody/fork"),
        await fork(world, headers=limited),
        await fork(world, message_id="nothing"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert (await fork(world, headers=nothing)).status_code == 403
    assert world.published == []


async def test_an_empty_session_has_nothing_to_fork(world: World) -> None:
    world.messages = []
    assert (await fork(world)).status_code == 422


async def test_a_session_that_is_too_long_is_not_forked(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(2, message_count=50_001))]
    assert (await fork(world)).status_code == 413


async def test_an_account_makes_so_many_a_minute(world: World) -> None:
    answers = [await fork(world, message_id="nothing") for _ in range(31)]
    assert [answer.status_code for answer in answers] == [404] * 30 + [429]


async def test_without_a_broker_nothing_is_accepted(world: World) -> None:
    world.broker_away = True
    answer = await fork(world)
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_away")


@pytest.mark.parametrize(
    "body", [{"title": "x" * 256}, {"title": " "}, {"title": "a\x00b"}, {"message_id": "no spaces"}, {"surprise": 1}]
)
async def test_what_cannot_be_kept_is_refused(world: World, body: dict[str, Any]) -> None:
    assert (await fork(world, **body)).status_code == 422
