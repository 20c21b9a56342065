"""While the logger is away nothing that was said falls off a page, however much it was."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.turn import Answer, Question, Turn
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.stage import Stage, ids, open_stage
from tests.pure.gateway.samples import claim

MANY = 130  # more than a session's newest turns that every request reads
MESSAGES = "/api/chat/sessions/s1/messages"


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with open_stage(settings) as opened:
        yield opened


async def say(stage: Stage, session_id: str, before: Turn | None = None, *, question: Question | None = None) -> Turn:
    """Ask and answer, of which no consumer hears."""
    known_until = before.place if before else None
    asked = question or Question(str(new_id()), "hello")
    turn = await stage.store.claim(claim(session_id=session_id, question=asked, known_until=known_until))
    assert isinstance(turn, Turn)
    answered = await stage.store.finish(Finish(turn, Answer("hi", [], "complete")))
    assert answered is not None
    return answered


async def talk(stage: Stage, count: int = MANY) -> list[str]:
    """Talk in s1, and return the messages' ids in order."""
    said: list[str] = []
    turn = None
    for number in range(count):
        # Now and then a question is asked again, which says nothing new, or comes with another one.
        known = Question(said[-2], "hello", is_known=True) if turn and number % 7 == 3 else None
        pair = Question(str(new_id()), "two", earlier=(Question(str(new_id()), "one"),)) if number % 7 == 5 else None
        turn = await say(stage, "s1", turn, question=known or pair)
        said += [question.message_id for question in turn.question.earlier]
        said += [] if known else [turn.question.message_id]
        said.append(turn.answer_id)
    return said


async def pages(stage: Stage, **query: Any) -> list[Sequence[str]]:
    """Read every page."""
    found: list[Sequence[str]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await stage.get(MESSAGES, **query, **cursor)
        found.append(ids(page, "messages"))
        if not page.json()["has_more"]:
            return found
        cursor = {"cursor": page.json()["next_cursor"]}


async def test_every_message_is_on_some_page(stage: Stage) -> None:
    said = await talk(stage)
    assert ids(await stage.get(MESSAGES, limit=1000), "messages") == said
    assert ids(await stage.get(MESSAGES), "messages") == said[-200:]
    backwards = await pages(stage, limit=40)
    assert [message for page in reversed(backwards) for message in page] == said
    forward = await pages(stage, limit=40, after=said[-1 - MANY], before=said[-1])
    assert [message for page in forward for message in page] == said[-MANY:-1]
    assert {len(page) for page in (*backwards[:-1], *forward[:-1])} == {40}


async def test_a_page_far_back_is_found_by_a_message_that_is_not_stored(stage: Stage) -> None:
    said = await talk(stage)
    at = 25
    cursor: dict[str, str] = {}
    backwards: list[str] = []
    for _ in range(20):
        page = await stage.get(MESSAGES, limit=1, before=said[at], **cursor)
        backwards += ids(page, "messages")
        cursor = {"cursor": page.json()["next_cursor"]}
    assert backwards == said[at - 20 : at][::-1]
    assert ids(await stage.get(MESSAGES, after=said[at], limit=20), "messages") == said[at + 1 : at + 21]
    assert (await stage.get(MESSAGES, after="nowhere")).status_code == 422


async def test_every_session_is_listed_though_one_of_them_is_busy(stage: Stage) -> None:
    for number in range(3):
        await say(stage, f"quiet{number}")
    await talk(stage)
    assert ids(await stage.get("/api/chat/sessions"), "sessions") == ["s1", "quiet2", "quiet1", "quiet0"]


async def test_a_list_of_sessions_has_up_to_two_hundred(stage: Stage) -> None:
    names = [f"session{number}" for number in range(205)]
    for name in names:
        await say(stage, name)
    first = await stage.get("/api/chat/sessions", limit=200)
    rest = await stage.get("/api/chat/sessions", limit=200, cursor=first.json()["next_cursor"])
    assert [*ids(first, "sessions"), *ids(rest, "sessions")] == names[::-1]
    assert len(ids(await stage.get("/api/chat/sessions"), "sessions")) == 50
